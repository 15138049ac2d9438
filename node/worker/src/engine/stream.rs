//! One answer under way: its tokens, its text, and when it ends.

use std::time::Instant;

use croft_proto::frames::{Finished, Piece};
use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;

use crate::clock::micros;
use crate::engine::stop::StopWatch;
use crate::engine::utf8::Utf8Assembler;

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The model ended its turn, or a stop string came.
    Stop,
    /// `max_tokens` or the context is used up.
    Length,
    /// The gateway canceled it.
    Canceled,
}

impl Reason {
    /// As the frame says it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            // The protocol's spelling.
            Self::Canceled => "cancelled",
        }
    }
}

/// One answer under way.
#[derive(Debug)]
pub struct Stream {
    /// The gateway's number for it.
    pub request: u64,
    /// Prompt and answer.
    pub tokens: Vec<LlamaToken>,
    /// Chooses the next token.
    pub sampler: LlamaSampler,
    text: Text,
    prompt_len: usize,
    cached_len: usize,
    tokens_max: usize,
    began: Instant,
    answered: Option<Instant>,
}

/// From bytes to text that may be shown.
#[derive(Debug, Default)]
struct Text {
    utf8: Utf8Assembler,
    stop: StopWatch,
}

/// Bounds of one answer.
#[derive(Debug)]
pub struct Terms {
    /// Texts that end it.
    pub stop: Vec<String>,
    /// Most tokens of the answer, if the request says so.
    pub max_tokens: Option<u32>,
    /// Tokens of prompt and answer together.
    pub context_tokens: usize,
}

impl Stream {
    /// Begins an answer to `prompt`, of which `cached_len` tokens are evaluated already.
    #[must_use]
    pub fn new(
        request: u64,
        prompt: Vec<LlamaToken>,
        cached_len: usize,
        sampler: LlamaSampler,
        terms: Terms,
        now: Instant,
    ) -> Self {
        let Terms { stop, max_tokens, context_tokens } = terms;
        let asked = max_tokens.map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(usize::MAX));
        Self {
            request,
            prompt_len: prompt.len(),
            cached_len,
            tokens_max: prompt.len().saturating_add(asked).min(context_tokens),
            tokens: prompt,
            sampler,
            text: Text { utf8: Utf8Assembler::default(), stop: StopWatch::new(stop) },
            began: now,
            answered: None,
        }
    }

    /// Whether the answer has begun.
    #[must_use]
    pub fn running(&self) -> bool {
        self.tokens.len() > self.prompt_len
    }

    /// Takes a sampled token. `bytes`: what it shows; `ends`: whether the model ends its turn with it.
    pub fn take(&mut self, token: LlamaToken, bytes: &[u8], ends: bool, now: Instant) -> Piece {
        self.answered.get_or_insert(now);
        self.tokens.push(token);
        if ends {
            return self.finish(String::new(), 1, Reason::Stop, now);
        }
        let text = self.text.utf8.push(bytes);
        let passed = self.text.stop.push(&text);
        if passed.stopped {
            let finished = Some(self.finished(Reason::Stop, now));
            let text = passed.text;
            return Piece { request: self.request, text, tokens: 1, finished, ..Piece::default() };
        }
        if self.tokens.len() >= self.tokens_max {
            return self.finish(passed.text, 1, Reason::Length, now);
        }
        Piece { request: self.request, text: passed.text, tokens: 1, ..Piece::default() }
    }

    /// Ends the answer from outside.
    pub fn cancel(&mut self, now: Instant) -> Piece {
        self.finish(String::new(), 0, Reason::Canceled, now)
    }

    /// Gives what was held back, unless it completes a stop string after all.
    fn finish(&mut self, mut text: String, tokens: u32, reason: Reason, now: Instant) -> Piece {
        let rest = self.text.utf8.finish();
        let passed = self.text.stop.push(&rest);
        text.push_str(&passed.text);
        text.push_str(&self.text.stop.finish());
        let finished = Some(self.finished(reason, now));
        Piece { request: self.request, text, tokens, finished, ..Piece::default() }
    }

    fn finished(&self, reason: Reason, now: Instant) -> Finished {
        let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        let answered = self.answered.unwrap_or(now);
        Finished {
            reason: reason.as_str().to_owned(),
            prompt_tokens: count(self.prompt_len),
            cached_tokens: count(self.cached_len),
            completion_tokens: count(self.tokens.len() - self.prompt_len),
            prefill_us: micros(self.began, answered),
            decode_us: micros(answered, now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(stop: &[&str], max_tokens: Option<u32>, context_tokens: usize) -> Stream {
        let stop = stop.iter().map(ToString::to_string).collect();
        let terms = Terms { stop, max_tokens, context_tokens };
        Stream::new(9, vec![LlamaToken(1); 3], 2, LlamaSampler::greedy(), terms, crate::clock::now())
    }

    fn take(stream: &mut Stream, bytes: &[u8], ends: bool) -> (String, Option<(String, u32)>) {
        let piece = stream.take(LlamaToken(5), bytes, ends, crate::clock::now());
        (piece.text, piece.finished.map(|f| (f.reason, f.completion_tokens)))
    }

    #[test]
    fn held_text_is_given_when_the_turn_ends() {
        let mut one = stream(&["STOP"], None, 100);
        assert_eq!(take(&mut one, b"a ST", false), ("a ".into(), None));
        assert_eq!(take(&mut one, b"", true), ("ST".into(), Some(("stop".into(), 2))));
    }

    #[test]
    fn a_character_cut_by_the_length_is_replaced() {
        let mut one = stream(&[], Some(1), 100);
        assert_eq!(take(&mut one, b"x\xE2\x82", false), ("x\u{FFFD}".into(), Some(("length".into(), 1))));
    }

    #[test]
    fn the_context_ends_an_answer_without_bound() {
        let mut one = stream(&[], None, 5);
        assert_eq!(take(&mut one, b"a", false), ("a".into(), None));
        assert_eq!(take(&mut one, b"b", false), ("b".into(), Some(("length".into(), 2))));
    }

    #[test]
    fn a_stop_string_hides_itself_and_what_follows() {
        let mut one = stream(&["\n\n"], None, 100);
        assert_eq!(take(&mut one, b"x\n", false), ("x".into(), None));
        assert_eq!(take(&mut one, b"\nmore", false), (String::new(), Some(("stop".into(), 2))));
    }
}
