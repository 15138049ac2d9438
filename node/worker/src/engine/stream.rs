//! One answer under way: its tokens, its text, and when it ends.

use std::time::Instant;

use croft_proto::frames::{Finished, Piece, TokenLogprob};
use llama_cpp_2::token::LlamaToken;

use crate::clock::micros;
use crate::engine::draft::Drafting;
use crate::engine::request::Refusal;
use crate::engine::sampler::Chooser;
use crate::engine::stop::StopWatch;
use crate::engine::utf8::Utf8Assembler;
use crate::engine::voice::Voice;

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The model ended its turn, or a stop string came.
    Stop,
    /// `max_tokens` or the context is used up.
    Length,
    /// The gateway canceled it.
    Canceled,
    /// The model calls functions and waits for what they give.
    ToolCalls,
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
            Self::ToolCalls => "tool_calls",
        }
    }
}

/// One answer under way.
#[derive(Debug)]
pub struct Stream {
    /// The gateway's number for it.
    pub request: u64,
    /// Prompt and answer, as far as the context holds them.
    pub tokens: Vec<LlamaToken>,
    /// Chooses the next token.
    pub chooser: Chooser,
    /// How far tokens are guessed ahead.
    pub drafting: Drafting,
    /// Guessed tokens, in the step that is under way.
    pub draft: Vec<LlamaToken>,
    terms: Terms,
    utf8: Utf8Assembler,
    stop: StopWatch,
    prompt_len: usize,
    cached_len: usize,
    answered_len: usize,
    answer_max: usize,
    began: Instant,
    answered: Option<Instant>,
}

/// What one answer may and must be.
#[derive(Debug, Default)]
pub struct Terms {
    /// Texts that end it.
    pub stop: Vec<String>,
    /// Most tokens of the answer, if the request says so.
    pub max_tokens: Option<u32>,
    /// Tokens of prompt and answer together.
    pub context_tokens: usize,
    /// A full context drops its older half.
    pub context_shift: bool,
    /// Whether tokens may be guessed ahead.
    pub speculation: bool,
    /// Control tokens that show their text.
    pub preserved: Vec<LlamaToken>,
    /// How many alternatives of each token are told; none: no probabilities at all.
    pub logprobs: Option<usize>,
    /// Reads the answer, where it has a form.
    pub voice: Option<Voice>,
}

/// A token that was chosen.
#[derive(Debug)]
pub struct Chosen {
    /// The token.
    pub token: LlamaToken,
    /// What it shows.
    pub bytes: Vec<u8>,
    /// Whether the model ends its turn with it.
    pub ends: bool,
    /// How likely it was, if that was asked for.
    pub logprob: Option<TokenLogprob>,
}

impl Stream {
    /// Begins an answer to `prompt`, of which `cached_len` tokens are evaluated already.
    #[must_use]
    pub fn new(
        request: u64,
        prompt: Vec<LlamaToken>,
        cached_len: usize,
        chooser: Chooser,
        mut terms: Terms,
        now: Instant,
    ) -> Self {
        Self {
            request,
            prompt_len: prompt.len(),
            cached_len,
            answered_len: 0,
            answer_max: terms.max_tokens.map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(usize::MAX)),
            tokens: prompt,
            chooser,
            drafting: Drafting::default(),
            draft: Vec::new(),
            utf8: Utf8Assembler::default(),
            stop: StopWatch::new(std::mem::take(&mut terms.stop)),
            terms,
            began: now,
            answered: None,
        }
    }

    /// Whether the answer has begun.
    #[must_use]
    pub fn running(&self) -> bool {
        self.answered_len > 0
    }

    /// How many alternatives of each token are told, if any probabilities are.
    #[must_use]
    pub fn logprobs(&self) -> Option<usize> {
        self.terms.logprobs
    }

    /// Whether this control token shows its text.
    #[must_use]
    pub fn preserves(&self, token: LlamaToken) -> bool {
        self.terms.preserved.contains(&token)
    }

    /// Guesses what comes next: at most `most` tokens, and never more than there is room for.
    pub fn guess(&mut self, most: usize) {
        let room = self.terms.context_tokens.saturating_sub(self.tokens.len() + 1);
        let wanted = self.answer_max.saturating_sub(self.answered_len + 1);
        let most = if self.terms.speculation { most.min(room).min(wanted) } else { 0 };
        self.draft = self.drafting.propose(&self.tokens, most);
    }

    /// Drops the older half of a full context, but for its beginning; gives how many tokens of the beginning stay
    /// where they are. None: it is not full, or ends there.
    pub fn shift(&mut self) -> Option<usize> {
        if self.tokens.len() < self.terms.context_tokens || !self.terms.context_shift {
            return None;
        }
        let half = self.terms.context_tokens / 2;
        let keep = self.prompt_len.min(half / 2);
        let rest = self.tokens.len() - (half - keep);
        self.tokens.drain(keep..rest);
        Some(keep)
    }

    /// Takes a chosen token into `piece`, which ends the answer if it is finished then.
    ///
    /// # Errors
    /// A refusal if the answer has not the form that it must have.
    pub fn take(&mut self, chosen: Chosen, piece: &mut Piece, now: Instant) -> Result<(), Refusal> {
        let Chosen { token, bytes, ends, logprob } = chosen;
        self.answered.get_or_insert(now);
        self.tokens.push(token);
        self.answered_len += 1;
        piece.request = self.request;
        piece.tokens += 1;
        piece.logprobs.extend(logprob);
        if ends {
            return self.finish(piece, Reason::Stop, now);
        }
        let text = self.utf8.push(&bytes);
        let passed = self.stop.push(&text);
        self.say(&passed.text, passed.stopped, piece)?;
        if passed.stopped {
            piece.finished = Some(self.finished(Reason::Stop, now));
            return Ok(());
        }
        let full = self.tokens.len() >= self.terms.context_tokens && !self.terms.context_shift;
        if full || self.answered_len >= self.answer_max {
            return self.finish(piece, Reason::Length, now);
        }
        Ok(())
    }

    /// Ends the answer from outside.
    pub fn cancel(&mut self, now: Instant) -> Piece {
        let mut piece = Piece { request: self.request, ..Piece::default() };
        if self.finish(&mut piece, Reason::Canceled, now).is_err() {
            piece.finished = Some(self.finished(Reason::Canceled, now));
        }
        piece
    }

    /// Gives what was held back, unless it completes a stop string after all.
    fn finish(&mut self, piece: &mut Piece, reason: Reason, now: Instant) -> Result<(), Refusal> {
        let rest = self.utf8.finish();
        let mut text = self.stop.push(&rest).text;
        text.push_str(&self.stop.finish());
        match self.say(&text, true, piece) {
            // What was cut short need not have any form.
            Err(refusal) if reason == Reason::Stop => return Err(refusal),
            _ => piece.finished = Some(self.finished(reason, now)),
        }
        Ok(())
    }

    fn say(&mut self, text: &str, last: bool, piece: &mut Piece) -> Result<(), Refusal> {
        let Some(voice) = &mut self.terms.voice else {
            piece.text.push_str(text);
            return Ok(());
        };
        let news = voice.hear(text, last)?;
        piece.text.push_str(&news.text);
        piece.reasoning.push_str(&news.reasoning);
        piece.tool_calls_json = joined(&piece.tool_calls_json, &news.calls);
        Ok(())
    }

    fn finished(&self, reason: Reason, now: Instant) -> Finished {
        let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        let answered = self.answered.unwrap_or(now);
        let called = self.terms.voice.as_ref().is_some_and(Voice::called);
        let reason = if called && reason == Reason::Stop { Reason::ToolCalls } else { reason };
        Finished {
            reason: reason.as_str().to_owned(),
            prompt_tokens: count(self.prompt_len),
            cached_tokens: count(self.cached_len),
            completion_tokens: count(self.answered_len),
            prefill_us: micros(self.began, answered),
            decode_us: micros(answered, now),
        }
    }
}

/// Two JSON arrays as one; an empty text is an empty array.
fn joined(first: &str, second: &str) -> String {
    match (first.strip_suffix(']'), second.strip_prefix('[')) {
        (Some(first), Some(second)) => format!("{first},{second}"),
        (None, _) => second.to_owned(),
        (_, None) => first.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use llama_cpp_2::sampling::LlamaSampler;

    use super::*;

    fn stream(stop: &[&str], max_tokens: Option<u32>, context_tokens: usize) -> Stream {
        let stop = stop.iter().map(ToString::to_string).collect();
        let terms = Terms { stop, max_tokens, context_tokens, ..Terms::default() };
        let chooser = Chooser::new(LlamaSampler::greedy());
        Stream::new(9, vec![LlamaToken(1); 3], 2, chooser, terms, crate::clock::now())
    }

    fn take(stream: &mut Stream, bytes: &[u8], ends: bool) -> (String, Option<(String, u32)>) {
        let mut piece = Piece::default();
        let chosen = Chosen { token: LlamaToken(5), bytes: bytes.to_vec(), ends, logprob: None };
        stream.take(chosen, &mut piece, crate::clock::now()).expect("no form is asked for");
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
    fn a_full_context_keeps_its_beginning_and_its_end() {
        let mut one = stream(&[], None, 8);
        one.terms.context_shift = true;
        one.tokens = (1..=8).map(LlamaToken).collect();
        assert_eq!(one.shift(), Some(2));
        assert_eq!(one.tokens.iter().map(|token| token.0).collect::<Vec<_>>(), [1, 2, 7, 8]);
        assert_eq!(one.shift(), None);
    }

    #[test]
    fn arrays_are_joined() {
        assert_eq!(joined("", ""), "");
        assert_eq!(joined("", "[1]"), "[1]");
        assert_eq!(joined("[1]", ""), "[1]");
        assert_eq!(joined("[1]", "[2]"), "[1,2]");
    }

    #[test]
    fn a_stop_string_hides_itself_and_what_follows() {
        let mut one = stream(&["\n\n"], None, 100);
        assert_eq!(take(&mut one, b"x\n", false), ("x".into(), None));
        assert_eq!(take(&mut one, b"\nmore", false), (String::new(), Some(("stop".into(), 2))));
    }
}
