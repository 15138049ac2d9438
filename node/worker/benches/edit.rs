//! What guesses ahead save on an edit: give back a file of sixty lines with one word changed.
//!
//! The model has the shape of a 0.5B and was built to do just that (`tests/it/copier.rs`): its greedy answer is the edited
//! file, computed by its attention over the prompt. With and without guesses in turns, in one run; wall clock and processor
//! time. Prints a table; asserts that the answers are right, and nothing about time.
#![allow(clippy::unwrap_used)]

#[path = "../tests/it/copier.rs"]
mod copier;
#[path = "../tests/it/gguf.rs"]
#[allow(dead_code)]
mod gguf;

use std::time::Instant;

use copier::{Edit, Shape};
use croft_domain::memory::KvType;
use croft_proto::frames::{Generate, Sampling, Step, generate, to_worker};
use croft_worker::cpu;
use croft_worker::engine::load::{self, Extent};
use croft_worker::engine::pulse::Pulse;
use croft_worker::engine::{Engine, Outbound, Size};
use llama_cpp_2::llama_backend::LlamaBackend;

/// The shape of Qwen2.5-0.5B, with a smaller vocabulary.
const HALF_BILLION: Shape =
    Shape { width: 896, layers: 24, heads: 14, inner: 4864, vocabulary: 32_000, context: 4096 };
const PAIRS: u64 = 7;
const LINES: usize = 60;
const FILE: &str = include_str!("../src/engine/sampler.rs");

/// Tokens, steps, and seconds by both clocks.
struct Reading {
    steps: usize,
    wall: f64,
    processor: f64,
}

fn main() {
    croft_worker::environment::settle();
    cpu::choose(None).unwrap();
    let backend = LlamaBackend::init().unwrap();
    croft_worker::engine::log::silence();
    let text: String = FILE.lines().take(LINES).map(|line| format!("{line}\n")).collect();
    let edit = Edit::of(&backend, HALF_BILLION, &text);
    let file = edit.model.reopen().unwrap();
    let model = load::load(&backend, vec![file], Extent::Whole, |_| true).unwrap();
    let pulse = Pulse::new(None);
    let threads = u32::try_from(std::thread::available_parallelism().unwrap().get()).unwrap();
    let size = Size { context_tokens: 4096, slots: 4, threads, kv: KvType::F16 };
    let mut engine = Engine::new(&backend, &model, None, size, &pulse).unwrap();
    read(&mut engine, &edit, 1, false);
    println!("{} lines, {} tokens, {threads} threads\n", LINES, edit.answer_tokens);
    println!(
        "| pair | tokens/s without | with | ratio | of processor time | steps |\n|---|---|---|---|---|---|"
    );
    let (mut ratios, mut of_processor) = (Vec::new(), Vec::new());
    for pair in 0..PAIRS {
        let first = pair % 2 == 0;
        let one = read(&mut engine, &edit, 2, first);
        let other = read(&mut engine, &edit, 3, !first);
        let (with, without) = if first { (one, other) } else { (other, one) };
        let speed = |reading: &Reading| f64::from(edit.answer_tokens - 1) / reading.wall;
        let (ratio, processor) = (without.wall / with.wall, without.processor / with.processor);
        ratios.push(ratio);
        of_processor.push(processor);
        let (slow, fast) = (speed(&without), speed(&with));
        println!("| {pair} | {slow:.0} | {fast:.0} | {ratio:.2} | {processor:.2} | {} |", with.steps);
    }
    println!("| median | | | {:.2} | {:.2} | |", median(&mut ratios), median(&mut of_processor));
}

/// One answer, from its first token on.
fn read(engine: &mut Engine<'_>, edit: &Edit, request: u64, guess: bool) -> Reading {
    let wire = Generate {
        request,
        input: Some(generate::Input::Prompt(edit.prompt.clone())),
        sampling: Some(Sampling::default()),
        max_tokens: edit.answer_tokens,
        ignore_eos: true,
        no_speculation: !guess,
        cache_partition: 1,
        ..Generate::default()
    };
    assert_eq!(engine.accept(to_worker::Frame::Generate(wire)), None);
    let (mut answer, mut began, mut steps) = (String::new(), None, 0);
    while engine.busy() {
        for frame in engine.step() {
            let Outbound::Step(Step { pieces }) = frame else { panic!("{frame:?}") };
            pieces.iter().for_each(|piece| answer.push_str(&piece.text));
        }
        match began {
            None if !answer.is_empty() => began = Some((Instant::now(), processor())),
            _ => steps += 1,
        }
    }
    let (wall, before) = began.unwrap();
    assert_eq!(answer, edit.answer, "the model edits");
    Reading { steps, wall: wall.elapsed().as_secs_f64(), processor: processor() - before }
}

/// Processor time of this process, in seconds, as the kernel counts it in hundredths.
fn processor() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit(')').next().unwrap().split_whitespace().skip(11).take(2);
    fields.map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / 100.0
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
