//! P8: a sleeping laptop is not an incident. Certificates of seconds stand for certificates of days.

use std::time::Duration;

use croft_e2e::{Workstation, wait};

use crate::Village;

/// A serving village whose controller certifies nodes for `life`.
fn village_with_certificates_of(life: &str) -> Village {
    let mut village = Village::new();
    village.fleet.stop_controller().expect("a stopped controller");
    village.fleet.run_arguments = vec!["--node-certificate".to_owned(), life.to_owned()];
    village.fleet.start_controller().expect("a running controller");
    let invite = village.fleet.invite(&[]).expect("an invite");
    village.workstation.enroll(&invite).expect("enrollment");
    village.workstation.wait_until_serving(60).expect("serving");
    village
}

fn certificate_until(station: &Workstation) -> Result<u64, String> {
    let status = station.status().map_err(|e| e.to_string())?;
    status["certificate_until"].as_u64().ok_or_else(|| status.to_string())
}

#[test]
fn p8_a_sleeper_past_its_certificates_end_renews_by_key_proof_without_an_invite() {
    let mut village = village_with_certificates_of("3s");
    let node = village.node_id();
    village.workstation.stop().expect("a stopped daemon");
    let slept = certificate_end(&village);
    croft_e2e::wait::pause(Duration::from_secs(4));
    village.workstation.start().expect("a running daemon");
    let renewed = wait::until("the certificate is renewed", 30, || {
        let until = certificate_until(&village.workstation)?;
        if until > slept { Ok(until) } else { Err(format!("{until}")) }
    });
    assert!(renewed.is_ok(), "{renewed:?}");
    village.workstation.wait_until_serving(30).expect("serving");
    assert_eq!(village.node_id(), node, "another identity");
}

/// When the certificate on disk ends, told by when it was written: it lasted three seconds from then.
fn certificate_end(village: &Village) -> u64 {
    let chain = village.workstation.state().join("identity/chain.pem");
    let written = std::fs::metadata(chain).and_then(|m| m.modified()).expect("the certificate");
    written.duration_since(std::time::UNIX_EPOCH).expect("after the epoch").as_secs() + 3
}

#[test]
fn p8_a_banned_sleeper_does_not_come_back_by_key_proof() {
    let mut village = village_with_certificates_of("3s");
    let node = village.node_id();
    village.workstation.stop().expect("a stopped daemon");
    village.fleet.ctl(&["node", "ban", &node, "--reason", "laptop was stolen"]).expect("a ban");
    croft_e2e::wait::pause(Duration::from_secs(4));
    village.workstation.start().expect("a running daemon");
    village.workstation.wait_until_refusing("E-NODE-REVOKED", 30).expect("refusal");
}

#[test]
fn p8_a_node_that_is_awake_renews_before_the_end() {
    let village = village_with_certificates_of("20s");
    let first = certificate_until(&village.workstation).expect("a time");
    wait::until("the certificate is renewed", 30, || {
        let until = certificate_until(&village.workstation)?;
        if until > first { Ok(()) } else { Err(format!("{until}")) }
    })
    .expect("renewal");
    village.workstation.wait_until_serving(10).expect("serving throughout");
}
