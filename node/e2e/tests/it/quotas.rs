//! What a caller used today is not forgotten by a daemon that is started again.

use croft_e2e::api::{Answer, Api};
use croft_e2e::controller::REPORTING_BASELINE;
use croft_e2e::wait;

use crate::Village;

fn ask(village: &Village) -> Answer {
    let station = &village.workstation;
    let api = Api::new(&station.gateway(), Some(&station.api_key().expect("a key")));
    api.ask("list all orders").expect("an answer or a refusal")
}

#[track_caller]
fn assert_spent(village: &Village) {
    let answer = ask(village);
    let told = (answer.status, answer.body["error"]["code"].as_str());
    assert_eq!(told, (429, Some("E-QUOTA-SPENT")), "{answer:?}");
}

#[test]
fn a_quota_that_is_spent_stays_spent_when_the_daemon_is_killed_or_stopped() {
    // One answer takes more than this.
    let baseline = format!("{REPORTING_BASELINE}usage:\n  tokens_per_day: 4\n");
    let mut village = Village::with(&baseline, "info").enrolled();
    assert_eq!(ask(&village).status, 200);
    assert_spent(&village);
    // It is written seconds after the answer.
    let kept = village.workstation.state().join("spent.json");
    let read = || std::fs::read_to_string(&kept).map_err(|e| e.to_string());
    let text = wait::until("it is on disk", 30, read).expect("kept");
    // Numbers by account, and nothing of what was asked.
    assert!(!text.contains("orders") && text.len() < 200, "{text}");
    village.workstation.kill();
    village.workstation.start().expect("started");
    village.workstation.wait_until_serving(60).expect("serving");
    assert_spent(&village);
    village.workstation.stop().expect("stopped");
    village.workstation.start().expect("started");
    village.workstation.wait_until_serving(60).expect("serving");
    assert_spent(&village);
    // Whoever leaves takes the count along.
    village.workstation.croft(&["leave", "--yes"]).expect("left");
    assert!(!kept.exists());
}
