//! Confinement against the kernel that runs the tests: a probe process confines itself and tries to break out.
//!
//! The probe is a process of its own because confinement cannot be left again, and must be entered before the test
//! runner's threads exist.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Mutex;

/// Attempts, work and status lines of one probe, by their first two words.
type Report = BTreeMap<(String, String), String>;

const NOBODY: u32 = 65_534;

fn probe(role: &str, nobody: bool) -> Report {
    // A child that another test forks meanwhile would hold the copy open for writing, and the kernel would not run it.
    static FORKING: Mutex<()> = Mutex::new(());
    let one_at_a_time = FORKING.lock().expect("no test failed while it forked");
    // A copy, because an ordinary account may not reach the build folder.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let program = folder.path().join("probe");
    fs::copy(env!("CARGO_BIN_EXE_croft-confine-probe"), &program).expect("a copy of the probe");
    for path in [folder.path(), &program] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("readable for all");
    }
    let mut command = Command::new(&program);
    command.arg(role).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if nobody {
        command.uid(NOBODY).gid(NOBODY);
    }
    let running = command.spawn().expect("the probe runs");
    drop(one_at_a_time);
    let output = running.wait_with_output().expect("the probe ends");
    let talk = String::from_utf8_lossy(&output.stderr);
    assert_eq!(talk, "", "{role}");
    let text = String::from_utf8(output.stdout).expect("text");
    let report: Report = text
        .lines()
        .map(|line| {
            let mut words = line.split(' ').map(str::to_owned);
            let key = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            (key, words.next().unwrap_or_default())
        })
        .collect();
    assert_eq!(output.status.success(), open_attempts(&report).is_empty(), "{role}");
    report
}

fn of_kind<'a>(report: &'a Report, kind: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    report
        .iter()
        .filter(move |((k, _), _)| k == kind)
        .map(|((_, name), value)| (name.as_str(), value.as_str()))
}

fn open_attempts(report: &Report) -> Vec<&str> {
    of_kind(report, "attempt").filter(|(_, errno)| *errno == "-").map(|(name, _)| name).collect()
}

fn assert_confined(role: &str, nobody: bool) {
    let report = probe(role, nobody);
    let attempts = of_kind(&report, "attempt").count();
    assert!(attempts >= 40, "{role}: only {attempts} attempts");
    assert_eq!(open_attempts(&report), [""; 0], "{role}: let through");
    for (name, result) in of_kind(&report, "work") {
        assert_eq!(result, "ok", "{role}: {name}");
    }
    assert!(of_kind(&report, "work").any(|(name, _)| name == "thread"));
    let status: BTreeMap<_, _> = of_kind(&report, "status").collect();
    assert_eq!(status["Seccomp"], "2", "{role}");
    assert_eq!(status["NoNewPrivs"], "1", "{role}");
    assert_eq!(status["CapEff"].trim_matches('0'), "", "{role}");
    let layers: Vec<_> = of_kind(&report, "layer").map(|(name, _)| name).collect();
    for layer in ["seccomp", "no-new-privs", "capabilities-dropped"] {
        assert!(layers.contains(&layer), "{role}: {layers:?} without {layer}");
    }
}

fn is_root() -> bool {
    rustix::process::getuid().is_root()
}

#[test]
fn p1_a_worker_cannot_break_out() {
    assert_confined("worker", false);
}

#[test]
fn p1_a_gateway_cannot_break_out() {
    assert_confined("gateway", false);
}

#[test]
fn p1_a_vetting_process_cannot_break_out() {
    assert_confined("vetting", false);
}

#[test]
fn p1_an_ordinary_account_is_confined_as_well() {
    // Only root can become another account; run as one, the tests above have shown it.
    if is_root() {
        for role in ["worker", "gateway", "vetting"] {
            assert_confined(role, true);
        }
    }
}

#[test]
fn the_attempts_succeed_where_nothing_confines() {
    let report = probe("free", false);
    let open = open_attempts(&report);
    for name in
        ["tcp-connect", "udp-send", "unix-path", "recvmsg", "sendto-address", "open-other-file", "exec"]
    {
        assert!(open.contains(&name), "{name} was refused without confinement: {open:?}");
    }
    assert_eq!(of_kind(&report, "layer").count(), 0);
}

#[test]
fn a_process_with_threads_is_not_confined_by_halves() {
    let (stop, wait) = std::sync::mpsc::channel::<()>();
    let other = std::thread::spawn(move || wait.recv());
    let entry = croft_confine::Entry {
        role: croft_confine::Role::Vetting,
        keep_fds: &[],
        readable: &[],
        limits: croft_confine::ResourceLimits::default(),
    };
    let refused = croft_confine::enter(&entry).expect_err("threads exist");
    assert!(matches!(refused, croft_confine::ConfineError::ThreadsExist(2..)));
    assert_eq!(refused.code().as_str(), "E-SANDBOX-UNPROVEN");
    drop(stop);
    other.join().expect("the other thread ends").expect_err("its channel was closed");
}
