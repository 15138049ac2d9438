//! Who asks, as accounts that the kernel really keeps apart: over loopback and over the Unix socket, without a key. Run as
//! root, for a socket belongs to the account of the thread that made it, and a thread of root's can be anybody.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;

use croft_proto::frames::{GatewayPolicy, generate};
use rustix::net::{AddressFamily, SocketType, sockopt};
use rustix::process::{Uid, getuid};
use rustix::thread::set_thread_res_uid;

use crate::client::{Reply, finish, written};
use crate::peers::{Gateway, policy};
use crate::worker::Worker;

/// Enrolled.
const ANNA: u32 = 4_242;
/// Has an account on the same machine.
const BERT: u32 = 4_343;

fn is_root() -> bool {
    getuid().is_root()
}

/// Does it as that account; as ourselves where we are not root and cannot be another.
fn as_account<T: Send>(uid: u32, act: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let acting = scope.spawn(|| {
            if is_root() {
                let uid = Uid::from_raw(uid);
                set_thread_res_uid(uid, uid, uid).expect("another account");
            }
            act()
        });
        acting.join().expect("the thread")
    })
}

/// A gateway that knows Anna, who is ourselves where we are not root.
fn annas() -> (Gateway, Worker) {
    let mut gateway = Gateway::start();
    let anna = if is_root() { ANNA } else { getuid().as_raw() };
    gateway.tell_policy(GatewayPolicy { enrolled_uids: vec![anna, 0], ..policy() });
    let worker = gateway.worker(1);
    (gateway, worker)
}

fn request(prompt: &str, end: &str) -> String {
    let body = format!(r#"{{"model": "chat", "prompt": "{prompt}"}}"#);
    written("localhost", "POST", "/v1/completions", &[("connection", end)], &body)
}

fn over_loopback(uid: u32, address: SocketAddr) -> Reply {
    as_account(uid, || {
        let mut stream = TcpStream::connect(address).expect("connect");
        stream.write_all(request("x", "close").as_bytes()).expect("written");
        finish(stream)
    })
}

fn over_the_socket(uid: u32, gateway: &Gateway) -> Reply {
    as_account(uid, || {
        let mut stream = UnixStream::connect(&gateway.socket).expect("connect");
        stream.write_all(request("x", "close").as_bytes()).expect("written");
        finish(stream)
    })
}

#[track_caller]
fn assert_stranger(reply: &Reply) {
    assert_eq!((reply.status, reply.code().as_str()), (401, "E-CALLER-UNKNOWN"), "{}", reply.body);
}

#[test]
fn p1_an_enrolled_person_needs_no_key_and_another_account_is_refused_at_both_doors() {
    let (gateway, _worker) = annas();
    assert_eq!(over_loopback(ANNA, gateway.address).status, 200);
    assert_eq!(over_the_socket(ANNA, &gateway).status, 200);
    if !is_root() {
        return;
    }
    // Root is nobody, even where a policy names it: it can be anybody.
    for uid in [BERT, 0] {
        assert_stranger(&over_loopback(uid, gateway.address));
        assert_stranger(&over_the_socket(uid, &gateway));
    }
}

#[test]
fn the_key_and_the_host_count_at_the_socket_as_they_do_over_loopback() {
    let (gateway, _worker) = annas();
    let ask = |headers: &[(&str, &str)]| {
        as_account(BERT, || {
            let mut stream = UnixStream::connect(&gateway.socket).expect("connect");
            let headers = [headers, &[("connection", "close")]].concat();
            let body = r#"{"model": "chat", "prompt": "x"}"#;
            let request = written("localhost", "POST", "/v1/completions", &headers, body);
            stream.write_all(request.as_bytes()).expect("written");
            finish(stream)
        })
    };
    assert_eq!(ask(crate::peers::AUTHORIZED).status, 200);
    assert_eq!(ask(&[("host", "evil.example")]).code(), "E-HOST-REFUSED");
    assert_eq!(ask(&[("origin", "http://evil.example")]).code(), "E-ORIGIN-REFUSED");
}

/// One answer of a connection that stays.
fn next_answer(stream: &mut (impl Read + Write), prompt: &str) -> u16 {
    stream.write_all(request(prompt, "keep-alive").as_bytes()).expect("written");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a head");
        head.extend(byte);
    }
    let head = String::from_utf8(head).expect("text").to_ascii_lowercase();
    let len = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
    let mut body = vec![0; len.parse().expect("a number")];
    stream.read_exact(&mut body).expect("a body");
    head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
}

#[test]
fn a_connection_that_stays_is_judged_anew_at_each_request() {
    let (gateway, _worker) = annas();
    let mut loopback = as_account(ANNA, || TcpStream::connect(gateway.address).expect("connect"));
    let mut local = as_account(ANNA, || UnixStream::connect(&gateway.socket).expect("connect"));
    for _ in 0..3 {
        assert_eq!(next_answer(&mut loopback, "x"), 200);
        assert_eq!(next_answer(&mut local, "x"), 200);
    }
    // The person leaves; connections that are open still are nobody's now.
    gateway.tell_policy(GatewayPolicy { enrolled_uids: vec![1], ..policy() });
    crate::client::ask(gateway.address, "GET", "/api/tags", &[], "");
    assert_eq!(next_answer(&mut loopback, "x"), 401);
    assert_eq!(next_answer(&mut local, "x"), 401);
}

/// Connects from that port; 0: from any.
fn connect(server: SocketAddr, port: u16) -> std::io::Result<TcpStream> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &SocketAddr::new(server.ip(), port))?;
    rustix::net::connect(&socket, &server)?;
    Ok(socket.into())
}

/// A stranger writes a request and resets the connection; before it is read, an enrolled person has the same port.
#[test]
fn p1_a_stranger_does_not_become_the_next_one_at_its_port() {
    if !is_root() {
        return;
    }
    let (gateway, worker) = annas();
    let server = gateway.address;
    let mut rounds = 0;
    for _ in 0..100 {
        let mut stranger = as_account(BERT, || connect(server, 0).expect("connect"));
        let port = stranger.local_addr().expect("an address").port();
        stranger.write_all(request("of a stranger", "close").as_bytes()).expect("written");
        sockopt::set_socket_linger(&stranger, Some(std::time::Duration::ZERO)).expect("an option");
        drop(stranger);
        // Another process of this machine may have been given the port meanwhile.
        let Ok(mut person) = as_account(ANNA, || connect(server, port)) else { continue };
        rounds += 1;
        person.write_all(request("of a person", "close").as_bytes()).expect("written");
        assert_eq!(finish(person).status, 200);
    }
    let prompts: Vec<_> = worker.generates.try_iter().filter_map(|asked| asked.input).collect();
    let of_person = |input: &generate::Input| *input == generate::Input::Prompt("of a person".to_owned());
    assert!(prompts.iter().all(of_person), "a stranger's request was answered");
    assert!(rounds > 50, "{rounds} rounds");
    assert_eq!(prompts.len(), rounds);
}
