//! Nodes whose key is in a TPM, as their users meet them: swtpm, the daemon, and what `croft` and `croftctl` say.

use croft_e2e::wait;

use crate::{Village, assert_refused};
use swtpm::{Maker, Swtpm};

#[path = "../../../../proto/tpm/tests/it/swtpm.rs"]
mod swtpm;

/// A baseline that demands a TPM by these makers and a PCR 4 into which nothing was measured.
fn demanding(makers: &[&Swtpm]) -> String {
    let pem = |tpm: &&Swtpm| {
        let lines = tpm.authority().lines().fold(String::new(), |text, line| text + "      " + line + "\n");
        format!("    - |\n{lines}")
    };
    let makers = makers.iter().map(pem).collect::<String>();
    let makers = if makers.is_empty() { "[]\n".to_owned() } else { format!("\n{makers}") };
    format!(
        "kind: Baseline\nname: starter\nversion: 1\ntier: 1\nchecks:\n  self-test:\n    mode: block\n  hardware-root:\n    \
         mode: block\n    assurance: hardware-key\ntpm:\n  pcrs:\n    4: [\"sha256:{}\"]\n  manufacturers: {makers}",
        "0".repeat(64)
    )
}

fn choose(village: &Village, key: &str, tpm: &std::path::Path) {
    let table = format!("[identity]\nkey = \"{key}\"\ntpm = \"{}\"\n", tpm.display());
    village.workstation.configure(&table).expect("a configuration");
}

#[test]
fn a_node_with_its_key_in_a_tpm_serves_by_measured_evidence_and_says_so_everywhere() {
    let tpm = Swtpm::start(Maker::Known);
    let mut village = Village::with(&demanding(&[&tpm]), "info");
    choose(&village, "tpm", &tpm.socket());
    village.workstation.stop().expect("the daemon ends");
    village.workstation.start().expect("it starts again");
    let mut village = village.enrolled();
    let status = village.workstation.status().expect("a status");
    assert_eq!(status["assurance"], "measured", "{status}");
    assert!(status["identity_key"].as_str().is_some_and(|key| key.starts_with("in the TPM")), "{status}");
    let told = village.workstation.croft(&["status"]).expect("a status");
    assert!(told.says("evidence counts as: measured"), "{told:?}");
    assert!(village.workstation.croft(&["why"]).expect("a verdict").says("measured"));
    let node = status["node_id"].as_str().expect("a node").to_owned();
    assert!(village.fleet.ctl(&["describe", "node", &node]).expect("a node").says("measured"));
    // No private key lies anywhere, and what is sent is shown.
    let identity = village.workstation.state().join("identity");
    assert!(identity.join("node.tpm").exists() && !identity.join("node.pk8").exists());
    let sent = village.workstation.croft_json(&["privacy"]).expect("messages");
    let kinds: Vec<_> =
        sent["sent"].as_array().into_iter().flatten().map(|m| m["kind"].to_string()).collect();
    for kind in ["\"HardwareChallenge\"", "\"Quote\""] {
        assert!(kinds.iter().any(|sent| sent == kind), "{kind}: {kinds:?}");
    }
    // The next boot goes through another loader.
    village.workstation.stop().expect("the daemon ends");
    tpm.extend(4, &[0x11; 32]);
    village.workstation.start().expect("it starts again");
    village.workstation.wait_until_refusing("E-NOT-COMPLIANT", 30).expect("a refusal");
    let why = village.workstation.croft(&["why"]).expect("a verdict");
    assert!(why.says("PCR 4 has a value that the baseline does not list"), "{why:?}");
}

#[test]
fn p4_a_state_that_was_restored_beside_another_tpm_is_told_and_sends_nothing() {
    let (tpm, other) = (Swtpm::start(Maker::None), Swtpm::start(Maker::None));
    let mut village = Village::new();
    choose(&village, "tpm", &tpm.socket());
    village.workstation.stop().expect("the daemon ends");
    village.workstation.start().expect("it starts again");
    let mut village = village.enrolled();
    let status = village.workstation.status().expect("a status");
    assert_eq!(status["assurance"], "TPM without known manufacturer", "{status}");
    village.workstation.stop().expect("the daemon ends");
    // The same state and another machine: its TPM is at the place where the old one was.
    tpm.power_off();
    std::os::unix::fs::symlink(other.socket(), tpm.socket()).expect("a link");
    village.workstation.start().expect("it starts again");
    wait::until("the other TPM is told", 30, || {
        let told = village.workstation.croft(&["status"]).map_err(|e| e.to_string())?;
        let is_told = told.says("E-TPM-OTHER") && told.says("hint: this state belongs to another machine");
        if is_told { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .expect("the failure with its hint");
    // And when the right one is back, nothing else is needed.
    village.workstation.stop().expect("the daemon ends");
    std::fs::remove_file(tpm.socket()).expect("the link goes");
    tpm.power_on();
    village.workstation.start().expect("it starts again");
    wait::until("the node is connected", 60, || {
        let status = village.workstation.status().map_err(|e| e.to_string())?;
        if status["connection"] == "connected" { Ok(()) } else { Err(status.to_string()) }
    })
    .expect("a connection");
}

#[test]
fn p4_a_file_takes_the_tpms_place_only_where_it_may_and_never_silently() {
    let tpm = Swtpm::start(Maker::Known);
    let mut village = Village::new();
    let nowhere = village.folder.path().join("no-tpm");
    choose(&village, "tpm", &nowhere);
    village.workstation.stop().expect("the daemon ends");
    village.workstation.start().expect("it starts again");
    let invite = village.fleet.invite(&[]).expect("an invite");
    let refused = village.workstation.try_croft(&["enroll", &invite, "--yes", "--ownership", "personal"]);
    assert_refused(&refused.expect("croft runs"), "E-TPM-MISSING");

    choose(&village, "tpm-or-software", &nowhere);
    village.workstation.stop().expect("the daemon ends");
    village.workstation.start().expect("it starts again");
    village.workstation.enroll(&invite).expect("the same invite, unspent");
    let told = village.workstation.croft(&["status"]).expect("a status");
    assert!(told.says("a file, since the TPM could not be used") && told.says("E-TPM-MISSING"), "{told:?}");
    village.workstation.croft(&["leave", "--yes"]).expect("leaving");

    let version_two = demanding(&[&tpm]).replace("version: 1", "version: 2");
    village.fleet.apply(&version_two).expect("a baseline that demands a TPM");
    let invite = village.fleet.invite(&[]).expect("an invite");
    let refused = village.workstation.try_croft(&["enroll", &invite, "--yes", "--ownership", "personal"]);
    assert_refused(&refused.expect("croft runs"), "E-TPM-MISSING");
}
