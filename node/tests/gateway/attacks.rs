//! Attacks on the gateway, by those who can reach a loopback port, and on its confinement.
#![allow(unsafe_code)] // Acting as another user takes a system call of one thread.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};

use croft_proto::frames::GatewayPolicy;
use serde_json::json;

use crate::client::{Reply, ask, begun, finish, open};
use crate::peers::{AUTHORIZED, Gateway, policy};

const CHAT: &str = r#"{"model": "chat", "messages": [{"role": "user", "content": "hello"}]}"#;

fn post(gateway: &Gateway, headers: &[(&str, &str)]) -> Reply {
    ask(gateway.address, "POST", "/v1/chat/completions", headers, CHAT)
}

#[test]
fn p1_gateway_cannot_reach_out() {
    let gateway = Gateway::start();
    let report = &gateway.self_test;
    assert!(report.attempts.len() >= 10, "{} attempts", report.attempts.len());
    for attempt in &report.attempts {
        assert!(!attempt.errno.is_empty(), "{} was not refused", attempt.name);
    }
    assert!(report.layers.iter().any(|layer| layer == "seccomp"), "{:?}", report.layers);
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.pid())).expect("status");
    let line = |name: &str| {
        let found = status.lines().find_map(|line| line.strip_prefix(name));
        found.map(|value| value.trim().to_owned()).unwrap_or_default()
    };
    assert_eq!(
        (line("Seccomp:"), line("NoNewPrivs:"), line("Threads:")),
        ("2".into(), "1".into(), "1".into())
    );
}

#[test]
fn p1_dns_rebinding_host_is_refused() {
    let (gateway, _worker) = Gateway::serving();
    let port = gateway.address.port();
    for host in ["evil.example".to_owned(), format!("evil.example:{port}"), "127.0.0.1:1".to_owned()] {
        let headers = [AUTHORIZED[0], ("host", host.as_str())];
        let reply = post(&gateway, &headers);
        assert_eq!((reply.status, reply.code().as_str()), (403, "E-HOST-REFUSED"), "{host}");
        let tags = ask(gateway.address, "GET", "/api/tags", &[("host", &host)], "");
        assert_eq!((tags.status, tags.code().as_str()), (403, "E-HOST-REFUSED"), "{host}");
    }
    let local = format!("localhost:{port}");
    assert_eq!(post(&gateway, &[AUTHORIZED[0], ("host", &local)]).status, 200);
}

#[test]
fn p1_origin_is_refused() {
    let (gateway, _worker) = Gateway::serving();
    for origin in ["https://evil.example", "http://localhost:3000", "null"] {
        let reply = post(&gateway, &[AUTHORIZED[0], ("origin", origin)]);
        assert_eq!((reply.status, reply.code().as_str()), (403, "E-ORIGIN-REFUSED"), "{origin}");
    }
    let get = ask(gateway.address, "GET", "/v1/chat/completions", AUTHORIZED, "");
    assert_eq!(get.status, 405);
}

#[test]
fn p1_an_origin_that_the_owner_named_is_answered_and_no_other_is_let_in_by_it() {
    let mut gateway = Gateway::start();
    let origins = vec!["http://localhost:3000".to_owned()];
    gateway.tell_policy(GatewayPolicy { origins, ..policy() });
    let _worker = gateway.worker(1);
    let named = [("origin", "http://localhost:3000"), ("sec-fetch-site", "cross-site")];
    let asked = ask(gateway.address, "OPTIONS", "/v1/chat/completions", &named, "");
    assert_eq!(asked.status, 204, "{}", asked.body);
    assert!(asked.head.to_lowercase().contains("access-control-allow-origin: http://localhost:3000"));
    // Libraries send headers of their own; a wildcard is no header.
    for (wanted, allowed) in [
        ("authorization, x-stainless-lang", "authorization, x-stainless-lang"),
        ("*", "authorization, content-type, x-api-key, x-croft-data-class"),
    ] {
        let asked = [named[0], ("access-control-request-headers", wanted)];
        let reply = ask(gateway.address, "OPTIONS", "/v1/chat/completions", &asked, "");
        let allowed = format!("access-control-allow-headers: {allowed}");
        assert!(reply.head.to_lowercase().contains(&allowed), "{}", reply.head);
    }
    let reply = post(&gateway, &[AUTHORIZED[0], named[0], named[1]]);
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert!(reply.head.to_lowercase().contains("access-control-allow-origin: http://localhost:3000"));
    assert_eq!(post(&gateway, &named).status, 401, "an origin is no identity");
    for origin in ["http://localhost:3001", "http://localhost:3000.evil.example", "null", "*"] {
        for method in ["OPTIONS", "POST"] {
            let reply = ask(gateway.address, method, "/v1/chat/completions", &[("origin", origin)], CHAT);
            assert_eq!((reply.status, reply.code().as_str()), (403, "E-ORIGIN-REFUSED"), "{origin}");
            assert!(!reply.head.to_lowercase().contains("access-control"), "{}", reply.head);
        }
    }
}

#[test]
fn an_unknown_caller_is_refused_and_a_key_is_known() {
    let (gateway, _worker) = Gateway::serving();
    for headers in [&[][..], &[("authorization", "Bearer wrong")], &[("x-api-key", "")]] {
        let reply = post(&gateway, headers);
        assert_eq!((reply.status, reply.code().as_str()), (401, "E-CALLER-UNKNOWN"));
    }
    assert_eq!(post(&gateway, AUTHORIZED).status, 200);
    assert_eq!(post(&gateway, &[("x-api-key", "croft-test-key")]).status, 200);
}

/// Connects as `uid` where the test may, else as itself; says as whom.
fn post_as(address: SocketAddr, uid: u32) -> Reply {
    std::thread::spawn(move || {
        if rustix::process::geteuid().is_root() {
            // SAFETY: the plain system call changes this one thread, which ends with this closure.
            let changed = unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) };
            assert_eq!(changed, 0, "{}", std::io::Error::last_os_error());
        }
        let host = format!("localhost:{}", address.port());
        ask(address, "POST", "/v1/chat/completions", &[("host", &host)], CHAT)
    })
    .join()
    .expect("the thread")
}

#[test]
fn an_enrolled_users_process_needs_no_key() {
    let own = rustix::process::getuid();
    let uid = if own.is_root() { 54_321 } else { own.as_raw() };
    let mut gateway = Gateway::start();
    gateway.tell_policy(GatewayPolicy { enrolled_uids: vec![uid, 0], ..policy() });
    let worker = gateway.worker(1);
    let reply = post_as(gateway.address, uid);
    assert_eq!(reply.status, 200, "{}", reply.body);
    let of_uid = worker.generates.recv().expect("a request").cache_partition;
    post(&gateway, AUTHORIZED);
    assert_ne!(worker.generates.recv().expect("a request").cache_partition, of_uid, "a cache of one's own");
    if own.is_root() {
        let stranger = post_as(gateway.address, uid + 1);
        assert_eq!((stranger.status, stranger.code().as_str()), (401, "E-CALLER-UNKNOWN"));
        assert_eq!(post(&gateway, &[]).status, 401, "root is nobody");
    }
}

#[test]
fn callers_are_known_over_every_kind_of_loopback() {
    let own = rustix::process::getuid();
    let uid = if own.is_root() { 54_321 } else { own.as_raw() };
    let mapped = Ipv4Addr::LOCALHOST.to_ipv6_mapped();
    // A machine may be without IPv6; the mapped address then is unreachable as well.
    for (listen, connect) in [("127.0.0.1:0", mapped), ("[::1]:0", Ipv6Addr::LOCALHOST)] {
        let Ok(listener) = TcpListener::bind(listen) else { continue };
        let mut gateway = Gateway::start_at(listener);
        gateway.tell_policy(GatewayPolicy { enrolled_uids: vec![uid], ..policy() });
        let _worker = gateway.worker(1);
        let address = SocketAddr::from((connect, gateway.address.port()));
        if TcpStream::connect(address).is_ok() {
            assert_eq!(post_as(address, uid).status, 200, "{address}");
            assert_eq!(ask(address, "GET", "/", &[("host", "[::1]")], "").status, 200);
        }
    }
}

#[test]
fn p1_a_listener_that_is_not_loopback_is_refused() {
    let listener = TcpListener::bind("0.0.0.0:0").expect("bind");
    let log = Gateway::refusal_at(listener);
    assert!(log.contains("not a loopback address"), "{log}");
}

#[test]
fn an_oversize_body_is_refused_before_it_is_held() {
    let (gateway, _worker) = Gateway::serving();
    let body = "x".repeat(8 * 1024 * 1024 + 1);
    let reply = ask(gateway.address, "POST", "/v1/chat/completions", AUTHORIZED, &body);
    assert_eq!((reply.status, reply.code().as_str()), (413, "E-REQUEST-INVALID"));
    // Within the body's bound, and yet a frame of its own would be too long.
    let empty = json!({"model": "chat", "prompt": ""}).to_string().len();
    let prompt = "x".repeat(8 * 1024 * 1024 - empty);
    let body = json!({"model": "chat", "prompt": prompt}).to_string();
    let reply = ask(gateway.address, "POST", "/v1/completions", AUTHORIZED, &body);
    assert_eq!((reply.status, reply.code().as_str()), (400, "E-CONTEXT-FULL"));
    let huge = [AUTHORIZED[0], ("content-length", "99999999999"), ("expect", "100-continue")];
    let reply = ask(gateway.address, "POST", "/v1/chat/completions", &huge, "");
    assert_eq!(reply.status, 413);
    assert_eq!(post(&gateway, AUTHORIZED).status, 200);
}

#[test]
fn broken_http_ends_the_connection_and_nothing_else() {
    let (gateway, _worker) = Gateway::serving();
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(1000));
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(100_000));
    for bytes in ["\0\0\0", "GET\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &many, &long] {
        let mut stream = TcpStream::connect(gateway.address).expect("connect");
        let _ = stream.write_all(bytes.as_bytes());
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", bytes.len());
    }
    assert_eq!(post(&gateway, AUTHORIZED).status, 200);
}

#[test]
fn p6_prompts_are_in_no_log() {
    const MARKER: &str = "MARKER-7f3a";
    let (gateway, _worker) = Gateway::serving();
    let chat = |extra: &str| {
        json!({"model": "chat", "messages": [{"role": "user", "content": format!("{MARKER} {extra}")}],
            "stream": true, "stop": MARKER, "user": MARKER})
        .to_string()
    };
    let send = |path: &str, body: &str| ask(gateway.address, "POST", path, AUTHORIZED, body);
    assert!(send("/v1/chat/completions", &chat("")).body.contains(MARKER));
    send("/v1/chat/completions", &chat("refuse"));
    send("/api/chat", &chat(""));
    send("/api/generate", &json!({"model": MARKER, "prompt": MARKER}).to_string());
    send("/v1/completions", &format!("{{\"prompt\": {MARKER}"));
    send(&format!("/{MARKER}"), MARKER);
    ask(gateway.address, "POST", "/api/chat", &[("authorization", &format!("Bearer {MARKER}"))], &chat(""));
    ask(gateway.address, "GET", "/", &[("host", MARKER), ("x-note", MARKER)], "");
    let hanging = open(gateway.address, "POST", "/api/chat", AUTHORIZED, &chat("hang"));
    begun(&hanging);
    gateway.worker_down();
    finish(hanging);
    let (well, log) = gateway.hang_up();
    assert!(well);
    assert!(log.contains("policy received") && log.contains("DEBUG"), "it does log at trace: {log}");
    assert!(!log.contains(MARKER), "{log}");
}
