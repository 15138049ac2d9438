//! Who may ask a live node, tried as accounts that the kernel keeps apart.

use std::fs::Permissions;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use croft_e2e::controller::REPORTING_BASELINE;
use rustix::process::{Uid, getuid};
use rustix::thread::set_thread_res_uid;

use crate::Village;

/// Named in `node.toml`.
const ANNA: u32 = 4_242;
/// Has an account on the same machine.
const BERT: u32 = 4_343;

const BODY: &str =
    r#"{"model": "chat", "max_tokens": 4, "messages": [{"role": "user", "content": "list all orders"}]}"#;

fn answer(mut stream: impl Read + Write) -> (String, String) {
    let len = BODY.len();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {len}"
    );
    stream.write_all(format!("{head}\r\n\r\n{BODY}").as_bytes()).expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let status = answer.split(' ').nth(1).unwrap_or_default().to_owned();
    (status, answer)
}

/// Asks at both doors as that account: an account belongs to a thread, and a socket to the account of its thread.
fn ask(village: &Village, uid: u32) -> [(String, String); 2] {
    let station = &village.workstation;
    let status = station.status().expect("a status");
    let path = status["gateway_socket"].as_str().expect("a path").to_owned();
    let port = station.port();
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            if getuid().is_root() {
                let uid = Uid::from_raw(uid);
                set_thread_res_uid(uid, uid, uid).expect("another account");
            }
            [
                answer(TcpStream::connect(("127.0.0.1", port)).expect("connect")),
                answer(UnixStream::connect(path).expect("connect")),
            ]
        });
        asking.join().expect("a thread")
    })
}

#[test]
fn p1_another_account_of_the_machine_is_refused_by_a_live_node_at_both_doors() {
    let mut village = Village::with(REPORTING_BASELINE, "info");
    let station = &mut village.workstation;
    station.stop().expect("stopped");
    station.configure(&format!("uids = [{ANNA}]\n")).expect("written");
    station.start().expect("started");
    let village = village.enrolled();
    let station = &village.workstation;
    // Where it lies in earnest, everybody may come as far as the socket.
    for folder in [village.folder.path(), &station.folder, &station.folder.join("run")] {
        std::fs::set_permissions(folder, Permissions::from_mode(0o711)).expect("open to all");
    }
    for (status, answer) in ask(&village, ANNA) {
        assert_eq!(status, "200", "{answer}");
    }
    let shown = station.croft(&["status"]).expect("a status").stdout;
    assert!(shown.contains("run/api.sock"), "{shown}");
    if !getuid().is_root() {
        return;
    }
    for uid in [BERT, 0] {
        for (status, answer) in ask(&village, uid) {
            assert!(status == "401" && answer.contains("E-CALLER-UNKNOWN"), "{uid}: {answer}");
        }
    }
}
