//! What the baseline keeps from models: blocked or replaced before a worker sees it, told by kind, counted, never quoted.

use croft_proto::frames::{DataRule, GatewayPolicy, generate};
use serde_json::json;

use crate::client::ask;
use crate::peers::{AUTHORIZED, Gateway, policy};
use crate::worker::Worker;

const CARD: &str = "4111 1111 1111 1111";

fn serving_with(rules: &[(&str, &str)]) -> (Gateway, Worker) {
    let (gateway, worker) = Gateway::serving();
    let mut policy = policy();
    policy.data_rules = rules
        .iter()
        .map(|(class, action)| DataRule { data_class: (*class).into(), action: (*action).into() })
        .collect();
    gateway.tell_policy(policy);
    (gateway, worker)
}

fn chat(prompt: &str, stream: bool) -> String {
    json!({"model": "chat", "messages": [{"role": "user", "content": prompt}], "stream": stream}).to_string()
}

#[test]
fn p6_a_blocked_kind_never_reaches_the_worker_and_is_named_without_a_quote() {
    let (mut gateway, worker) = serving_with(&[("payment-cards", "block"), ("email-addresses", "allow")]);
    let prompt = format!("jane@acme.io pays with {CARD}");
    for (path, body) in [
        ("/v1/chat/completions", chat(&prompt, false)),
        ("/v1/chat/completions", chat(&prompt, true)),
        ("/v1/completions", json!({"model": "chat", "prompt": prompt}).to_string()),
        ("/api/chat", chat(&prompt, true)),
        ("/api/generate", json!({"model": "chat", "prompt": prompt, "raw": true}).to_string()),
    ] {
        let reply = ask(gateway.address, "POST", path, AUTHORIZED, &body);
        assert_eq!((reply.status, reply.code().as_str()), (403, "E-DATA-BLOCKED"), "{path}");
        assert!(reply.body.contains("a payment card number"), "{}", reply.body);
        assert!(!reply.body.contains("4111") && !reply.body.contains("jane"), "{}", reply.body);
    }
    let mut blocked = 0;
    while blocked < 5 {
        let usage = gateway.usage();
        assert_eq!((usage.slot, usage.requests, usage.redacted), (0, 0, 0));
        blocked += usage.blocked;
    }
    assert!(worker.generates.try_recv().is_err(), "the worker saw a request");
    let (_, log) = gateway.hang_up();
    assert!(!log.contains("4111") && !log.contains("jane"), "{log}");
}

#[test]
fn p6_a_redacted_kind_is_a_mark_for_the_worker_and_the_answer_says_so() {
    let (mut gateway, worker) = serving_with(&[("payment-cards", "redact"), ("email-addresses", "redact")]);
    let prompt = format!("jane@acme.io pays with {CARD}");
    let reply = ask(gateway.address, "POST", "/v1/chat/completions", AUTHORIZED, &chat(&prompt, false));
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert!(reply.head.contains("x-croft-redacted: email-address=1, payment-card=1"), "{}", reply.head);
    let seen = worker.generates.recv().expect("a request").input;
    let Some(generate::Input::Chat(chat)) = seen else { panic!("a conversation") };
    assert_eq!(chat.messages[0].content, "[redacted: email-address] pays with [redacted: payment-card]");
    let usage = gateway.usage();
    assert_eq!(usage.redacted + gateway_rest(&mut gateway, usage.requests), 1);
}

/// Counters may come in one message or two.
fn gateway_rest(gateway: &mut Gateway, requests: u64) -> u64 {
    if requests > 0 { 0 } else { gateway.usage().redacted }
}

#[test]
fn a_long_text_is_looked_through_to_its_end() {
    let (gateway, _worker) = serving_with(&[("payment-cards", "block")]);
    let prompt = format!("{}{CARD}", "long ".repeat(60_000));
    let reply = ask(gateway.address, "POST", "/v1/chat/completions", AUTHORIZED, &chat(&prompt, false));
    assert_eq!((reply.status, reply.code().as_str()), (403, "E-DATA-BLOCKED"));
}

#[test]
fn what_no_baseline_names_passes_unchanged() {
    let (gateway, worker) = serving_with(&[]);
    let reply = ask(gateway.address, "POST", "/v1/chat/completions", AUTHORIZED, &chat(CARD, false));
    assert_eq!(reply.status, 200);
    assert!(!reply.head.contains("x-croft-redacted"));
    let Some(generate::Input::Chat(chat)) = worker.generates.recv().expect("a request").input else {
        panic!("a conversation")
    };
    assert_eq!(chat.messages[0].content, CARD);
}

/// Answers repeat the prompt here, so a prompt under no rule makes an answer that breaks one.
fn guarded(action: &str) -> (Gateway, Worker) {
    let mut gateway = Gateway::start();
    let rule = |class: &str| DataRule { data_class: class.into(), action: action.into() };
    let answer_rules = vec![rule("payment-cards"), rule("access-tokens")];
    gateway.tell_policy(GatewayPolicy { answer_rules, ..policy() });
    let worker = gateway.worker(1);
    (gateway, worker)
}

#[test]
fn p6_answers_are_looked_through_whole_and_streamed() {
    let (mut gateway, _worker) = guarded("redact");
    for stream in [false, true] {
        let body = json!({"model": "chat", "stream": stream,
            "messages": [{"role": "user", "content": "4111 1111 1111 1111 it is"}]});
        let reply = ask(gateway.address, "POST", "/v1/chat/completions", AUTHORIZED, &body.to_string());
        assert_eq!(reply.status, 200, "{}", reply.body);
        assert!(!reply.body.contains("1111"), "{}", reply.body);
        let text: String = if stream {
            reply
                .events()
                .iter()
                .filter_map(|e| e["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
                .collect()
        } else {
            reply.json()["choices"][0]["message"]["content"].as_str().expect("text").to_owned()
        };
        assert_eq!(text, "ok: [redacted: payment-card] it is");
        let mut redacted = 0;
        while redacted == 0 {
            redacted = gateway.usage().redacted;
        }
    }
    let body = json!({"model": "chat", "logprobs": true, "messages": [{"role": "user", "content": "x"}]});
    let reply = ask(gateway.address, "POST", "/v1/chat/completions", AUTHORIZED, &body.to_string());
    assert_eq!((reply.status, reply.code().as_str()), (400, "E-REQUEST-UNSUPPORTED"));
}

#[test]
fn p6_an_answer_that_is_blocked_ends_and_is_not_quoted() {
    let (gateway, worker) = guarded("block");
    for stream in [false, true] {
        let body = json!({"model": "chat", "stream": stream,
            "messages": [{"role": "user", "content": format!("{CARD} and so on")}]});
        let reply = ask(gateway.address, "POST", "/v1/chat/completions", AUTHORIZED, &body.to_string());
        assert!(reply.body.contains("E-DATA-BLOCKED") && !reply.body.contains("1111"), "{}", reply.body);
        worker.generates.recv().expect("a request");
    }
}
