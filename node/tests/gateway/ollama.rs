//! The Ollama calls.

use serde_json::json;

use crate::client::ask;
use crate::peers::{AUTHORIZED, Gateway, MODEL};

#[test]
fn what_editors_ask_first_needs_no_key() {
    let (gateway, _worker) = Gateway::serving();
    let get = |path| ask(gateway.address, "GET", path, &[], "");
    assert_eq!(get("/").body, "Croft is running");
    let head = ask(gateway.address, "HEAD", "/", &[], "");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    let version = get("/api/version").json()["version"].clone();
    assert!(version.as_str().is_some_and(|version| version.starts_with("0.12.6")), "{version}");
    let tags = get("/api/tags").json();
    assert_eq!(tags["models"][0]["name"], MODEL);
    assert_eq!(tags["models"][0]["details"]["parameter_size"], "494.03M");
    assert!(!tags.to_string().contains("unknown"), "{tags}");
    assert_eq!(get("/api/ps").json()["models"][0]["context_length"], 4096);
    let show = ask(gateway.address, "POST", "/api/show", &[], &json!({"name": "chat"}).to_string());
    assert_eq!(show.json()["model_info"]["qwen2.context_length"], 4096);
    let shown = show.json();
    assert!(shown["template"].as_str().is_some_and(|template| template.starts_with("{{ messages }}")));
    assert_eq!(shown["capabilities"], json!(["completion", "insert", "embedding", "rerank"]));
    assert_eq!(shown["details"]["quantization_level"], "Q4_K_M");
    let ps = get("/api/ps").json();
    assert_eq!((ps["models"].as_array().map(Vec::len), &ps["models"][0]["name"]), (Some(1), &json!(MODEL)));
    gateway.worker_down();
    let resting = || get("/api/ps").json() == json!({"models": []});
    assert!((0..10_000).any(|_| resting()), "a model whose process ended is none that runs");
    let shown_again = ask(gateway.address, "POST", "/api/show", &[], &json!({"name": "chat"}).to_string());
    assert_eq!(shown_again.json()["capabilities"], shown["capabilities"], "it can the same while it rests");
}

#[test]
fn a_chat_streams_lines() {
    let (gateway, worker) = Gateway::serving();
    let body = json!({"model": "chat:latest", "messages": [{"role": "user", "content": "hello"}], "keep_alive": -1,
        "options": {"num_ctx": 32768, "num_predict": -1, "temperature": 0.5}});
    let reply = ask(gateway.address, "POST", "/api/chat", AUTHORIZED, &body.to_string());
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert!(reply.head.to_lowercase().contains("content-type: application/x-ndjson"));
    let lines = reply.lines();
    let text: String = lines.iter().filter_map(|line| line["message"]["content"].as_str()).collect();
    assert_eq!(text, "ok: hello");
    let last = lines.last().expect("lines");
    assert_eq!((&last["done"], &last["done_reason"]), (&json!(true), &json!("stop")));
    assert_eq!((&last["eval_count"], &last["eval_duration"]), (&json!(2), &json!(2_000_000)));
    assert!(last["total_duration"].as_u64().is_some_and(|ns| ns > 0));
    assert_eq!(worker.generates.recv().expect("a request").max_tokens, 0);
}

#[test]
fn generate_comes_whole() {
    let (gateway, _worker) = Gateway::serving();
    let body = json!({"model": "chat", "prompt": "raw text", "raw": true, "stream": false});
    let reply = ask(gateway.address, "POST", "/api/generate", AUTHORIZED, &body.to_string());
    assert_eq!(reply.json()["response"], "ok: raw text", "{}", reply.body);
    let load =
        ask(gateway.address, "POST", "/api/generate", AUTHORIZED, r#"{"model": "chat", "keep_alive": 0}"#);
    assert_eq!(load.json()["done_reason"], "load");
}

#[test]
fn models_are_managed() {
    let (gateway, _worker) = Gateway::serving();
    for (method, path) in [
        ("POST", "/api/pull"),
        ("POST", "/api/push"),
        ("POST", "/api/create"),
        ("POST", "/api/copy"),
        ("DELETE", "/api/delete"),
        ("POST", "/api/blobs/sha256:00"),
    ] {
        let reply = ask(gateway.address, method, path, AUTHORIZED, r#"{"model": "x"}"#);
        assert_eq!((reply.status, reply.code().as_str()), (403, "E-MANAGED"), "{path}");
        assert!(reply.json()["error"].is_string() && reply.json()["hint"].is_string());
    }
}
