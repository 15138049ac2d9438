//! How fast the model is on this machine: several streams at once on made-up words, in a few short rounds of which the
//! best counts. Speeds are by processor time, as if this process had its threads for itself, since it runs at a low
//! priority and what else the machine does must not decide. Nobody's text is in it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use croft_proto::frames::{
    Cancel, Finished, Generate, Measure, Measured, Piece, Sampling, generate, to_worker,
};

use crate::clock;
use crate::engine::{Engine, Outbound};
use crate::limits::{
    MEASURE_ANSWER_TOKENS, MEASURE_PROMPT_WORDS, MEASURE_ROUNDS, MEASURE_STREAMS_MAX, MEASURE_TIME_MAX,
};

/// Whose prefix cache the streams use: that of the check prompts, which no caller has.
const PARTITION: u64 = u64::MAX;

/// Measures. None if the model does not generate, or did not in time.
pub fn run(engine: &mut Engine<'_>, slots: u32, threads: u32, asked: &Measure) -> Option<Measured> {
    let streams = asked.streams.clamp(1, slots.clamp(1, MEASURE_STREAMS_MAX));
    let time = Duration::from_millis(asked.time_max_ms.into()).min(MEASURE_TIME_MAX);
    let deadline = clock::now() + time;
    let mut best = Measured { streams, ..Measured::default() };
    for number in 0..MEASURE_ROUNDS {
        let Some(round) = Round::run(engine, (streams, threads), number, deadline) else { break };
        best.millitokens_per_s = best.millitokens_per_s.max(round.millitokens_per_s);
        best.prompt_millitokens_per_s = best.prompt_millitokens_per_s.max(round.prompt_millitokens_per_s);
    }
    (best.millitokens_per_s > 0).then_some(best)
}

/// What one round gave.
struct Round {
    millitokens_per_s: u64,
    prompt_millitokens_per_s: u64,
}

/// The streams of a round.
#[derive(Default)]
struct Streams {
    /// Tokens of each since it began to answer.
    tokens: BTreeMap<u64, u64>,
    prompt_tokens: u64,
    has_ended: bool,
    has_failed: bool,
}

impl Round {
    /// All streams begin together. What counts is how many tokens they generate while all of them run.
    fn run(
        engine: &mut Engine<'_>,
        (streams, threads): (u32, u32),
        number: u64,
        deadline: Instant,
    ) -> Option<Self> {
        let context = engine.context_tokens();
        let answer_tokens = MEASURE_ANSWER_TOKENS.min(context / 4).max(2);
        let words = MEASURE_PROMPT_WORDS.min(context / 16).max(1);
        let began = clock::processor_us();
        let mut seen = Streams::default();
        let requests = 1..=u64::from(streams);
        for request in requests.clone() {
            let text = made_up(words, number * u64::from(MEASURE_STREAMS_MAX) + request);
            let out = engine.accept(to_worker::Frame::Generate(generate(request, text, answer_tokens)));
            out.into_iter().for_each(|frame| seen.take(frame));
        }
        let all_answer = seen.until(engine, deadline, |seen| seen.tokens.len() as u64 == u64::from(streams));
        let (together_at, before) = (clock::processor_us(), seen.generated());
        // Whoever began first must not end before the others have begun: their answers are long enough for that.
        let wanted = u64::from(answer_tokens / 2) * u64::from(streams);
        let is_complete =
            all_answer && seen.until(engine, deadline, |seen| seen.generated() - before >= wanted);
        let (ended_at, after) = (clock::processor_us(), seen.generated());
        for request in requests {
            let out = engine.accept(to_worker::Frame::Cancel(Cancel { request }));
            out.into_iter().for_each(|frame| seen.take(frame));
        }
        let rate = |tokens: u64, from_us: u64, to_us: u64| {
            let each_us = to_us.saturating_sub(from_us) / u64::from(threads.max(1));
            tokens.saturating_mul(1_000_000_000) / each_us.max(1)
        };
        // A round that the end of the time cut counts as far as it came, if it is the first.
        let generated = after - before;
        (all_answer && generated > 0 && (is_complete || number == 0)).then(|| Self {
            millitokens_per_s: rate(generated, together_at, ended_at),
            prompt_millitokens_per_s: rate(seen.prompt_tokens, began, together_at),
        })
    }
}

impl Streams {
    /// Steps until `is_done`; false if that is not to be.
    fn until(&mut self, engine: &mut Engine<'_>, deadline: Instant, is_done: impl Fn(&Self) -> bool) -> bool {
        while !is_done(self) {
            if self.has_failed || self.has_ended || clock::now() > deadline {
                return false;
            }
            engine.step().into_iter().for_each(|frame| self.take(frame));
        }
        true
    }

    fn take(&mut self, frame: Outbound) {
        let Outbound::Step(step) = frame else {
            self.has_failed = true;
            return;
        };
        for Piece { request, tokens, finished, .. } in step.pieces {
            if tokens > 0 {
                *self.tokens.entry(request).or_default() += u64::from(tokens);
            }
            if let Some(Finished { prompt_tokens, .. }) = finished {
                self.has_ended = true;
                self.prompt_tokens += u64::from(prompt_tokens);
            }
        }
    }

    fn generated(&self) -> u64 {
        self.tokens.values().sum()
    }
}

fn generate(request: u64, prompt: String, max_tokens: u32) -> Generate {
    Generate {
        request,
        input: Some(generate::Input::Prompt(prompt)),
        sampling: Some(Sampling { temperature: 1.0, seed: request, ..Sampling::default() }),
        max_tokens,
        ignore_eos: true,
        no_speculation: true,
        cache_partition: PARTITION,
        ..Generate::default()
    }
}

/// Words that no two streams share, so that none finds its beginning in another's cache.
fn made_up(words: u32, salt: u64) -> String {
    let mut state = salt.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut text = String::new();
    for _ in 0..words {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        for shift in [33, 41, 49] {
            text.push(char::from(b'a' + u8::try_from((state >> shift) % 26).unwrap_or(0)));
        }
        text.push(' ');
    }
    text
}
