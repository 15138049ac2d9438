//! Every level of the processor back end that this machine can run computes, inside the sandbox.

use std::process::Command;

use croft_proto::frames::worker_report;
use croft_worker::cpu;

use crate::peer::{Setup, Worker, question};

/// The level that the daemon hears of, and how the worker answers.
fn start(extra: &[&str]) -> (String, Worker) {
    let mut worker = Worker::spawn(&Setup { extra, ..Setup::default() });
    worker.hear_ready();
    let ready = worker.reports().into_iter().find_map(|message| match message {
        worker_report::Message::Ready(ready) => Some(ready.cpu),
        _ => None,
    });
    (ready.expect("told"), worker)
}

#[test]
fn every_level_that_runs_here_answers() {
    for level in cpu::runnable() {
        let (told, mut worker) = start(&["--cpu", level]);
        assert_eq!(told, level);
        let answer = worker.answer(question(1, "list all orders"));
        assert!(answer.failed.is_none() && answer.tokens > 2, "{level}: {answer:?}");
    }
}

#[test]
fn without_a_wish_the_fastest_level_computes() {
    assert_eq!(Some(start(&[]).0.as_str()), cpu::runnable().next());
}

#[test]
fn a_level_that_does_not_exist_is_refused() {
    let mut worker = Worker::spawn(&Setup { extra: &["--cpu", "z80"], ..Setup::default() });
    let refused = worker.reports().into_iter().any(|message| {
        matches!(message, worker_report::Message::Refusal(refusal) if refusal.message.contains("z80"))
    });
    assert!(refused);
    assert!(!worker.wait().success());
}

/// The self-test tells people which one it would be.
#[test]
fn the_self_test_names_the_level() {
    let output = Command::new(env!("CARGO_BIN_EXE_croft-worker")).arg("--self-test").output().expect("ran");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let expected = format!("processor: {}", cpu::runnable().next().expect("one"));
    assert!(text.lines().any(|line| line == expected), "{text}");
}
