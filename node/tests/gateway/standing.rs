//! Whether the machine may serve, and what happens to answers when a worker or the daemon goes away.

use croft_proto::frames::{Drain, GatewayPolicy, to_gateway};
use serde_json::json;

use crate::client::{Reply, ask, begun, finish, open};
use crate::peers::{AUTHORIZED, Gateway, boottime_ms, now_s, policy};

fn chat(prompt: &str, stream: bool) -> String {
    json!({"model": "chat", "messages": [{"role": "user", "content": prompt}], "stream": stream}).to_string()
}

fn ask_chat(gateway: &Gateway, prompt: &str) -> Reply {
    ask(gateway.address, "POST", "/v1/chat/completions", AUTHORIZED, &chat(prompt, false))
}

/// A policy under which nothing may run, believed by the gateway.
fn refused(change: impl FnOnce(&mut GatewayPolicy)) -> Reply {
    let mut gateway = Gateway::start();
    let mut policy = policy();
    change(&mut policy);
    gateway.tell_policy(policy);
    let _worker = gateway.worker(1);
    ask_chat(&gateway, "x")
}

#[test]
fn p4_without_policy_nothing_is_inferred() {
    let gateway = Gateway::start();
    let reply = ask_chat(&gateway, "x");
    assert_eq!((reply.status, reply.code().as_str()), (403, "E-LEASE-NONE"));
    let ollama = ask(gateway.address, "POST", "/api/chat", &[], &chat("x", false));
    assert_eq!((ollama.status, ollama.code().as_str()), (403, "E-LEASE-NONE"));
    assert_eq!(ask(gateway.address, "GET", "/api/tags", &[], "").json(), json!({"models": []}));
}

#[test]
fn p4_the_refusal_says_why() {
    let reply = refused(|policy| {
        policy.serving = false;
        policy.refusal_code = "E-NOT-COMPLIANT".into();
        policy.refusal_reason = "disk-encryption failed on /home".into();
    });
    assert_eq!((reply.status, reply.code().as_str()), (403, "E-NOT-COMPLIANT"));
    let message = "not compliant: disk-encryption failed on /home; run `croft why`";
    assert_eq!(reply.json()["error"]["message"], message);
    assert_eq!(reply.json()["error"]["type"], "permission_error");
}

#[test]
fn p4_a_lease_ends_on_either_clock() {
    let wall = refused(|policy| policy.serve_until = now_s());
    assert_eq!((wall.status, wall.code().as_str()), (403, "E-LEASE-EXPIRED"));
    let boottime = refused(|policy| policy.serve_until_boottime_ms = boottime_ms());
    assert_eq!((boottime.status, boottime.code().as_str()), (403, "E-LEASE-EXPIRED"));
}

#[test]
fn p4_an_answer_ends_with_the_lease() {
    let mut gateway = Gateway::start();
    gateway.tell_policy(GatewayPolicy { serve_until_boottime_ms: boottime_ms() + 1500, ..policy() });
    let worker = gateway.worker(1);
    let reply = ask(gateway.address, "POST", "/v1/chat/completions", AUTHORIZED, &chat("hang", true));
    let last = reply.events().pop().expect("events");
    assert_eq!(last["error"]["code"], "E-LEASE-EXPIRED", "{}", reply.body);
    let request = worker.generates.recv().expect("a request").request;
    assert_eq!(worker.cancels.recv(), Ok(request));
}

#[test]
fn a_client_that_goes_away_cancels() {
    let (gateway, worker) = Gateway::serving();
    for stream in [true, false] {
        let connection =
            open(gateway.address, "POST", "/v1/chat/completions", AUTHORIZED, &chat("hang", stream));
        let request = worker.generates.recv().expect("a request").request;
        if stream {
            begun(&connection);
        }
        drop(connection);
        assert_eq!(worker.cancels.recv(), Ok(request), "stream: {stream}");
    }
}

#[test]
fn a_worker_that_crashes_is_said_in_every_form() {
    let (gateway, worker) = Gateway::serving();
    let streamed = open(gateway.address, "POST", "/v1/chat/completions", AUTHORIZED, &chat("hang", true));
    worker.generates.recv().expect("a request");
    let lines = open(gateway.address, "POST", "/api/chat", AUTHORIZED, &chat("hang", true));
    worker.generates.recv().expect("a request");
    let whole = open(gateway.address, "POST", "/v1/chat/completions", AUTHORIZED, &chat("hang", false));
    worker.generates.recv().expect("a request");
    begun(&streamed);
    begun(&lines);
    gateway.worker_down();
    assert_eq!(finish(streamed).events().pop().expect("events")["error"]["code"], "E-WORKER-CRASHED");
    assert_eq!(finish(lines).lines().pop().expect("lines")["code"], "E-WORKER-CRASHED");
    let whole = finish(whole);
    assert_eq!((whole.status, whole.code().as_str()), (503, "E-WORKER-CRASHED"));
    assert!(whole.head.to_lowercase().contains("retry-after"));
}

#[test]
fn a_request_waits_for_a_worker_that_is_started_again() {
    let mut gateway = Gateway::start();
    gateway.tell_policy(policy());
    let first = gateway.worker(1);
    first.crash();
    gateway.worker_down();
    let waiting = open(gateway.address, "POST", "/v1/chat/completions", AUTHORIZED, &chat("again", false));
    let _second = gateway.worker(2);
    assert_eq!(finish(waiting).json()["choices"][0]["message"]["content"], "ok: again");
}

#[test]
fn the_gateway_ends_with_its_daemon() {
    let (gateway, worker) = Gateway::serving();
    let running = open(gateway.address, "POST", "/v1/chat/completions", AUTHORIZED, &chat("hang", true));
    worker.generates.recv().expect("a request");
    let (well, log) = gateway.hang_up();
    assert!(well, "{log}");
    drop(running);
}

#[test]
fn a_drain_lets_answers_end() {
    let (gateway, worker) = Gateway::serving();
    let running = open(gateway.address, "POST", "/v1/chat/completions", AUTHORIZED, &chat("hang", true));
    worker.generates.recv().expect("a request");
    begun(&running);
    gateway.tell(to_gateway::Message::Drain(Drain {}));
    gateway.worker_down();
    assert_eq!(finish(running).events().pop().expect("events")["error"]["code"], "E-WORKER-CRASHED");
    assert!(gateway.hang_up().0);
}
