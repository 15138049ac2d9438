//! A person asks for another model, and the admin hears of that and of nothing else.

use serde_json::{Value, json};

use crate::{Village, assert_refused};

const CODER: &str = "https://huggingface.co/acme/coder-GGUF";

fn open_requests(village: &Village) -> Vec<Value> {
    let listed = village.fleet.ctl_json(&["requests", "list"]).expect("a list");
    let items = if listed.is_array() { listed.clone() } else { listed["items"].clone() };
    items.as_array().unwrap_or_else(|| panic!("{listed}")).clone()
}

/// What was sent for requests, as `croft privacy` shows it.
fn sent(village: &Village) -> Vec<Value> {
    let shown = village.workstation.croft_json(&["privacy"]).expect("what was sent");
    let all = shown["sent"].as_array().expect("a list").iter();
    let of_requests = all.filter(|message| message["kind"] == "RequestModel");
    of_requests
        .map(|message| {
            serde_json::from_str(message["content"]["text"].as_str().expect("text")).expect("JSON")
        })
        .collect()
}

#[test]
fn p10_a_request_tells_the_address_and_the_reason_and_nothing_else() {
    let village = Village::serving();
    let station = &village.workstation;
    let with_query = format!("{CODER}?token=zanzibarquux#mine");
    let asked = station.croft(&["request", &with_query, "--why", "it writes Rust"]).expect("asked");
    assert!(asked.says(CODER) && !asked.says("zanzibarquux"), "{asked:?}");
    let exactly = json!({"call": "RequestModel", "source": CODER, "reason": "it writes Rust"});
    assert_eq!(sent(&village), [exactly]);
    // Asked again, it is the same request with another reason.
    station.croft(&["request", CODER, "--why", "it writes Go too"]).expect("asked");
    let open = open_requests(&village);
    assert_eq!(open.len(), 1, "{open:?}");
    assert_eq!((&open[0]["source"], &open[0]["reason"]), (&json!(CODER), &json!("it writes Go too")));
    assert_eq!(
        (open[0]["node"].as_str(), &open[0]["group"]),
        (Some(village.node_id().as_str()), &json!("dev"))
    );
    let id = open[0]["request"].as_str().expect("an id");
    let close = ["requests", "close", id, "--outcome", "approved", "--note", "assigned next week"];
    village.fleet.ctl(&close).expect("closed");
    assert!(open_requests(&village).is_empty());
    assert_refused(&village.fleet.try_ctl(&close).expect("croftctl runs"), "E-NOT-FOUND");
    let log = village.fleet.ctl(&["audit", "log"]).expect("the log");
    assert!(log.says("request.close") && log.says("assigned next week"), "{log:?}");
}

#[test]
fn requests_are_bounded_and_refused_with_their_reason() {
    let mut village = Village::serving();
    let refused = |arguments: &[&str], code| {
        let all = [&["request"], arguments].concat();
        assert_refused(&village.workstation.try_croft(&all).expect("croft runs"), code);
    };
    refused(&["https://me:secret@huggingface.co/x", "--why", "x"], "E-INPUT");
    refused(&["acme/coder", "--why", "x"], "E-INPUT");
    refused(&[CODER, "--why", " "], "E-INPUT");
    refused(&[CODER, "--why", &"x".repeat(2000)], "E-INPUT");
    assert!(sent(&village).is_empty(), "what is refused is not sent");
    for number in 0..8 {
        let source = format!("{CODER}-{number}");
        village.workstation.croft(&["request", &source, "--why", "x"]).expect("asked");
    }
    refused(&[CODER, "--why", "one too many"], "E-QUEUE-FULL");
    village.workstation.croft(&["request", &format!("{CODER}-3"), "--why", "an open one"]).expect("asked");
    assert_eq!(open_requests(&village).len(), 8);
    village.fleet.stop_controller().expect("stopped");
    let output = village.workstation.try_croft(&["request", CODER, "--why", "x"]).expect("croft runs");
    assert_refused(&output, "E-NET-UNREACHABLE");
}

#[test]
fn who_asked_reads_the_answer_and_nobody_else_does() {
    let village = Village::serving();
    let station = &village.workstation;
    let listed = || station.croft_json(&["request", "--list"]).expect("a list")["asked"].clone();
    assert_eq!(listed(), json!([]));
    for (name, outcome, note) in
        [("a", "approved", "from Monday on"), ("b", "denied", "too large"), ("c", "", "")]
    {
        let source = format!("{CODER}-{name}");
        station.croft(&["request", &source, "--why", "it writes Rust"]).expect("asked");
        if outcome.is_empty() {
            continue;
        }
        let open = open_requests(&village);
        let id = open[0]["request"].as_str().expect("an id");
        village.fleet.ctl(&["requests", "close", id, "--outcome", outcome, "--note", note]).expect("closed");
    }
    let asked = listed();
    let answer = |name: &str| {
        let source = format!("{CODER}-{name}");
        let found = asked.as_array().expect("a list").iter().find(|line| line["source"] == source.as_str());
        let found = found.unwrap_or_else(|| panic!("{asked}"));
        (found["outcome"].clone(), found["note"].clone(), found["answered_at"].is_null())
    };
    assert_eq!(answer("a"), (json!("approved"), json!("from Monday on"), false));
    assert_eq!(answer("b"), (json!("denied"), json!("too large"), false));
    assert_eq!(answer("c"), (json!("pending"), json!(""), true));
    let shown = station.croft(&["request", "--list"]).expect("a list");
    assert!(shown.says("approved") && shown.says("from Monday on"), "{shown:?}");
    // Asking once more for what was denied opens it again.
    station.croft(&["request", &format!("{CODER}-b"), "--why", "a smaller one"]).expect("asked");
    assert_eq!(open_requests(&village).len(), 2);
    let refused = station.try_croft(&["request"]).expect("croft runs");
    assert_eq!(refused.code, Some(2), "{refused:?}");
}
