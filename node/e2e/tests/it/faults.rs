//! Faults of the machine and of the controller.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use croft_e2e::{Workstation, wait};

use crate::Village;

#[test]
fn a_taken_port_is_an_error_and_never_another_port() {
    let folder = tempfile::tempdir().expect("a folder");
    let station = Workstation::new(folder.path()).expect("a workstation");
    let _taken = std::net::TcpListener::bind(("127.0.0.1", station.port())).expect("the port");
    let mut daemon = station.spawn().expect("a daemon");
    let end = daemon.wait_for_end(Duration::from_secs(20)).expect("it ends");
    assert!(!end.success());
    let log = station.log();
    assert!(log.contains("E-PORT-TAKEN") && log.contains("hint"), "{log}");
}

#[test]
fn an_unwritable_state_folder_is_told_with_a_hint() {
    let folder = tempfile::tempdir().expect("a folder");
    let station = Workstation::new(folder.path()).expect("a workstation");
    // A file where a folder must be: refuses root as well, whom permissions do not stop.
    std::fs::write(station.state().join("identity"), b"in the way").expect("a file");
    std::fs::set_permissions(station.state(), std::fs::Permissions::from_mode(0o500)).expect("permissions");
    let mut daemon = station.spawn().expect("a daemon");
    let end = daemon.wait_for_end(Duration::from_secs(20)).expect("it ends");
    assert!(!end.success());
    let log = station.log();
    assert!(log.contains("E-STATE-UNWRITABLE") && log.contains("hint"), "{log}");
    std::fs::set_permissions(station.state(), std::fs::Permissions::from_mode(0o700)).expect("permissions");
}

#[test]
fn p9_a_controller_restarted_during_a_fetch_loses_nothing() {
    let mut village = Village::new();
    let invite = village.fleet.invite(&[]).expect("an invite");
    village.workstation.enroll(&invite).expect("enrollment");
    // Wherever the fetch is by now: the controller dies without a word, twice, and comes back on its port.
    for _ in 0..2 {
        village.fleet.kill_controller();
        village.fleet.start_controller().expect("a running controller");
    }
    village.workstation.wait_until_serving(90).expect("serving");
    let nodes = village.fleet.ctl_json(&["get", "nodes"]).expect("nodes");
    assert_eq!(nodes.as_array().map(Vec::len), Some(1), "{nodes}");
}

#[test]
fn p8_a_node_keeps_serving_while_the_controller_is_away() {
    let mut village = Village::serving();
    village.fleet.stop_controller().expect("a stopped controller");
    village.workstation.stop().expect("a stopped daemon");
    village.workstation.start().expect("a running daemon");
    village.workstation.wait_until_serving(60).expect("serving offline");
}

#[test]
fn a_crashed_worker_is_back_by_itself() {
    let village = Village::serving();
    let pid = village.workstation.pid_of("worker").expect("a pid");
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
    wait::until("another worker serves", 60, || {
        let now = village.workstation.pid_of("worker").map_err(|e| e.to_string())?;
        let is_new = i32::try_from(now).is_ok_and(|now| now != pid.as_raw_nonzero().get());
        if is_new { Ok(()) } else { Err(format!("pid {now}")) }
    })
    .expect("a new worker");
    village.workstation.wait_until_serving(60).expect("serving again");
}

#[test]
fn metrics_and_health_answer_on_loopback() {
    let village = Village::new();
    let api = croft_e2e::api::Api::new(&village.fleet.metrics_url(), None);
    assert_eq!(api.get("/healthz").expect("health").status, 200);
    let metrics = api.get("/metrics").expect("metrics");
    assert!(metrics.body.to_string().contains("croft"), "{metrics:?}");
}
