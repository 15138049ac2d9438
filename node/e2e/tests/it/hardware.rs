//! Nodes whose key is in a TPM, as their users meet them: swtpm, the daemon, and what `croft` and `croftctl` say.

use croft_e2e::wait;

use crate::history::edit;
use crate::{Village, assert_refused};
use swtpm::{Maker, Swtpm};

#[path = "../../../../proto/tpm/tests/it/boot_log.rs"]
mod boot_log;
#[path = "../../../../proto/tpm/tests/it/swtpm.rs"]
mod swtpm;

/// A baseline that demands a TPM by these makers and a PCR 4 into which nothing was measured.
fn demanding(makers: &[&Swtpm]) -> String {
    let pem = |tpm: &&Swtpm| {
        // The maker's root: what lies between that and the TPM's certificate is in the TPM.
        tpm.lay_in(&pem_to_der(&tpm.authority()));
        let lines = tpm.root().lines().fold(String::new(), |text, line| text + "      " + line + "\n");
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

fn pem_to_der(pem: &str) -> Vec<u8> {
    x509_parser::pem::parse_x509_pem(pem.as_bytes()).expect("PEM").1.contents
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
    village.workstation.stop().expect("the daemon ends");
    quotes_are_audited(&village);
    // The next boot goes through another loader.
    tpm.extend(4, &[0x11; 32]);
    village.workstation.start().expect("it starts again");
    village.workstation.wait_until_refusing("E-NOT-COMPLIANT", 30).expect("a refusal");
    let why = village.workstation.croft(&["why"]).expect("a verdict");
    assert!(why.says("PCR 4 has a value that the baseline does not list"), "{why:?}");
}

/// The auditor verifies quotes again, and finds what the controller's owner does to them.
fn quotes_are_audited(village: &Village) {
    village.fleet.ctl(&["audit", "verify"]).expect("an honest history");
    edit(village, &["CREATE TABLE kept AS SELECT position, quote FROM verdicts"]);
    let restore =
        "UPDATE verdicts SET quote = (SELECT quote FROM kept WHERE kept.position = verdicts.position)";
    for (attack, statement) in [
        ("dropped", "UPDATE verdicts SET quote = X'' WHERE position = (SELECT MAX(position) FROM verdicts)"),
        (
            "of another evidence",
            "UPDATE verdicts SET quote = (SELECT quote FROM kept ORDER BY position LIMIT 1)",
        ),
        ("cut", "UPDATE verdicts SET quote = substr(quote, 1, length(quote) - 1)"),
    ] {
        // An earlier quote in the place of a later one takes at least two of them.
        let is_one = village.fleet.ctl_json(&["audit", "verify"]).expect("a history")[0]["links"] == 1;
        if is_one && attack == "of another evidence" {
            continue;
        }
        edit(village, &[statement]);
        let found = village.fleet.try_ctl(&["audit", "verify"]).expect("croftctl runs");
        assert_refused(&found, "E-CHAIN-BROKEN");
        edit(village, &[restore]);
        village.fleet.ctl(&["audit", "verify"]).unwrap_or_else(|e| panic!("{attack}, taken back: {e}"));
    }
}

#[test]
fn p4_a_boot_log_that_explains_the_quote_goes_along_and_a_forged_one_is_refused() {
    use croft_tpm::event_log::Event;
    let tpm = Swtpm::start(Maker::Known);
    let loader = Event { pcr: 4, kind: 0x8000_0003, sha256: [0x22; 32] };
    tpm.extend(loader.pcr, &loader.sha256);
    let measured = croft_tpm::key::TpmKey::create(&tpm.socket()).expect("a key");
    let values = measured.quote(&[0; 32], &[0; 32], &[4]).expect("a quote").values;
    drop(measured);
    let hexadecimal: String = values[0].iter().map(|byte| format!("{byte:02x}")).collect();
    let baseline = demanding(&[&tpm]).replace(&"0".repeat(64), &hexadecimal);
    let mut village = Village::with(&baseline, "info");
    let log = village.folder.path().join("binary_bios_measurements");
    std::fs::write(&log, boot_log::binary(&[loader])).expect("a log");
    let table = format!(
        "[identity]\nkey = \"tpm\"\ntpm = \"{}\"\nevent_log = \"{}\"\n",
        tpm.socket().display(),
        log.display()
    );
    village.workstation.configure(&table).expect("a configuration");
    village.workstation.stop().expect("the daemon ends");
    village.workstation.start().expect("it starts again");
    let mut village = village.enrolled();
    assert_eq!(village.workstation.status().expect("a status")["assurance"], "measured");
    // The owner sees what went along: the measurement, and none of the log's words.
    let sent = village.workstation.croft(&["privacy"]).expect("messages").stdout;
    assert!(sent.contains(&"22".repeat(32)) && !sent.contains("secret-project"), "{sent}");
    // A log that tells of another loader does not lead to what the TPM quotes.
    village.workstation.stop().expect("the daemon ends");
    std::fs::write(&log, boot_log::binary(&[Event { sha256: [0x33; 32], ..loader }])).expect("a log");
    village.workstation.start().expect("it starts again");
    wait::until("the forged log is refused", 60, || {
        let told = village.workstation.croft(&["status"]).map_err(|e| e.to_string())?;
        if told.says("E-TPM-REFUSED") { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .expect("a refusal");
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
