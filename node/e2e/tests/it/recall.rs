//! Recalls: at once, for good, and not to be withheld for longer than the metadata lives.

use croft_e2e::api::Api;
use croft_e2e::{binaries, controller, wait};

use crate::Village;

fn is_refused(village: &Village) -> Result<(), String> {
    let key = village.workstation.api_key().map_err(|e| e.to_string())?;
    let answer =
        Api::new(&village.workstation.gateway(), Some(&key)).ask("hello").map_err(|e| e.to_string())?;
    if answer.status >= 400 { Ok(()) } else { Err(format!("{answer:?}")) }
}

#[test]
fn p3_a_recall_unloads_at_once_and_survives_a_restart() {
    let mut village = Village::serving();
    village.fleet.ctl(&["recall", "starter@1", "--reason", "poisoned"]).expect("a recall");
    wait::until("the model is refused", 10, || is_refused(&village)).expect("refusal");
    village.workstation.stop().expect("a stopped daemon");
    village.fleet.stop_controller().expect("a stopped controller");
    village.workstation.start().expect("a running daemon");
    // Right after its start a daemon refuses everything: only once it tells the reason does refusal prove anything.
    wait::until("the model is still recalled", 60, || {
        let models = village.workstation.croft(&["models"]).map_err(|e| e.to_string())?;
        if models.says("recalled") { Ok(()) } else { Err(models.stdout) }
    })
    .expect("recalled");
    is_refused(&village).expect("refusal");
}

#[test]
fn p3_a_withheld_recall_stops_serving_when_the_metadata_expires() {
    let mut village = Village::new();
    village.fleet.ctl(&["trust", "refresh", "--lifetime", "12s"]).expect("short-lived metadata");
    let invite = village.fleet.invite(&[]).expect("an invite");
    village.workstation.enroll(&invite).expect("enrollment");
    village.workstation.wait_until_serving(11).expect("serving");
    // The controller says nothing more: the strictest way to withhold.
    village.fleet.kill_controller();
    let status = wait::until("serving ends with the metadata", 30, || {
        let status = village.workstation.status().map_err(|e| e.to_string())?;
        if status["serving"] == "serving" { Err(status.to_string()) } else { Ok(status) }
    })
    .expect("an end");
    let code = status["serving_code"].as_str().unwrap_or_default().to_owned();
    assert!(["E-TRUST-EXPIRED", "E-LEASE-EXPIRED"].contains(&code.as_str()), "{status}");
    is_refused(&village).expect("refusal");
}

#[test]
fn p2_only_a_published_runtime_serves_and_its_recall_stops_it() {
    let village = Village::serving();
    let (other, worker) = (controller::starter_model(), binaries::path("croft-worker").expect("a worker"));
    let publish = |runtime: &str, file: &std::path::Path| {
        village.fleet.ctl(&["runtime", "publish", runtime, &file.display().to_string()]).expect("published");
    };
    publish("other@1", &other);
    village.workstation.wait_until_refusing("E-RUNTIME-UNAPPROVED", 20).expect("refusal");
    is_refused(&village).expect("refusal");
    wait::until("no worker runs", 20, || match village.workstation.pid_of("worker") {
        Ok(pid) => Err(format!("worker {pid}")),
        Err(_) => Ok(()),
    })
    .expect("none is started either");
    publish("worker@1", &worker);
    village.workstation.wait_until_serving(20).expect("serving");
    village.fleet.ctl(&["recall", "runtime:worker@1", "--reason", "a hole"]).expect("a recall");
    village.workstation.wait_until_refusing("E-RECALLED", 20).expect("refusal");
    is_refused(&village).expect("refusal");
}

#[test]
fn p2_a_baseline_sets_the_lowest_runtime() {
    let village = Village::serving();
    let worker = binaries::path("croft-worker").expect("a worker").display().to_string();
    let publish = |runtime| village.fleet.ctl(&["runtime", "publish", runtime, &worker]).expect("published");
    publish("worker@1");
    village.workstation.wait_until_serving(20).expect("serving");
    let stricter = controller::REPORTING_BASELINE.replace("version: 1", "version: 2")
        + "runtime_minimum:\n  worker: 2\n";
    village.fleet.apply(&stricter).expect("a stricter baseline");
    let status = village.workstation.wait_until_refusing("E-RUNTIME-UNAPPROVED", 20).expect("refusal");
    assert!(status["serving_reason"].to_string().contains("version 2 or newer"), "{status}");
    is_refused(&village).expect("refusal");
    publish("worker@2");
    village.workstation.wait_until_serving(20).expect("serving");
}

#[test]
fn p3_a_recall_key_alone_takes_no_recall_back_and_publishers_do() {
    let village = Village::serving();
    let undo = ["recall", "starter@1", "--undo", "--reason", "the finding was mistaken"];
    let nothing = village.fleet.try_ctl(&undo).expect("croftctl runs");
    crate::assert_refused(&nothing, "E-NOT-FOUND");
    village.fleet.ctl(&["recall", "starter@1", "--reason", "poisoned"]).expect("a recall");
    wait::until("the model is refused", 10, || is_refused(&village)).expect("refusal");

    // On a machine with the recall key and no publisher's key.
    let key = village.fleet.ctl_config().join("keys/targets.pk8");
    let away = key.with_extension("away");
    std::fs::rename(&key, &away).expect("taken away");
    crate::assert_refused(&village.fleet.try_ctl(&undo).expect("croftctl runs"), "E-KEY");
    std::fs::rename(&away, &key).expect("brought back");
    is_refused(&village).expect("still refused");
    let bundles = village.fleet.ctl_json(&["get", "recalls"]).expect("recalls");
    assert_eq!(
        (bundles[0]["target"].as_str(), bundles[0]["state"].as_str()),
        (Some("starter@1"), Some("in force"))
    );

    village.fleet.ctl(&undo).expect("taken back");
    village.workstation.wait_until_serving(30).expect("serving");
    // A later order stops it again.
    village.fleet.ctl(&["recall", "starter@1", "--reason", "poisoned after all"]).expect("a recall");
    wait::until("the model is refused", 10, || is_refused(&village)).expect("refusal");
}
