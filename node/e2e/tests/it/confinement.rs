//! P1 at the processes that really see prompts: the gateway and the worker of a live node, with a model loaded and an
//! answer given. What they cannot do is shown from inside, by making the system calls there, and from outside.

#[cfg(target_arch = "x86_64")]
mod inside;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use croft_e2e::api::Api;
use serde_json::Value;

use crate::Village;

/// A node that has answered.
fn village() -> Village {
    let village = Village::serving();
    let station = &village.workstation;
    let api = Api::new(&station.gateway(), Some(&station.api_key().expect("a key")));
    assert_eq!(api.ask("list all orders").expect("an answer").status, 200);
    village
}

fn pids(village: &Village) -> [(&'static str, u32); 2] {
    ["gateway", "worker"].map(|role| (role, village.workstation.pid_of(role).expect("a pid")))
}

/// Name and errno of what a process itself tried and told, as it is in the evidence.
fn reported(village: &Village, subject: &str) -> BTreeMap<String, String> {
    let why = village.workstation.croft_json(&["why"]).expect("why");
    let facts = why["local_facts"].as_array().expect("facts");
    let is_it = |fact: &&Value| fact["check"] == "self-test" && fact["subject"] == subject;
    let fact = facts.iter().find(is_it).unwrap_or_else(|| panic!("no self-test of {subject}: {why}"));
    let attempts = fact["observation"]["attempts"].as_array().expect("attempts");
    let pair = |attempt: &Value| {
        let text = |name: &str| attempt[name].as_str().unwrap_or_default().to_owned();
        (text("name"), text("errno"))
    };
    attempts.iter().map(pair).collect()
}

#[test]
fn p1_gateway_and_worker_tell_with_which_errno_each_way_out_was_refused() {
    let village = village();
    for (role, _) in pids(&village) {
        let attempts = reported(&village, role);
        for name in [
            "tcp-connect",
            "tcp6-socket",
            "udp-send",
            "tcp-fastopen",
            "mptcp-socket",
            "raw-socket",
            "unix-path",
            "unix-abstract",
            "vsock",
            "netlink",
            "io-uring",
            "exec",
            "fork",
            "ptrace-parent",
            "process-vm-read",
            "pidfd-getfd",
            "sendmsg",
            "recvmsg",
            "open-other-file",
            "create-file",
            "memfd",
        ] {
            let errno = attempts.get(name).unwrap_or_else(|| panic!("{role} did not try {name}"));
            assert!(["EPERM", "EACCES"].contains(&errno.as_str()), "{role}: {name} gave {errno:?}");
        }
        assert!(attempts.values().all(|errno| !errno.is_empty()), "{role}: {attempts:?}");
    }
}

fn field(status: &str, name: &str) -> String {
    let found = status.lines().find_map(|line| line.strip_prefix(name));
    found.map(|value| value.trim().to_owned()).unwrap_or_default()
}

#[test]
fn p1_from_outside_no_thread_has_rights_and_no_process_a_network() {
    let village = village();
    for (role, pid) in pids(&village) {
        let folder = format!("/proc/{pid}");
        for task in fs::read_dir(format!("{folder}/task")).expect("threads").flatten() {
            let status = fs::read_to_string(task.path().join("status")).expect("a status");
            let field = |name: &str| field(&status, name);
            assert_eq!((field("Seccomp:"), field("NoNewPrivs:")), ("2".into(), "1".into()), "{role}");
            for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
                assert_eq!(field(set).trim_matches('0'), "", "{role}: {set}");
            }
        }
        let limits = fs::read_to_string(format!("{folder}/limits")).expect("limits");
        let core = field(&limits, "Max core file size");
        assert_eq!(core.split_whitespace().take(2).collect::<Vec<_>>(), ["0", "0"], "{role} may dump core");
        has_no_network(role, &folder);
        holds_no_other_file(&village, role, &folder);
    }
}

/// A network namespace of its own, with nothing in it but a loopback device that is down.
fn has_no_network(role: &str, folder: &str) {
    let own = fs::read_link("/proc/self/ns/net").expect("a namespace");
    let its = fs::read_link(format!("{folder}/ns/net"));
    // Only root may look; others see that by what is in it.
    assert!(its.is_err() || its.is_ok_and(|its| its != own), "{role} shares our network");
    let lines = |name: &str| {
        let text = fs::read_to_string(format!("{folder}/net/{name}")).expect("its network");
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let devices = lines("dev").split_off(2);
    assert!(devices.iter().all(|device| device.trim_start().starts_with("lo:")), "{role}: {devices:?}");
    for table in ["route", "tcp", "udp", "tcp6", "udp6"] {
        assert!(lines(table).len() <= 1, "{role}: {table} has entries");
    }
}

/// What is open: sockets and pipes of the daemon's, and for a worker the files of its model.
fn holds_no_other_file(village: &Village, role: &str, folder: &str) {
    let Ok(open) = fs::read_dir(format!("{folder}/fd")) else { return };
    let store = village.workstation.state().join("store");
    for descriptor in open.flatten() {
        let Ok(target) = fs::read_link(descriptor.path()) else { continue };
        let text = target.to_string_lossy();
        let is_kernels = ["socket:", "pipe:", "anon_inode:"].iter().any(|kind| text.starts_with(kind));
        let is_models = role == "worker" && (target.starts_with(&store) || text.starts_with("/memfd:"));
        let is_log = target.starts_with(&village.workstation.folder) && text.ends_with(".log");
        assert!(is_kernels || is_models || is_log || target == Path::new("/dev/null"), "{role} holds {text}");
    }
}
