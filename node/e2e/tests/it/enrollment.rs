//! Enrollment under attack and by mistake.

use croft_e2e::wait;

use crate::{Village, assert_refused};

fn enroll(village: &Village, invite: &str) -> croft_e2e::process::Output {
    village
        .workstation
        .try_croft(&["enroll", invite, "--yes", "--ownership", "personal"])
        .expect("croft runs")
}

#[test]
fn preview_tells_all_and_sends_nothing() {
    let village = Village::new();
    let invite = village.fleet.invite(&[]).expect("an invite");
    let preview = village.workstation.croft(&["enroll", &invite, "--preview"]).expect("a preview");
    for word in ["Acme", "dev", "disk"] {
        assert!(preview.says(word), "{word}: {preview:?}");
    }
    let secret_free = !preview.says(&invite);
    assert!(secret_free, "the invite's secret is printed again");
    let nodes = village.fleet.ctl_json(&["get", "nodes"]).expect("nodes");
    assert!(nodes.as_array().is_some_and(Vec::is_empty), "{nodes}");
}

#[test]
fn without_consent_nothing_is_sent() {
    let village = Village::new();
    let invite = village.fleet.invite(&[]).expect("an invite");
    let refused = village.workstation.try_croft(&["enroll", &invite]).expect("croft runs");
    assert_refused(&refused, "E-CONSENT-REQUIRED");
}

#[test]
fn p3_expired_reused_truncated_and_foreign_invites_are_refused() {
    let village = Village::new();
    let invite = village.fleet.invite(&[]).expect("an invite");

    assert_refused(&enroll(&village, &invite[..invite.len() - 9]), "E-INVITE-MALFORMED");
    assert_refused(&enroll(&village, "croft1."), "E-INVITE-MALFORMED");

    let brief = village.fleet.invite(&["--ttl", "1s"]).expect("an invite");
    let expired = wait::until("the invite expires", 10, || {
        let output = enroll(&village, &brief);
        // Had it been in time, this test would have to begin again; the invite lasts one second.
        if output.stderr.contains("E-INVITE-EXPIRED") { Ok(output) } else { Err(format!("{output:?}")) }
    });
    // Enrolling within that second is honest too; then the machine is enrolled and the rest is about another one.
    if let Ok(output) = expired {
        assert_refused(&output, "E-INVITE-EXPIRED");
    } else {
        village.workstation.croft(&["leave", "--yes"]).expect("leaving");
    }

    village.workstation.enroll(&invite).expect("the first use");
    assert_refused(&enroll(&village, &invite), "E-ALREADY-ENROLLED");
    let mut second =
        croft_e2e::Workstation::new(&village.folder.path().join("second")).expect("a workstation");
    second.start().expect("a running daemon");
    let reused =
        second.try_croft(&["enroll", &invite, "--yes", "--ownership", "personal"]).expect("croft runs");
    assert_refused(&reused, "E-INVITE-USED");
}

#[test]
fn p3_a_controller_with_another_ca_is_told_as_interception() {
    let village = Village::new();
    // Another fleet's controller, at the address that the invite names: its invite says where, ours says whom to trust.
    let other = croft_e2e::Fleet::start(&village.folder.path().join("other")).expect("a fleet");
    let invite = village.fleet.invite(&["--controller", &other.url()]).expect("an invite");
    assert_refused(&enroll(&village, &invite), "E-NET-INTERCEPTED");
}

#[test]
fn p8_leaving_revokes_erases_and_lets_the_machine_enroll_again() {
    let village = Village::serving();
    let node = village.node_id();
    let receipt = village.workstation.croft(&["leave", "--yes"]).expect("leaving");
    assert!(receipt.says("receipt") || receipt.says("erased"), "{receipt:?}");
    let state = village.workstation.state();
    assert!(!state.join("identity").join("node.pk8").exists(), "the key is still there");
    let blobs = std::fs::read_dir(state.join("store/sha256")).map_or(0, Iterator::count);
    assert_eq!(blobs, 0, "models are still there");
    let described = village.fleet.ctl_json(&["describe", "node", &node]).expect("the node");
    assert!(described.to_string().contains("left"), "{described}");
    let invite = village.fleet.invite(&[]).expect("an invite");
    village.workstation.enroll(&invite).expect("enrolling again");
    village.workstation.wait_until_serving(60).expect("serving again");
}

#[test]
fn p10_leaving_works_with_the_controller_gone() {
    let mut village = Village::serving();
    village.fleet.stop_controller().expect("a stopped controller");
    village.workstation.croft(&["leave", "--yes"]).expect("leaving");
    assert!(!village.workstation.state().join("identity/node.pk8").exists());
}

#[test]
fn a_revoked_node_is_cut_off_on_its_open_stream() {
    let village = Village::serving();
    let node = village.node_id();
    village.fleet.ctl(&["node", "ban", &node, "--reason", "laptop was stolen"]).expect("a ban");
    village.workstation.wait_until_refusing("E-NODE-REVOKED", 15).expect("refusal");
    let answer = croft_e2e::api::Api::new(
        &village.workstation.gateway(),
        Some(&village.workstation.api_key().expect("a key")),
    )
    .ask("hello")
    .expect("an answer");
    assert_eq!(answer.status, 403, "{answer:?}");
}
