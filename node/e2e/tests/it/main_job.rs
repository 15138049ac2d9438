//! The main job: from an invite to answers, and what the admin and the developer see of it.

use croft_e2e::api::{Api, text_of};
use serde_json::json;

use crate::Village;

#[test]
fn a_developer_asks_and_the_admin_sees_a_node_that_passes() {
    let village = Village::serving();
    let station = &village.workstation;
    let api = Api::new(&station.gateway(), Some(&station.api_key().expect("a key")));

    let answer = api.ask("test that add(2, 3) is 5").expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(text_of(&answer), "assert_eq!(add(2, 3), 5);");
    assert!(answer.body["usage"]["completion_tokens"].as_u64().is_some_and(|n| n > 0), "{answer:?}");
    let streamed = api.ask_streaming("test that add(2, 3) is 5").expect("a stream");
    assert_eq!(streamed.text, "assert_eq!(add(2, 3), 5);");

    let models = api.get("/v1/models").expect("models");
    assert!(models.body.to_string().contains("starter"), "{models:?}");
    let tags = api.get("/api/tags").expect("tags");
    assert!(tags.body["models"].as_array().is_some_and(|m| !m.is_empty()), "{tags:?}");
    let chat = api
        .post(
            "/api/chat",
            &json!({"model": "chat", "stream": false, "options": {"temperature": 0},
            "messages": [{"role": "user", "content": "test that add(2, 3) is 5"}]}),
        )
        .expect("an answer");
    assert_eq!(chat.body["message"]["content"], "assert_eq!(add(2, 3), 5);", "{chat:?}");

    let nodes = village.fleet.ctl_json(&["get", "nodes"]).expect("nodes");
    assert_eq!(nodes.as_array().map(Vec::len), Some(1), "{nodes}");
    let described = village.fleet.ctl_json(&["describe", "node", &village.node_id()]).expect("the node");
    assert!(described.to_string().contains("self-test"), "{described}");
    let bundles = village.fleet.ctl_json(&["get", "bundles"]).expect("bundles");
    assert!(bundles.to_string().contains("starter@1"), "{bundles}");
    let baselines = village.fleet.ctl_json(&["get", "baselines"]).expect("baselines");
    assert!(baselines.to_string().contains("starter@1"), "{baselines}");
}

#[test]
fn more_than_one_request_is_answered_at_a_time() {
    let village = Village::serving();
    let station = &village.workstation;
    let api = Api::new(&station.gateway(), Some(&station.api_key().expect("a key")));
    let answers: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| text_of(&api.ask("test that add(2, 3) is 5").expect("an answer"))))
            .collect();
        threads.into_iter().map(|t| t.join().expect("a thread")).collect()
    });
    assert_eq!(answers, vec!["assert_eq!(add(2, 3), 5);"; 4]);
}

#[test]
fn p1_the_kernel_confines_gateway_and_worker_as_seen_from_outside() {
    let village = Village::serving();
    for role in ["gateway", "worker"] {
        let pid = village.workstation.pid_of(role).expect("a pid");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_whitespace().nth(1).unwrap_or_default().to_owned()
        };
        assert_eq!(field("Seccomp:"), "2", "{role}");
        assert_eq!(field("NoNewPrivs:"), "1", "{role}");
        assert_eq!(field("CapEff:"), "0000000000000000", "{role}");
    }
}

#[test]
fn the_report_tells_nodes_reasons_and_bundles_and_stands_alone() {
    let village = Village::serving();
    let fleet = &village.fleet;
    fleet.ctl(&["report", "create"]).expect("a report");
    let file = village.folder.path().join("report.html");
    fleet
        .ctl(&["report", "show", "--format", "html", "--out", &file.display().to_string()])
        .expect("the report");
    let html = std::fs::read_to_string(&file).expect("the report");
    for word in ["Acme", "starter@1", "disk-encryption", "sha256:"] {
        assert!(html.contains(word), "{word} is missing");
    }
    for outside in ["http://", "https://", "<script", "@import", "url("] {
        assert!(!html.contains(outside), "the report reaches outside: {outside}");
    }
    let json = fleet.ctl(&["report", "show", "--format", "json"]).expect("the report");
    let parsed: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(parsed["nodes"].as_array().map(Vec::len), Some(1), "{parsed}");
}

#[test]
fn pausing_stops_serving_and_resuming_brings_it_back() {
    let village = Village::serving();
    village.workstation.croft(&["pause"]).expect("pausing");
    village.workstation.wait_until_refusing("E-PAUSED", 10).expect("refusal");
    village.workstation.croft(&["resume"]).expect("resuming");
    village.workstation.wait_until_serving(30).expect("serving");
}
