//! A signed waiver lets a blocked group serve, and no longer than it says.

use croft_e2e::{Fleet, Workstation, wait};

const BLOCKING_BASELINE: &str = "\
kind: Baseline
name: strict
version: 1
tier: 1
lease_ttl_s: 3600
checks:
  self-test:
    mode: block
  production-credentials:
    mode: block
";

#[test]
fn p4_a_blocked_group_serves_through_a_waiver_and_stops_at_its_end() {
    let folder = tempfile::Builder::new().prefix("croft-e2e-").tempdir().expect("a folder");
    let fleet = Fleet::start(&folder.path().join("fleet")).expect("a fleet");
    fleet.publish_starter(BLOCKING_BASELINE).expect("the starter bundle");
    let mut workstation = Workstation::new(&folder.path().join("workstation")).expect("a workstation");
    let aws = workstation.folder.join("home/.aws");
    std::fs::create_dir_all(&aws).expect("a folder");
    std::fs::write(aws.join("credentials"), "[acme-prod]\naws_access_key_id = x\n").expect("a credential");
    workstation.start().expect("a running daemon");
    workstation.enroll(&fleet.invite(&[]).expect("an invite")).expect("enrollment");
    workstation.wait_until_refusing("E-NOT-COMPLIANT", 30).expect("blocked");

    let grant = |until: &str, reason: &str| {
        let check = ["--check", "production-credentials", "--until", until, "--reason", reason];
        fleet.try_ctl(&[&["waiver", "grant", "--group", "dev"], &check[..]].concat()).expect("croftctl runs")
    };
    crate::assert_refused(&grant("2020-01-01", "too late"), "E-INPUT");
    crate::assert_refused(&grant("1h", " "), "E-INPUT");
    let granted = grant("25s", "migration weekend");
    assert_eq!(granted.code, Some(0), "{granted:?}");
    let status = workstation.wait_until_serving(60).expect("serving under the waiver");
    let until = status["lease_until"].as_u64().expect("a lease");

    let waivers = fleet.ctl_json(&["waiver", "list"]).expect("waivers");
    assert_eq!(waivers[0]["until"].as_u64(), Some(until), "the lease ends with the waiver: {waivers}");
    fleet.ctl(&["report", "create"]).expect("a report");
    let report = fleet.ctl(&["report", "show"]).expect("a report").stdout;
    assert!(report.contains("migration weekend"), "the report lists the waiver");

    wait::until("the node stops with its waiver", 60, || {
        let status = workstation.status().map_err(|e| e.to_string())?;
        if status["serving"] == "serving" { Err(status.to_string()) } else { Ok(()) }
    })
    .expect("stopped");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_secs();
    assert!(now >= until, "it served until {until}, {now} is now");
}
