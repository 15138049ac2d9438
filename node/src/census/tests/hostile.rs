//! Whoever answers on a port can be hostile: what it sends ends in no match, in bounded time.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::census::answers::Asker;
use crate::census::rules::embedded;

/// Answers every connection by `answer`, and counts them.
fn serve(answer: impl Fn(&mut TcpStream) + Send + 'static) -> (SocketAddr, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let count = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            counted.fetch_add(1, Ordering::SeqCst);
            answer(&mut stream);
        }
    });
    (address, count)
}

/// Every rule asks; none may take it for its tool, and all together must be done soon.
#[track_caller]
fn nobody_is_taken_in(answer: impl Fn(&mut TcpStream) + Send + 'static) -> u32 {
    let (address, count) = serve(answer);
    let start = Instant::now();
    let asker = Asker::new();
    let mut port = asker.port(address);
    for tool in &embedded() {
        assert!(!port.is_of(tool), "{}", tool.name);
        assert_eq!(port.version_of(tool), None, "{}", tool.name);
    }
    // Far beyond the deadline of all requests together: a hang fails, a slow machine does not.
    assert!(start.elapsed() < Duration::from_secs(30));
    count.load(Ordering::SeqCst)
}

fn say(text: &'static str) -> impl Fn(&mut TcpStream) + Send + 'static {
    move |stream| {
        let _ = stream.write_all(text.as_bytes());
    }
}

#[test]
fn p10_a_redirect_is_not_followed() {
    let (elsewhere, asked) = serve(say("HTTP/1.1 200 OK\r\ncontent-length: 17\r\n\r\nOllama is running"));
    nobody_is_taken_in(move |stream| {
        let text = format!(
            "HTTP/1.1 302 Found\r\nlocation: http://{elsewhere}/\r\ncontent-length: 17\r\nconnection: close\r\n\r\nOllama is running"
        );
        let _ = stream.write_all(text.as_bytes());
    });
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[test]
fn p10_an_answer_without_end_is_given_up_and_its_port_not_asked_again() {
    let asked = nobody_is_taken_in(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\nOllama is running");
        while stream.write_all(&[b' '; 4096]).is_ok() {}
    });
    assert_eq!(asked, 1);
}

#[test]
fn p10_silence_is_given_up_and_its_port_not_asked_again() {
    // The stream is kept open and nothing is said: the listener's next accept never comes, so one connection is all.
    let (hold, held) = std::sync::mpsc::channel();
    let asked = nobody_is_taken_in(move |stream| {
        let _ = hold.send(stream.try_clone());
    });
    assert_eq!(asked, 1);
    drop(held);
}

#[test]
fn p10_a_head_without_end_is_given_up() {
    let asked = nobody_is_taken_in(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream
            .write_all(b"x-filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n")
            .is_ok()
        {}
    });
    assert_eq!(asked, 1);
}

#[test]
fn what_is_not_http_or_not_whole_is_nobodys() {
    nobody_is_taken_in(say("SSH-2.0-OpenSSH_9.2p1\r\n"));
    nobody_is_taken_in(say("Ollama is running"));
    nobody_is_taken_in(say("HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\nOllama is running"));
    nobody_is_taken_in(say("HTTP/1.1 500 Oops\r\ncontent-length: 17\r\n\r\nOllama is running"));
    nobody_is_taken_in(say("HTTP/1.1 200 OK\r\ncontent-length: 18\r\n\r\nOllama is running!"));
}

#[test]
fn json_that_is_deep_wide_or_of_another_type_is_nobodys() {
    nobody_is_taken_in(|stream| {
        let body = "[".repeat(60_000);
        let _ = write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    });
    nobody_is_taken_in(say(
        "HTTP/1.1 200 OK\r\ncontent-length: 31\r\n\r\n{\"data\":[{\"owned_by\":[\"vllm\"]}]}",
    ));
}

#[test]
fn p10_a_version_that_is_no_version_is_not_kept() {
    let (address, _) = serve(|stream| {
        let body = "{\"version\":\"1.0\\u001b[2J\"}";
        let _ = write!(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
    });
    let tools = embedded();
    let ollama = tools.iter().find(|tool| tool.name.as_str() == "ollama").expect("a rule");
    assert_eq!(Asker::new().port(address).version_of(ollama), None);
}
