//! What is not wanted any more stops, counted in steps and tokens and never in time; and the cache of half the size.

use croft_domain::memory::KvType;
use croft_proto::frames::{Cancel, Embed, Generate, Step, from_worker, to_worker, worker_report};
use croft_worker::engine::load::Extent;
use croft_worker::engine::pulse::Pulse;
use croft_worker::engine::{Engine, Outbound, Size, load};

use crate::peer::{Setup, Worker, backend, raw};

/// More than one step of prefill.
fn long_prompt() -> String {
    "SELECT name, email FROM customers WHERE age > 30;\n".repeat(14)
}

/// Steps an engine until a request has ended; gives its text, and what its end says.
fn answer(engine: &mut Engine<'_>, request: u64) -> (String, croft_proto::frames::Finished) {
    let mut text = String::new();
    loop {
        for frame in engine.step() {
            let Outbound::Step(Step { pieces }) = frame else { panic!("{frame:?}") };
            for piece in pieces.into_iter().filter(|piece| piece.request == request) {
                text.push_str(&piece.text);
                if let Some(finished) = piece.finished {
                    return (text, finished);
                }
            }
        }
    }
}

fn canceled(engine: &mut Engine<'_>, request: u64) -> croft_proto::frames::Finished {
    let frame = engine.accept(to_worker::Frame::Cancel(Cancel { request }));
    let Some(Outbound::Step(Step { mut pieces })) = frame else { panic!("{frame:?}") };
    pieces.remove(0).finished.expect("the end")
}

#[test]
fn a_canceled_prefill_and_a_canceled_text_end_within_their_step_and_leave_nothing() {
    let backend = backend();
    let file = std::fs::File::open(Setup::default().model).expect("the starter model");
    let model = load::load(backend, vec![file], Extent::Whole, |_| true).expect("it loads");
    let pulse = Pulse::new(None);
    let size = Size { context_tokens: 1024, slots: 2, threads: 1, kv: KvType::F16 };
    let mut engine = Engine::new(backend, &model, None, size, &pulse).expect("an engine");
    let wire = |request| Generate { max_tokens: 20, ignore_eos: true, ..raw(request, &long_prompt()) };

    // The cancellation comes while the step is computed: before the first operation is over.
    assert_eq!(engine.accept(to_worker::Frame::Generate(wire(1))), None);
    pulse.cancel(1);
    assert_eq!(engine.step(), [], "nothing came of the step");
    let end = canceled(&mut engine, 1);
    assert_eq!((end.reason.as_str(), end.completion_tokens), ("cancelled", 0));
    assert!(!engine.busy());

    // Nothing of it is in the cache, and the same prompt is answered as if it were the first time.
    assert_eq!(engine.accept(to_worker::Frame::Generate(wire(2))), None);
    let (first, end) = answer(&mut engine, 2);
    assert_eq!((end.cached_tokens, end.completion_tokens), (0, 20));
    let other = Generate { cache_partition: 9, ..wire(3) };
    assert_eq!(engine.accept(to_worker::Frame::Generate(other)), None);
    assert_eq!(answer(&mut engine, 3).0, first);

    // A step that another request waits for as well goes on.
    for request in [4, 5] {
        let wire = Generate {
            cache_partition: request,
            max_tokens: if request == 4 { 200 } else { 20 },
            ..wire(request)
        };
        assert_eq!(engine.accept(to_worker::Frame::Generate(wire)), None);
    }
    pulse.cancel(4);
    assert_eq!(answer(&mut engine, 5).0, first);
    assert_eq!(canceled(&mut engine, 4).reason, "cancelled");

    // Texts that become vectors.
    let embed =
        |request| to_worker::Frame::Embed(Embed { request, texts: vec![long_prompt()], ..Embed::default() });
    assert_eq!(engine.accept(embed(6)), None);
    pulse.cancel(6);
    assert_eq!(engine.step(), []);
    assert_eq!(canceled(&mut engine, 6).reason, "cancelled");
    assert_eq!(engine.accept(embed(7)), None);
    assert!(matches!(engine.step().as_slice(), [Outbound::Embedded(_)]));
}

#[test]
fn a_canceled_answer_costs_no_further_step() {
    let mut worker = Worker::start(1).ready();
    let wire = Generate { ignore_eos: true, no_speculation: true, ..raw(1, &long_prompt()) };
    worker.ask(Generate { max_tokens: 1, ..wire.clone() });
    worker.answers(&[1]);
    // The prompt is evaluated: from here on every step gives one piece.
    worker.ask(Generate { request: 2, context_shift: true, ..wire });
    let mut pieces = 0;
    while pieces < 5 {
        assert!(matches!(worker.frame(), Some(from_worker::Frame::Step(_))));
        pieces += 1;
    }
    worker.cancel(2);
    let end = loop {
        let Some(from_worker::Frame::Step(Step { pieces: more })) = worker.frame() else { panic!("no end") };
        if let Some(end) = more.into_iter().find_map(|piece| piece.finished) {
            break end;
        }
        pieces += 1;
    };
    assert_eq!(end.reason, "cancelled");
    let (_, reports) = worker.close_and_hear();
    let alive: Vec<_> = reports
        .into_iter()
        .filter_map(|report| match report {
            worker_report::Message::Alive(alive) => Some(alive),
            _ => None,
        })
        .collect();
    let last = alive.last().expect("it said that it lives");
    assert!(!last.busy, "{alive:?}");
    let first_answer = alive.iter().rev().nth(2).map_or(0, |alive| alive.steps);
    let steps = last.steps - first_answer;
    // The first token is known from the repeated prompt; a step that was under way may have been cut short.
    assert!(steps <= pieces + 1, "{steps} steps for {pieces} pieces: {alive:?}");
}

#[test]
fn a_full_context_ends_the_answer_or_shifts_as_the_request_says() {
    let mut worker = Worker::start(1).ready();
    let wire = Generate { ignore_eos: true, max_tokens: 1500, ..raw(1, &long_prompt()) };
    let ended = worker.answer(wire.clone());
    let end = ended.finished.clone().expect("an end");
    assert_eq!((ended.reason(), end.prompt_tokens + end.completion_tokens), ("length", 1024));
    let shifted = worker.answer(Generate { request: 2, context_shift: true, ..wire });
    assert_eq!((shifted.reason(), shifted.tokens), ("length", 1500));
    let refused = worker.answer(raw(3, &long_prompt().repeat(4)));
    assert_eq!(refused.code(), "E-CONTEXT-FULL");
}

#[test]
fn a_cache_in_blocks_answers_and_says_so_when_asked_for_nonsense() {
    let question = || crate::peer::question(1, "list all orders");
    let plain = Worker::start(2).ready().answer(question());
    let mut small = Worker::spawn(&Setup { slots: 2, extra: &["--kv-type", "q8_0"], ..Setup::default() });
    small.hear_ready();
    let answer = small.answer(question());
    assert_eq!(answer.reason(), "stop");
    // The starter model's answers are far from any tie.
    assert_eq!(answer.text, plain.text);
    let wrong = Worker::spawn(&Setup { extra: &["--kv-type", "q3"], ..Setup::default() });
    assert!(!wrong.wait().success());
}

#[test]
fn memory_beyond_the_plan_is_refused_by_the_kernel() {
    let mut worker =
        Worker::spawn(&Setup { extra: &["--memory-bytes", "150000000"], slots: 64, ..Setup::default() });
    // Either llama.cpp says that it has no memory, or it dies of it: it does not serve.
    assert!(worker.frame().is_none());
    assert!(!worker.wait().success());
}

#[test]
fn a_stream_waits_for_one_text_at_a_time_while_another_caller_has_many_embedded() {
    let backend = backend();
    let file = std::fs::File::open(Setup::default().model).expect("the starter model");
    let model = load::load(backend, vec![file], Extent::Whole, |_| true).expect("it loads");
    let pulse = Pulse::new(None);
    let size = Size { context_tokens: 1024, slots: 2, threads: 1, kv: KvType::F16 };
    let mut engine = Engine::new(backend, &model, None, size, &pulse).expect("an engine");
    let wire = Generate { max_tokens: 200, ignore_eos: true, no_speculation: true, ..raw(1, "SELECT") };
    assert_eq!(engine.accept(to_worker::Frame::Generate(wire)), None);
    engine.step();
    let texts = vec!["list all orders".to_owned(); 40];
    let embed = Embed { request: 2, texts, ..Embed::default() };
    assert_eq!(engine.accept(to_worker::Frame::Embed(embed)), None);
    for step in 0..40 {
        let (mut vectors, mut tokens) = (0, 0);
        for frame in engine.step() {
            match frame {
                Outbound::Embedded(_) => vectors += 1,
                Outbound::Step(Step { pieces }) => {
                    tokens += pieces.iter().map(|piece| piece.tokens).sum::<u32>();
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((vectors, tokens), (1, 1), "step {step}");
    }
}
