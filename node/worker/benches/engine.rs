//! What the engine promises beyond single figures: how far apart the tokens of a running stream are while another's prompt is
//! evaluated, what an exact repeat costs, and what guesses ahead save where text is copied. Prints a table; asserts
//! nothing.
//!
//! `cargo bench -p croft-worker` measures the starter model; `cargo bench -p croft-worker -- FILE` another GGUF file. First
//! come the levels of the processor back end, each in a process of its own.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use croft_domain::memory::KvType;
use croft_proto::frames::{Generate, Sampling, Step, generate, to_worker};
use croft_worker::cpu;
use croft_worker::engine::load::Extent;
use croft_worker::engine::pulse::Pulse;
use croft_worker::engine::{Engine, Outbound, Size, load};
use llama_cpp_2::llama_backend::LlamaBackend;

const STARTER: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../playbooks/starter-model/croft-starter-q8_0.gguf");

const REPETITIONS: u64 = 5;

fn main() {
    // As the worker itself: threads that wait must not spin.
    croft_worker::environment::settle();
    let path = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let path = path.unwrap_or_else(|| STARTER.to_owned());
    let level = std::env::args().find_map(|argument| argument.strip_prefix("--cpu=").map(str::to_owned));
    if level.is_none() {
        levels(&path);
    }
    cpu::choose(level.as_deref()).unwrap();
    let backend = LlamaBackend::init().unwrap();
    croft_worker::engine::log::silence();
    let file = std::fs::File::open(&path).unwrap();
    let model = load::load(&backend, vec![file], Extent::Whole, |_| true).unwrap();
    let pulse = Pulse::new(None);
    let threads = u32::try_from(std::thread::available_parallelism().unwrap().get()).unwrap();
    let size = Size { context_tokens: 4096, slots: 4, threads, kv: KvType::F16 };
    let mut engine = Engine::new(&backend, &model, None, size, &pulse).unwrap();
    let context = usize::try_from(engine.context_tokens()).unwrap();
    if let Some(level) = level {
        return speeds(&mut engine, &level);
    }
    println!("\n| figure, median of {REPETITIONS} | value |\n|---|---|");
    gaps(&mut engine, context);
    repeats(&mut engine, context);
    guesses(&mut engine);
}

/// Runs this program once for every level of this machine.
fn levels(path: &str) {
    println!("| level | prompts, tokens/s | decode, tokens/s |\n|---|---|---|");
    for level in cpu::runnable() {
        let cpu = format!("--cpu={level}");
        let status = std::process::Command::new(std::env::current_exe().unwrap()).args([path, &cpu]).status();
        assert!(status.unwrap().success(), "{level}");
    }
}

fn speeds(engine: &mut Engine<'_>, level: &str) {
    let (mut reads, mut writes) = (Vec::new(), Vec::new());
    for round in 0..REPETITIONS {
        let began = Instant::now();
        ask(engine, 1, &words(500, 500 + round), 64, false);
        let (came, read) = finish(engine, 1);
        reads.push(f64::from(read) / (came[0].0 - began).as_secs_f64());
        writes.push((came.len() - 1) as f64 / (came.last().unwrap().0 - came[0].0).as_secs_f64());
    }
    println!("| {level} | {:.0} | {:.1} |", median(&mut reads), median(&mut writes));
}

/// Words that no two calls share, of about so many tokens.
fn words(tokens: usize, salt: u64) -> String {
    let mut state = salt.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut text = String::new();
    for _ in 0..tokens {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push(' ');
        for shift in [33, 41, 49] {
            text.push(char::from(b'a' + ((state >> shift) % 26) as u8));
        }
    }
    text
}

fn ask(engine: &mut Engine<'_>, request: u64, prompt: &str, max_tokens: u32, guess: bool) {
    let wire = Generate {
        request,
        input: Some(generate::Input::Prompt(prompt.to_owned())),
        sampling: Some(Sampling::default()),
        max_tokens,
        ignore_eos: true,
        no_speculation: !guess,
        cache_partition: 1,
        ..Generate::default()
    };
    let refused = engine.accept(to_worker::Frame::Generate(wire));
    assert_eq!(refused, None, "the prompt fits");
}

/// Steps until `request` has ended; gives when each of its pieces came and how many tokens it had.
fn run(engine: &mut Engine<'_>, request: u64) -> Vec<(Instant, u32)> {
    finish(engine, request).0
}

/// The same, with the tokens of its prompt.
fn finish(engine: &mut Engine<'_>, request: u64) -> (Vec<(Instant, u32)>, u32) {
    let mut came = Vec::new();
    while engine.busy() {
        for frame in engine.step() {
            let Outbound::Step(Step { pieces }) = frame else { panic!("{frame:?}") };
            for piece in pieces.iter().filter(|piece| piece.request == request) {
                came.push((Instant::now(), piece.tokens));
                if let Some(finished) = &piece.finished {
                    return (came, finished.prompt_tokens);
                }
            }
        }
    }
    (came, 0)
}

fn largest_gap(came: &[(Instant, u32)]) -> Duration {
    came.windows(2).map(|pair| pair[1].0 - pair[0].0).max().unwrap_or_default()
}

fn gaps(engine: &mut Engine<'_>, context: usize) {
    let (mut alone, mut beside, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..REPETITIONS {
        ask(engine, 1, &words(20, 100 + round), 60, false);
        let quiet = largest_gap(&run(engine, 1));
        ask(engine, 2, &words(20, 200 + round), 100, false);
        while engine.step().is_empty() {}
        // About three bytes a token at worst, for tokenizers that know no such words.
        ask(engine, 3, &words(context / 5, 300 + round), 1, false);
        let busy = largest_gap(&run(engine, 2));
        run(engine, 3);
        alone.push(quiet.as_secs_f64() * 1e3);
        beside.push(busy.as_secs_f64() * 1e3);
        ratios.push(busy.as_secs_f64() / quiet.as_secs_f64().max(1e-9));
    }
    println!("| largest gap of a stream alone | {:.1} ms |", median(&mut alone));
    println!("| largest gap beside a prompt of {} words | {:.1} ms |", context / 5, median(&mut beside));
    println!("| ratio of the two | {:.2} |", median(&mut ratios));
}

fn repeats(engine: &mut Engine<'_>, context: usize) {
    let (mut cold, mut warm, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..REPETITIONS {
        let prompt = words(context / 6, 400 + round);
        let mut first = |request| {
            let start = Instant::now();
            ask(engine, request, &prompt, 1, false);
            run(engine, request);
            start.elapsed().as_secs_f64() * 1e3
        };
        let (a, b) = (first(1), first(2));
        cold.push(a);
        warm.push(b);
        ratios.push(b / a);
    }
    println!("| first token of a prompt of {} words | {:.1} ms |", context / 6, median(&mut cold));
    println!("| the same again | {:.2} ms |", median(&mut warm));
    println!("| ratio of the two | {:.4} |", median(&mut ratios));
}

/// A model of random weights copies nothing by itself: what it says once it says again when it is given its own answer to
/// go on with, as an edit gives a file back.
fn guesses(engine: &mut Engine<'_>) {
    let mut ratios = Vec::new();
    for round in 0..REPETITIONS {
        let line = format!("SELECT name{round}, email FROM customers WHERE age > 30;\n");
        let prompt = line.repeat(8);
        let mut speed = |request, guess| {
            ask(engine, request, &prompt, 120, guess);
            let came = run(engine, request);
            let tokens: u32 = came.iter().skip(1).map(|(_, tokens)| tokens).sum();
            let took = came.last().unwrap().0 - came.first().unwrap().0;
            f64::from(tokens) / took.as_secs_f64().max(1e-9)
        };
        let (without, with) = (speed(1, false), speed(2, true));
        ratios.push(with / without);
    }
    println!("| decode with guesses, by decode without, on text that repeats | {:.2} |", median(&mut ratios));
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
