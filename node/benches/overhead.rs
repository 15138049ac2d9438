//! What the gateway adds to the first token: a streamed chat through the real, confined gateway to a peer that answers at
//! once, beside the same frames spoken with that peer directly. Prints a table for `docs/BENCHMARKS.md`; asserts nothing.
//!
//! `cargo bench -p croft-node --bench overhead`
#![allow(dead_code)] // The peers are the tests' own, and more is asked of them there.

#[path = "../tests/gateway/client.rs"]
mod client;
#[path = "../tests/gateway/peers.rs"]
mod peers;
#[path = "../tests/gateway/worker.rs"]
mod worker;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::Instant;

use croft_proto::frames::{
    Assembler, ChatMessage, Conversation, FromWorker, Generate, ToWorker, from_worker, generate, to_worker,
};

/// Requests of each kind, in turns.
const ROUNDS: usize = 3000;
/// Requests before any is measured.
const WARM_UP: usize = 200;

fn main() {
    let (gateway, _worker) = peers::Gateway::serving();
    let mut stream = TcpStream::connect(gateway.address).expect("connect");
    stream.set_nodelay(true).expect("an option");
    let (ours, theirs) = peers::pair();
    let direct = worker::Worker::start(theirs, 1);
    let mut assembler = Assembler::default();
    // What it says of itself first.
    peers::recv::<FromWorker>(&ours, &mut assembler).expect("ready");
    let (mut through, mut beside) = (Vec::new(), Vec::new());
    for round in 0..WARM_UP + ROUNDS {
        let times = (over_http(&mut stream), over_frames(&ours, &mut assembler));
        if round >= WARM_UP {
            through.push(times.0);
            beside.push(times.1);
        }
    }
    println!("| figure, {ROUNDS} pairs | median | 99 of 100 |\n|---|---|---|");
    let (through, beside) = (spread(through), spread(beside));
    println!("| first piece through the gateway | {:.3} ms | {:.3} ms |", through.0, through.1);
    println!("| first piece over frames alone | {:.3} ms | {:.3} ms |", beside.0, beside.1);
    println!("| what the gateway adds (limit 0.3 ms) | {:.3} ms | |", through.0 - beside.0);
    drop(ours);
    drop(direct);
}

/// Milliseconds until the first piece of text; the rest is read as well.
fn over_http(stream: &mut TcpStream) -> f64 {
    let body = r#"{"model": "chat", "stream": true, "messages": [{"role": "user", "content": "hello"}]}"#;
    let request = client::written("localhost", "POST", "/v1/chat/completions", peers::AUTHORIZED, body);
    let began = Instant::now();
    stream.write_all(request.as_bytes()).expect("written");
    let (mut all, mut first) = (Vec::new(), None);
    let mut part = [0_u8; 4096];
    while !all.ends_with(b"0\r\n\r\n") {
        let len = stream.read(&mut part).expect("an answer");
        assert!(len > 0, "the connection ended");
        all.extend_from_slice(&part[..len]);
        if first.is_none() && all.windows(12).any(|window| window == b"\"content\":\"o") {
            first = Some(began.elapsed());
        }
    }
    first.expect("a piece of text").as_secs_f64() * 1e3
}

/// The same, spoken with the peer itself.
fn over_frames(socket: &OwnedFd, assembler: &mut Assembler) -> f64 {
    let message = ChatMessage { role: "user".into(), content: "hello".into(), ..ChatMessage::default() };
    let input = generate::Input::Chat(Conversation { messages: vec![message] });
    let generate = Generate { request: 1, input: Some(input), ..Generate::default() };
    let frame = ToWorker { generation: 1, frame: Some(to_worker::Frame::Generate(generate)) };
    let began = Instant::now();
    peers::send(socket, &frame);
    let mut first = None;
    loop {
        let Some(from_worker::Frame::Step(step)) =
            peers::recv::<FromWorker>(socket, assembler).and_then(|message| message.frame)
        else {
            panic!("no step");
        };
        first.get_or_insert_with(|| began.elapsed());
        if step.pieces.iter().any(|piece| piece.finished.is_some()) {
            return first.expect("set above").as_secs_f64() * 1e3;
        }
    }
}

/// The median, and what 99 of 100 are below.
fn spread(mut times: Vec<f64>) -> (f64, f64) {
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], times[times.len() * 99 / 100])
}
