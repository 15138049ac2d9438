//! P9: kill it anywhere, and it converges; nothing acknowledged is lost, nothing half-installed is served.

use std::time::Duration;

use crate::Village;

/// Delays after the start of the daemon at which it is killed, in milliseconds: spread over attesting, fetching,
/// verifying, installing, loading and renewing. Fixed, so that a failure can be repeated.
const DELAYS_MS: [u64; 20] =
    [3, 11, 23, 41, 67, 89, 113, 151, 197, 241, 293, 347, 401, 463, 541, 619, 701, 811, 947, 1103];

#[test]
fn p9_killed_at_twenty_points_of_install_it_converges() {
    let mut village = Village::new();
    let invite = village.fleet.invite(&[]).expect("an invite");
    village.workstation.enroll(&invite).expect("enrollment");
    let node = village.node_id();
    for (round, delay) in DELAYS_MS.into_iter().enumerate() {
        village.workstation.kill();
        // Half of the rounds begin without the blob, so that fetching and installing are cut as well as loading.
        if round % 2 == 0 {
            let _ = std::fs::remove_dir_all(village.workstation.state().join("store/sha256"));
        }
        let mut daemon = village.workstation.spawn().expect("a daemon");
        let ended = daemon.wait_for_end(Duration::ZERO);
        assert!(ended.is_err(), "it ended by itself: {}", village.workstation.log());
        croft_e2e::wait::pause(Duration::from_millis(delay));
        daemon.kill();
    }
    village.workstation.start().expect("a running daemon");
    village.workstation.wait_until_serving(90).expect("converged");
    assert_eq!(village.node_id(), node, "another identity");
    let nodes = village.fleet.ctl_json(&["get", "nodes"]).expect("nodes");
    assert_eq!(nodes.as_array().map(Vec::len), Some(1), "{nodes}");
    let quarantine = village.workstation.state().join("store/quarantine");
    let left = std::fs::read_dir(quarantine).map_or(0, Iterator::count);
    assert_eq!(left, 0, "something is half-installed");
}

#[test]
fn p9_no_child_outlives_a_killed_daemon() {
    let mut village = Village::serving();
    let pids = ["gateway", "worker"].map(|role| village.workstation.pid_of(role).expect("a pid"));
    village.workstation.kill();
    for pid in pids {
        croft_e2e::wait::until("the child ends with its parent", 10, || {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            if status.is_empty() || status.contains("Z (zombie)") { Ok(()) } else { Err(status) }
        })
        .expect("an end");
    }
}
