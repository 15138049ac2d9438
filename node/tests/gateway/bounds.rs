//! What the baseline bounds: data by class, use by caller, and how long a model stays loaded.

use croft_proto::frames::{GatewayPolicy, KeepAlive, Spent, Wanted, from_gateway, to_gateway};
use serde_json::json;

use crate::client::{Reply, ask, finish, open};
use crate::peers::{AUTHORIZED, Gateway, now_s, policy};
use crate::worker::Worker;

const CHAT: &str = r#"{"model": "chat", "messages": [{"role": "user", "content": "hello"}]}"#;

fn serving(change: impl FnOnce(&mut GatewayPolicy)) -> (Gateway, Worker) {
    let mut gateway = Gateway::start();
    let mut policy = policy();
    change(&mut policy);
    gateway.tell_policy(policy);
    let worker = gateway.worker(1);
    (gateway, worker)
}

fn post(gateway: &Gateway, class: Option<&str>) -> Reply {
    let headers: Vec<_> =
        AUTHORIZED.iter().copied().chain(class.map(|class| ("x-croft-data-class", class))).collect();
    ask(gateway.address, "POST", "/v1/chat/completions", &headers, CHAT)
}

#[test]
fn data_of_a_higher_class_than_the_model_is_approved_for_is_refused() {
    let (gateway, _worker) = serving(|_| {});
    for class in [None, Some("public"), Some("internal"), Some("Confidential")] {
        assert_eq!(post(&gateway, class).status, 200, "{class:?}");
    }
    let refused = post(&gateway, Some("restricted"));
    assert_eq!((refused.status, refused.code().as_str()), (403, "E-DATA-CLASS"));
    assert!(refused.json()["error"]["message"].as_str().is_some_and(|text| text.contains("confidential")));
    let unknown = post(&gateway, Some("secret"));
    assert_eq!((unknown.status, unknown.code().as_str()), (400, "E-REQUEST-INVALID"));
    let headers = [AUTHORIZED[0], ("x-croft-data-class", "restricted")];
    let body = r#"{"model": "chat", "input": "a"}"#;
    let vectors = ask(gateway.address, "POST", "/v1/embeddings", &headers, body);
    assert_eq!((vectors.status, vectors.code().as_str()), (403, "E-DATA-CLASS"));
}

#[test]
fn what_nobody_declared_is_taken_for_what_the_baseline_says() {
    let (gateway, _worker) = serving(|policy| policy.data_class = "restricted".into());
    assert_eq!(post(&gateway, None).code(), "E-DATA-CLASS");
    assert_eq!(post(&gateway, Some("public")).status, 200);
    // A class that this program does not know is taken for the strictest.
    let (gateway, _worker) = serving(|policy| policy.data_class = "cosmic".into());
    assert_eq!(post(&gateway, None).code(), "E-DATA-CLASS");
}

#[test]
fn a_caller_that_used_up_its_day_is_told_when_to_come_again() {
    let (mut gateway, _worker) = serving(|policy| policy.tokens_per_day = 10);
    // 7 tokens a request, as the worker counts.
    assert_eq!(post(&gateway, None).status, 200);
    gateway.usage();
    assert_eq!(post(&gateway, None).status, 200);
    gateway.usage();
    let refused = post(&gateway, None);
    assert_eq!((refused.status, refused.code().as_str()), (429, "E-QUOTA-SPENT"));
    let head = refused.head.to_lowercase();
    let wait = head.split("retry-after: ").nth(1).and_then(|rest| rest.lines().next()).expect("a header");
    assert!((1..=86_400).contains(&wait.trim().parse::<u32>().expect("seconds")), "{wait}");
}

#[test]
fn a_gateway_that_is_started_again_does_not_begin_at_zero() {
    let (gateway, _worker) = serving(|policy| policy.tokens_per_day = 10);
    let day = now_s() / 86_400;
    gateway.tell(to_gateway::Message::Spent(Spent { day, uid: None, tokens: 10 }));
    // Messages come in order: what follows is told after it.
    gateway.tell_policy(GatewayPolicy { tokens_per_day: 10, ..policy() });
    let refused = || post(&gateway, None).code() == "E-QUOTA-SPENT";
    assert!((0..1).any(|_| refused()));
}

#[test]
fn a_caller_has_only_so_many_requests_under_way() {
    let (gateway, worker) = serving(|policy| policy.in_flight_max = 2);
    let hang = json!({"model": "chat", "messages": [{"role": "user", "content": "hang"}]}).to_string();
    let open = || open(gateway.address, "POST", "/v1/chat/completions", AUTHORIZED, &hang);
    let (first, second) = (open(), open());
    let requests = [worker.generates.recv(), worker.generates.recv()];
    assert!(requests.iter().all(Result::is_ok));
    let refused = post(&gateway, None);
    assert_eq!((refused.status, refused.code().as_str()), (429, "E-QUOTA-SPENT"));
    assert!(refused.head.to_lowercase().contains("retry-after: 2"), "{}", refused.head);
    drop(first);
    worker.cancels.recv().expect("a cancellation");
    assert_eq!(post(&gateway, None).status, 200, "its place was given back");
    gateway.worker_down();
    finish(second);
}

#[test]
fn how_long_a_model_stays_loaded_is_cut_and_handed_on() {
    let (mut gateway, _worker) = serving(|policy| policy.keep_alive_max_s = Some(600));
    for (asked, told) in
        [(json!(-1), 600), (json!("5m"), 300), (json!(0), 0), (json!(1800), 600), (json!("24h"), 600)]
    {
        let body = json!({"model": "chat", "keep_alive": asked}).to_string();
        let reply = ask(gateway.address, "POST", "/api/generate", AUTHORIZED, &body);
        assert_eq!(reply.status, 200, "{}", reply.body);
        let expected = from_gateway::Message::KeepAlive(KeepAlive { slot: 0, seconds: told });
        assert_eq!(gateway.word(), expected, "{asked}");
    }
    let bad =
        ask(gateway.address, "POST", "/api/chat", AUTHORIZED, r#"{"model": "chat", "keep_alive": "soon"}"#);
    assert_eq!((bad.status, bad.code().as_str()), (400, "E-REQUEST-INVALID"));
}

#[test]
fn a_request_for_a_resting_model_has_it_woken() {
    let (mut gateway, worker) = serving(|_| {});
    worker.crash();
    gateway.worker_down();
    let gone = || ask(gateway.address, "GET", "/api/ps", &[], "").json() == json!({"models": []});
    assert!((0..10_000).any(|_| gone()));
    let waiting = open(gateway.address, "POST", "/v1/chat/completions", AUTHORIZED, CHAT);
    assert_eq!(gateway.word(), from_gateway::Message::Wanted(Wanted { slot: 0 }));
    let _second = gateway.worker(2);
    assert_eq!(finish(waiting).status, 200);
}
