//! A controller whose database says something else than the signed fleet document: what its nodes make of it.

use croft_e2e::wait;

use crate::Village;
use crate::history::edit;

/// A baseline that asks for less than `REPORTING_BASELINE`.
const LAX_BASELINE: &str = "\
kind: Baseline
name: lax
version: 1
tier: 1
checks:
  self-test:
    mode: report
";

#[test]
fn p3_a_controller_that_moves_a_node_to_a_laxer_group_is_refused() {
    let mut village = Village::serving();
    let station = &village.workstation;
    village.fleet.apply(LAX_BASELINE).expect("a laxer baseline");
    village.fleet.ctl(&["assign", "baseline", "lax@1", "--group", "play"]).expect("a laxer group");
    village.fleet.ctl(&["assign", "bundle", "starter@1", "--group", "play"]).expect("the same bundle");
    let id = village.node_id();
    assert_eq!(station.status().expect("a status")["group"], "dev");

    village.fleet.stop_controller().expect("a stopped controller");
    edit(&village, &["UPDATE nodes SET group_name = 'play'"]);
    village.fleet.start_controller().expect("a running controller");
    // The controller now judges it by lax@1 and signs leases under that, which its lease key lets it do.
    village.workstation.croft(&["pause"]).expect("paused");
    village.workstation.croft(&["resume"]).expect("resumed");
    let status = village.workstation.wait_until_refusing("E-POLICY-FLOOR", 60).expect("refused");
    assert_eq!(status["group"], "dev", "the node stays where the invite put it");
    assert!(status["serving_reason"].to_string().contains("lax@1"), "{status}");

    // The honest way: the publishers sign the move.
    let short = village.fleet.try_ctl(&["node", "move", &id[..8], "--group", "play"]).expect("croftctl runs");
    assert_eq!(short.code, Some(2), "what is signed is the whole id: {short:?}");
    let gone = village.fleet.try_ctl(&["node", "move", &id, "--group", "nowhere"]).expect("croftctl runs");
    crate::assert_refused(&gone, "E-NOT-FOUND");
    village.fleet.ctl(&["node", "move", &id, "--group", "play"]).expect("moved");
    let status = village.workstation.wait_until_serving(60).expect("serving");
    assert_eq!(status["group"], "play");
    // And back, though the stolen database still says otherwise.
    village.fleet.ctl(&["node", "move", &id, "--group", "dev"]).expect("moved back");
    wait::until("the node is back", 60, || {
        let status = village.workstation.status().map_err(|e| e.to_string())?;
        if status["group"] == "dev" && status["serving"] == "serving" {
            Ok(())
        } else {
            Err(status.to_string())
        }
    })
    .expect("back");
    let nodes = village.fleet.ctl_json(&["get", "nodes"]).expect("nodes");
    assert_eq!(nodes[0]["group"], "dev", "the controller follows the signed document too: {nodes}");
}
