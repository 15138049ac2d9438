//! What saves time changes nothing: guesses ahead, kept logits, a context that shifts. And texts as vectors.

use croft_proto::frames::{Embed, Embedded, Generate, Sampling, from_worker, to_worker};

use crate::copier::{Edit, Shape};
use crate::peer::{Setup, Worker, backend, question, raw};

/// A file that people would edit.
const EDITED: &str = include_str!("../../src/engine/sampler.rs");

fn plain(generate: Generate) -> Generate {
    Generate { no_speculation: true, request: generate.request + 1000, ..generate }
}

#[test]
fn guesses_ahead_change_no_answer() {
    let mut worker = Worker::start(1).ready();
    let lines = "SELECT name, email FROM customers WHERE age > 30;\n".repeat(6);
    let prompts = [
        question(1, "list all orders"),
        raw(2, &lines),
        raw(3, &format!("{lines}SELECT name, email FROM")),
        Generate { ignore_eos: true, max_tokens: 300, ..raw(4, &lines) },
        Generate {
            ignore_eos: true,
            max_tokens: 300,
            ..question(5, "three digits, a dash and two uppercase letters")
        },
        Generate { stop: vec!["age".into()], ..raw(6, &lines) },
        Generate { max_tokens: 7, ..raw(7, &lines) },
        Generate { ignore_eos: true, ..raw(8, &lines) },
        Generate {
            sampling: Some(Sampling { repeat_penalty: 1.1, presence_penalty: 0.3, ..Sampling::default() }),
            max_tokens: 100,
            ignore_eos: true,
            ..raw(9, &lines)
        },
        Generate {
            sampling: Some(Sampling { temperature: 0.7, seed: 11, ..Sampling::default() }),
            max_tokens: 200,
            ignore_eos: true,
            ..raw(10, &lines)
        },
    ];
    for wire in prompts {
        let wire = Generate { max_tokens: if wire.max_tokens == 0 { 400 } else { wire.max_tokens }, ..wire };
        let request = wire.request;
        let without = worker.answer(plain(wire.clone()));
        let with = worker.answer(wire);
        assert!(with.failed.is_none(), "{request}: {:?}", with.failed);
        assert_eq!(with.text, without.text, "{request}");
        assert_eq!((with.tokens, with.reason()), (without.tokens, without.reason()), "{request}");
    }
}

#[test]
fn guesses_ahead_save_steps_where_text_repeats() {
    let mut worker = Worker::start(1).ready();
    let lines = "SELECT name, email FROM customers WHERE age > 30;\n".repeat(6);
    let mut steps = |wire: Generate| worker.answer_in_steps(wire).1;
    let wire = Generate { ignore_eos: true, max_tokens: 200, ..raw(1, &lines) };
    let with = steps(wire.clone());
    let without = steps(plain(wire));
    assert!(without >= 199, "{without}");
    assert!(with * 3 < without * 2, "{with} steps for 200 tokens");
}

#[test]
fn an_edit_is_given_back_in_a_sixth_of_the_steps() {
    let text: String = EDITED.lines().take(60).map(|line| format!("{line}\n")).collect();
    let shape = Shape { width: 256, layers: 2, heads: 4, inner: 64, vocabulary: 2048, context: 4096 };
    let edit = Edit::of(backend(), shape, &text);
    let model = edit.model.path().display().to_string();
    let mut worker = Worker::spawn(&Setup { context: 4096, model: &model, ..Setup::default() });
    worker.hear_ready();
    let wire = Generate {
        max_tokens: edit.answer_tokens,
        ignore_eos: true,
        logprobs: true,
        top_logprobs: 1,
        ..raw(1, &edit.prompt)
    };
    let (with, steps) = worker.answer_in_steps(wire.clone());
    assert_eq!(with.text, edit.answer, "the whole file, with one word changed");
    let (without, single) = worker.answer_in_steps(plain(wire));
    assert_eq!(without.text, edit.answer);
    assert!(single + 1 >= edit.answer_tokens, "{single} steps, a token each");
    assert!(steps * 6 < single, "{steps} steps for {single} tokens");
    // Every token of a guess that was right tells its own probability, as it would alone.
    assert_eq!(with.logprobs.len(), without.logprobs.len());
    for (one, other) in with.logprobs.iter().zip(&without.logprobs) {
        assert_eq!((&one.text, &one.top[0].text), (&other.text, &other.top[0].text));
        assert!((one.logprob - other.logprob).abs() < 0.05, "{} {}", one.logprob, other.logprob);
    }
}

#[test]
fn an_exact_repeat_evaluates_nothing_and_says_the_same() {
    let mut worker = Worker::start(2).ready();
    let first = worker.answer(question(1, "list all orders"));
    for request in 2..6 {
        let again = worker.answer(question(request, "list all orders"));
        let finished = again.finished.clone().expect("finished");
        assert_eq!(
            (again.text.as_str(), finished.cached_tokens),
            (first.text.as_str(), finished.prompt_tokens)
        );
        // Another request in between takes nothing away.
        assert!(worker.answer(question(request + 100, "hello")).failed.is_none());
    }
    let one = worker.answer(Generate { max_tokens: 1, ..question(50, "list all orders") });
    assert_eq!((one.tokens, one.reason()), (1, "length"));
    let sampled = |request| Generate {
        sampling: Some(Sampling { temperature: 1.5, seed: 5, ..Sampling::default() }),
        ..question(request, "list all orders")
    };
    let one = worker.answer(sampled(60)).text;
    assert_eq!(worker.answer(sampled(61)).text, one);
    let other = worker.answer(Generate { cache_partition: 9, ..question(70, "list all orders") });
    assert_eq!(other.cached(), 0, "p6: not for another caller");
}

#[test]
fn a_context_shifts_only_if_that_is_asked_for() {
    let mut worker = Worker::spawn(&Setup { slots: 2, context: 128, ..Setup::default() });
    assert_eq!(worker.hear_ready().context_tokens, 128);
    let ask = |request, context_shift| Generate {
        context_shift,
        ignore_eos: true,
        max_tokens: 500,
        ..question(request, "list all orders")
    };
    let ended = worker.answer(ask(1, false));
    let finished = ended.finished.clone().expect("finished");
    assert_eq!((ended.reason(), finished.prompt_tokens + finished.completion_tokens), ("length", 128));
    worker.ask(ask(2, true));
    worker.ask(ask(3, true));
    for answer in worker.answers(&[2, 3]) {
        let finished = answer.finished.clone().expect("finished");
        assert_eq!((answer.tokens, answer.reason(), finished.completion_tokens), (500, "length", 500));
        assert!(answer.text.starts_with(&ended.text[..ended.text.len() / 2]));
    }
    assert_eq!(worker.answer(question(4, "hello")).reason(), "stop");
}

fn embed(worker: &mut Worker, wire: Embed) -> Result<Vec<Embedded>, String> {
    worker.send(to_worker::Frame::Embed(wire));
    let mut all: Vec<Embedded> = Vec::new();
    loop {
        match worker.frame().expect("the worker lives") {
            from_worker::Frame::Embedded(one) => {
                assert_eq!(one.index as usize, all.len());
                let last = one.last;
                all.push(one);
                if last {
                    return Ok(all);
                }
            }
            from_worker::Frame::Failed(failed) => return Err(failed.code),
            other => panic!("no vector: {other:?}"),
        }
    }
}

#[test]
fn texts_become_vectors_of_length_one() {
    let mut worker = Worker::start(1);
    let len = worker.hear_ready().embedding_len as usize;
    assert_eq!(len, 192);
    let texts = ["list all orders", "list all the orders", "three digits and a dash", "hello"];
    let wire = |request, texts: &[&str], dimensions| Embed {
        truncate: false,
        request,
        texts: texts.iter().map(ToString::to_string).collect(),
        dimensions,
    };
    let together = embed(&mut worker, wire(1, &texts, 0)).expect("vectors");
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    for (index, one) in together.iter().enumerate() {
        assert_eq!(one.vector.len(), len);
        assert!((dot(&one.vector, &one.vector) - 1.0).abs() < 1e-4);
        let alone = embed(&mut worker, wire(10 + index as u64, &texts[index..=index], 0)).expect("vectors");
        assert!(dot(&alone[0].vector, &one.vector) > 0.999, "alone or together, the same");
        assert!(one.prompt_tokens > 1);
    }
    let near = dot(&together[0].vector, &together[1].vector);
    assert!(near > dot(&together[0].vector, &together[2].vector), "{near}");
    let short = embed(&mut worker, wire(20, &texts, 16)).expect("vectors");
    assert!(
        short.iter().all(|one| one.vector.len() == 16 && (dot(&one.vector, &one.vector) - 1.0).abs() < 1e-4)
    );
    let many: Vec<_> = (0..100).map(|_| texts[0]).collect();
    assert_eq!(embed(&mut worker, wire(21, &many, 0)).expect("vectors").len(), 100);
    assert_eq!(embed(&mut worker, wire(22, &[], 0)), Err("E-REQUEST-INVALID".into()));
    assert_eq!(embed(&mut worker, wire(23, &texts, 193)), Err("E-REQUEST-INVALID".into()));
    assert_eq!(embed(&mut worker, wire(24, &["x ".repeat(5000).as_str()], 0)), Err("E-CONTEXT-FULL".into()));
    assert_eq!(worker.answer(question(30, "list all orders")).text, "SELECT * FROM orders;");
}
