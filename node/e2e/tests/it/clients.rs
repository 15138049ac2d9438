//! The clients that people have, against a live node: the openai and ollama packages from PyPI, and the requests of
//! editors as they were recorded.

use std::path::PathBuf;
use std::process::Command;

use croft_e2e::api::{Answer, Api};
use croft_e2e::{binaries, process};
use serde_json::{Value, json};

use crate::Village;

const ANSWER: &str = "assert_eq!(add(2, 3), 5);";
const QUESTION: &str = "test that add(2, 3) is 5";

/// The Python with both packages: as `make test` exports it, else where `.ci/setup.sh clients` puts it.
fn python() -> PathBuf {
    let found = std::env::var_os("CROFT_CLIENTS_PYTHON").map(PathBuf::from);
    let python = found.unwrap_or_else(|| binaries::repository().join("target/setup/venv/bin/python"));
    assert!(python.is_file(), "no API clients at {}; run .ci/setup.sh clients", python.display());
    python
}

/// Runs a script of `tests/clients` against the village's node.
#[track_caller]
pub fn run_script(village: &Village, name: &str) {
    let station = &village.workstation;
    let script = binaries::repository().join("node/e2e/tests/clients").join(name);
    // Root is nobody to a node, so it needs the key; anybody else enrolled themselves.
    let is_stranger = rustix::process::getuid().is_root();
    let output = process::run(
        Command::new(python())
            .arg("-B")
            .arg(script)
            .env("CROFT_BASE", station.gateway())
            .env("CROFT_KEY", station.api_key().expect("a key"))
            .env("CROFT_STRANGER", if is_stranger { "1" } else { "0" })
            .env("NO_PROXY", "127.0.0.1"),
    )
    .expect("the script runs");
    assert_eq!(output.code, Some(0), "{}\n{}", output.stdout, output.stderr);
}

#[test]
fn the_clients_of_pypi_work_as_they_are() {
    let village = Village::serving();
    run_script(&village, "openai_client.py");
    run_script(&village, "ollama_client.py");
}

fn stranger_and_caller(village: &Village) -> (Api, Api) {
    let station = &village.workstation;
    let key = station.api_key().expect("a key");
    (Api::new(&station.gateway(), None), Api::new(&station.gateway(), Some(&key)))
}

/// The JSON objects of a stream of lines; ureq hands a body that is not one JSON over as text.
fn lines(answer: &Answer) -> Vec<Value> {
    let text = answer.body.as_str().expect("lines");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn streamed_chat(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    let lines = lines(answer);
    assert_eq!(lines.last().expect("lines")["done"], true);
    lines.iter().filter_map(|line| line["message"]["content"].as_str()).collect()
}

#[test]
fn the_requests_of_editors_are_answered_as_recorded() {
    let village = Village::serving();
    let (stranger, caller) = stranger_and_caller(&village);
    vs_code_discovers_models(&stranger);
    zed_chats(&stranger, &caller);
    continue_completes(&stranger, &caller);
    cline_chats(&caller);
    aider_chats(&caller);
}

/// VS Code's Ollama provider asks for the version, then what there is, and shows no key for either.
fn vs_code_discovers_models(stranger: &Api) {
    let version = stranger.get("/api/version").expect("a version");
    let text = version.body["version"].as_str().expect("a version").to_owned();
    let numbers: Vec<u32> =
        text.split(['.', '-', '+']).take(3).map(|part| part.parse().expect("a number")).collect();
    assert!(numbers.as_slice() >= [0, 6, 4].as_slice(), "{text}");
    let tags = stranger.get("/api/tags").expect("tags");
    for model in tags.body["models"].as_array().expect("a list") {
        let shown = stranger.post("/api/show", &json!({"model": model["model"]})).expect("a model");
        assert_eq!(shown.status, 200, "{shown:?}");
        assert!(shown.body["capabilities"].as_array().is_some_and(|all| !all.is_empty()), "{shown:?}");
        let info = &shown.body["model_info"];
        let family = info["general.architecture"].as_str().expect("an architecture");
        assert!(info[format!("{family}.context_length")].as_u64().is_some_and(|n| n > 0), "{info}");
        assert!(info["general.basename"].is_string(), "{info}");
    }
}

/// Zed demands every text of `details`, and keeps models for ever if it may.
fn zed_chats(stranger: &Api, caller: &Api) {
    let tags = stranger.get("/api/tags").expect("tags");
    for model in tags.body["models"].as_array().expect("a list") {
        for name in ["format", "family", "parameter_size", "quantization_level"] {
            assert!(model["details"][name].is_string(), "{name}: {model}");
        }
        assert!(model["name"].is_string() && model["modified_at"].is_string() && model["size"].is_u64());
    }
    let body = json!({"model": "chat", "keep_alive": -1, "stream": true, "tools": [],
        "messages": [{"role": "system", "content": ""}, {"role": "user", "content": QUESTION}],
        "options": {"num_ctx": 16384, "num_predict": null, "stop": [], "temperature": 0.0, "top_p": null}});
    let answer = caller.post("/api/chat", &body).expect("an answer");
    streamed_chat(&answer);
}

/// Continue shows models by `name`, and completes with `raw`.
fn continue_completes(stranger: &Api, caller: &Api) {
    let shown = stranger.post("/api/show", &json!({"name": "chat"})).expect("a model");
    assert!(shown.body["template"].is_string(), "{shown:?}");
    let body = json!({"model": "complete", "prompt": "fn add(", "raw": true, "stream": true, "keep_alive": 1800,
        "options": {"temperature": 0, "num_predict": 4, "num_ctx": 8192, "stop": ["\n\n"]}});
    let answer = caller.post("/api/generate", &body).expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(lines(&answer).last().expect("lines")["done"], true);
}

/// Cline asks for more context than there is, and waits 30 s for the first piece.
fn cline_chats(caller: &Api) {
    let body = json!({"model": "chat", "stream": true, "options": {"num_ctx": 32768, "temperature": 0},
        "messages": [{"role": "user", "content": QUESTION}]});
    assert_eq!(streamed_chat(&caller.post("/api/chat", &body).expect("an answer")), ANSWER);
}

/// aider speaks through LiteLLM's `ollama_chat`.
fn aider_chats(caller: &Api) {
    let body = json!({"model": "chat", "stream": true, "options": {"num_ctx": 8192, "temperature": 0},
        "messages": [{"role": "user", "content": QUESTION}], "format": null, "tools": null});
    assert_eq!(streamed_chat(&caller.post("/api/chat", &body).expect("an answer")), ANSWER);
}
