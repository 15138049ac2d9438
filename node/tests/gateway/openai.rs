//! The OpenAI calls.

use serde_json::{Value, json};

use crate::client::ask;
use crate::peers::{AUTHORIZED, Gateway, MODEL};

fn chat(stream: bool, prompt: &str) -> String {
    json!({"model": MODEL, "messages": [{"role": "user", "content": prompt}], "stream": stream, "max_tokens": 9,
        "stream_options": {"include_usage": true}, "seed": 3, "temperature": 0.0})
    .to_string()
}

#[test]
fn models_are_listed_without_a_key() {
    let (gateway, _worker) = Gateway::serving();
    let reply = ask(gateway.address, "GET", "/v1/models", &[], "");
    assert_eq!(reply.status, 200);
    let ids: Vec<_> =
        reply.json()["data"].as_array().expect("a list").iter().map(|m| m["id"].clone()).collect();
    assert_eq!(ids, [json!(MODEL), json!("chat")]);
}

#[test]
fn a_chat_completion_comes_whole() {
    let (mut gateway, worker) = Gateway::serving();
    let reply = ask(gateway.address, "POST", "/v1/chat/completions", AUTHORIZED, &chat(false, "hello"));
    assert_eq!(reply.status, 200, "{}", reply.body);
    let json = reply.json();
    assert_eq!(json["choices"][0]["message"], json!({"role": "assistant", "content": "ok: hello"}));
    assert_eq!(json["choices"][0]["finish_reason"], "stop");
    assert_eq!(json["usage"]["total_tokens"], 7);
    let generate = worker.generates.recv().expect("a request");
    let sampling = generate.sampling.expect("sampling");
    assert_eq!((generate.max_tokens, sampling.seed, sampling.temperature), (9, 3, 0.0));
    assert_ne!(generate.cache_partition, 0);
    let usage = gateway.usage();
    assert_eq!((usage.slot, usage.requests, usage.prompt_tokens, usage.completion_tokens), (0, 1, 5, 2));
}

#[test]
fn a_chat_completion_streams() {
    let (gateway, _worker) = Gateway::serving();
    let reply = ask(gateway.address, "POST", "/v1/chat/completions", AUTHORIZED, &chat(true, "hello"));
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert!(reply.head.to_lowercase().contains("content-type: text/event-stream"));
    let events = reply.events();
    let text: String = events.iter().filter_map(|e| e["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, "ok: hello");
    assert_eq!(events.last().expect("events")["usage"]["completion_tokens"], 2);
    assert!(reply.body.ends_with("data: [DONE]\n\n"));
}

#[test]
fn a_completion_of_a_long_prompt_crosses_packets() {
    let (gateway, worker) = Gateway::serving();
    let prompt = "long ".repeat(60_000);
    let body = json!({"model": "chat", "prompt": prompt, "ignore_eos": true, "stop": "x"}).to_string();
    let reply = ask(gateway.address, "POST", "/v1/completions", AUTHORIZED, &body);
    assert_eq!(reply.status, 200, "{}", reply.body.get(..200).unwrap_or_default());
    assert_eq!(reply.json()["choices"][0]["text"].as_str().map(str::len), Some(prompt.len() + 4));
    let generate = worker.generates.recv().expect("a request");
    assert!(generate.ignore_eos);
    assert_eq!(generate.stop, ["x"]);
}

#[test]
fn what_the_worker_refuses_has_its_own_status_even_in_a_stream() {
    let (gateway, _worker) = Gateway::serving();
    for stream in [false, true] {
        let reply = ask(gateway.address, "POST", "/v1/chat/completions", AUTHORIZED, &chat(stream, "refuse"));
        assert_eq!((reply.status, reply.code().as_str()), (400, "E-CONTEXT-FULL"));
        assert_eq!(reply.json()["error"]["type"], "invalid_request_error");
    }
}

#[test]
fn faults_in_a_request_are_named() {
    let (gateway, _worker) = Gateway::serving();
    let post = |body: &str| ask(gateway.address, "POST", "/v1/chat/completions", AUTHORIZED, body);
    let malformed = post("{\"model\": \"chat\",\n \"messages\": [}");
    assert_eq!((malformed.status, malformed.code().as_str()), (400, "E-REQUEST-INVALID"));
    let message = malformed.json()["error"]["message"].clone();
    assert!(message.as_str().is_some_and(|message| message.contains("line 2 column 15")), "{message}");
    let mut tools: Value = serde_json::from_str(&chat(false, "x")).expect("JSON");
    tools["functions"] = json!([{"name": "f"}]);
    let reply = post(&tools.to_string());
    assert_eq!((reply.status, reply.code().as_str()), (400, "E-REQUEST-UNSUPPORTED"));
    assert_eq!(reply.json()["error"]["message"], "functions is not supported");
    let unknown = post(&chat(false, "x").replace(MODEL, "other"));
    assert_eq!((unknown.status, unknown.code().as_str()), (404, "E-MODEL-UNKNOWN"));
}
