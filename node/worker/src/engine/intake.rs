//! What comes in: requests checked and laid out, given to slots, or canceled.

use croft_domain::code::Code;
use croft_proto::frames::{Finished, Generate, Piece, Step, to_worker};
use llama_cpp_2::token::LlamaToken;

use crate::clock;
use crate::engine::jinja::{Reader, Rendered};
use crate::engine::request::{Input, Refusal, Request};
use crate::engine::sampler::{self, Chooser, Logits};
use crate::engine::slots::Taken;
use crate::engine::stream::{Reason, Stream, Terms};
use crate::engine::talk::{Choice, Talk};
use crate::engine::template::Layout;
use crate::engine::voice::Voice;
use crate::engine::{Engine, Outbound, choose, failed};
use crate::limits::WAITING_MAX;

/// A request that waits for a slot, with everything that could still have been refused done.
#[derive(Debug)]
pub(super) struct Waiting {
    id: u64,
    partition: u64,
    tokens: Vec<LlamaToken>,
    chooser: Chooser,
    terms: Terms,
}

const FULL: Refusal =
    Refusal { code: Code::ContextFull, message: "the prompt does not fit the model's context" };

impl Engine<'_> {
    /// Takes a frame. Refusals and cancellations are answered at once.
    pub fn accept(&mut self, frame: to_worker::Frame) -> Option<Outbound> {
        match frame {
            to_worker::Frame::Generate(wire) => {
                let id = wire.request;
                self.enqueue(wire).err().map(|refusal| failed(id, refusal))
            }
            to_worker::Frame::Cancel(cancel) => self.cancel(cancel.request),
            to_worker::Frame::Embed(embed) => {
                let id = embed.request;
                self.embedder.accept(&self.vocabulary, embed).err().map(|refusal| failed(id, refusal))
            }
            to_worker::Frame::Rank(rank) => {
                let id = rank.request;
                self.embedder.accept_rank(&self.vocabulary, rank).err().map(|refusal| failed(id, refusal))
            }
        }
    }

    fn enqueue(&mut self, wire: Generate) -> Result<(), Refusal> {
        if self.encodes {
            return Err(Refusal::unsupported("this model turns texts into vectors and writes nothing"));
        }
        let request = Request::try_from(wire)?;
        if self.waiting.iter().any(|w| w.id == request.id) || self.slots.find(request.id).is_some() {
            return Err(Refusal::invalid("request is under way already"));
        }
        if self.waiting.len() >= WAITING_MAX {
            return Err(Refusal { code: Code::QueueFull, message: "too many requests wait for this model" });
        }
        let len = match &request.input {
            Input::Text(text) => text.len(),
            Input::Chat(talk) => talk.turns.iter().map(|turn| turn.content.len()).sum(),
            Input::Infill { prefix, suffix } => prefix.len() + suffix.len(),
        };
        // Before tokenizing, which takes time: no token stands for more than so many bytes.
        if len > self.context_tokens.saturating_mul(self.vocabulary.piece_len_max()) {
            return Err(FULL);
        }
        let (tokens, rendered) = self.tokens(&request.input)?;
        if tokens.is_empty() {
            return Err(Refusal::invalid("prompt is empty"));
        }
        if tokens.len() >= self.context_tokens {
            return Err(FULL);
        }
        let waiting = self.prepare(request, tokens, rendered)?;
        self.waiting.push_back(waiting);
        Ok(())
    }

    fn tokens(&self, input: &Input) -> Result<(Vec<LlamaToken>, Option<Rendered>), Refusal> {
        let talk = match input {
            Input::Text(text) => return Ok((self.vocabulary.raw(text), None)),
            Input::Infill { prefix, suffix } => {
                let tokens = self.vocabulary.infill(prefix, suffix);
                let none = Refusal::unsupported("this model has no marks for filling in the middle");
                return Ok((tokens.ok_or(none)?, None));
            }
            Input::Chat(talk) => talk,
        };
        let layout = self.layout.as_ref().ok_or(Refusal::unsupported(
            "this model has no approved chat template; only plain completions are possible",
        ))?;
        let (parts, rendered) = layout.lay_out(&self.vocabulary, talk)?;
        Ok((self.vocabulary.conversation(&parts), Some(rendered)))
    }

    /// How the answer is to be chosen and read.
    fn prepare(
        &mut self,
        request: Request,
        tokens: Vec<LlamaToken>,
        rendered: Option<Rendered>,
    ) -> Result<Waiting, Refusal> {
        self.requests += 1;
        let mut biases = Vec::with_capacity(request.biases.len());
        for (token, bias) in request.biases {
            if token >= self.vocabulary.len() {
                return Err(Refusal::invalid("logit_bias names a token that the model has not"));
            }
            biases.push((LlamaToken(token), bias));
        }
        if request.ignore_eos {
            biases.extend(self.vocabulary.ends().iter().map(|token| (*token, f32::NEG_INFINITY)));
        }
        let chain = sampler::build(&request.sampling, self.vocabulary.len(), &biases, &tokens, self.requests);
        let mut chooser = Chooser::new(chain);
        if request.sampling.temperature == 0.0 && !request.sampling.penalizes() {
            chooser = chooser.greedy(&biases);
        }
        let mut terms = Terms {
            stop: request.stop,
            max_tokens: request.max_tokens,
            context_tokens: self.context_tokens,
            context_shift: request.context_shift,
            speculation: request.speculation,
            logprobs: request.logprobs,
            ..Terms::default()
        };
        if let Some(grammar) = &request.grammar {
            chooser.follow(self.model, grammar)?;
        }
        let talk = if let Input::Chat(talk) = &request.input { Some(talk) } else { None };
        let needs_reading = talk.is_some_and(Talk::callable)
            || (request.grammar.is_none() && self.layout.as_ref().is_some_and(Layout::thinks));
        if let (Some(talk), Some(rendered), true) = (talk, rendered, needs_reading) {
            if talk.callable() {
                let at_once = talk.choice == Choice::Required;
                chooser.follow_template(self.model, &self.vocabulary, &rendered, at_once)?;
            }
            let reader = Reader::new(&rendered)
                .ok_or(Refusal::unsupported("this runtime cannot read answers of the approved template"))?;
            terms.voice = Some(Voice::new(reader, talk.names(), request.id));
            terms.preserved =
                rendered.preserved.iter().filter_map(|text| self.vocabulary.token(text)).collect();
            terms.stop.extend(rendered.stops.into_iter().filter(|stop| !stop.is_empty()));
        }
        Ok(Waiting { id: request.id, partition: request.cache_partition, tokens, chooser, terms })
    }

    /// Gives idle slots to waiting requests. An exact repeat has its first token at once.
    pub(super) fn admit(&mut self, pieces: &mut Vec<Piece>, out: &mut Vec<Outbound>) {
        while let Some(next) = self.waiting.front() {
            let Some(taken) = self.slots.take(&mut self.context, next.partition, &next.tokens) else {
                return;
            };
            let Some(waiting) = self.waiting.pop_front() else { return };
            let Taken { slot, keep, logits } = taken;
            let Waiting { id, tokens, chooser, terms, .. } = waiting;
            let mut stream = Stream::new(id, tokens, keep, chooser, terms, clock::now());
            let Some(logits) = logits else {
                self.slots.begin(slot, stream);
                continue;
            };
            let mut piece = Piece::default();
            match choose(&mut stream, &self.vocabulary, Logits::Kept(&logits), &mut piece) {
                Err(refusal) => out.push(failed(id, refusal)),
                Ok(_) => {
                    let ended = piece.finished.is_some();
                    pieces.push(piece);
                    self.slots.begin(slot, stream);
                    if ended {
                        self.slots.end(slot);
                    }
                }
            }
        }
    }

    fn cancel(&mut self, request: u64) -> Option<Outbound> {
        self.pulse.forget(request);
        let embeds = self.embedder.cancel(request);
        let waits = self.waiting.iter().position(|w| w.id == request);
        if embeds || waits.is_some() {
            let tokens = waits.and_then(|at| self.waiting.remove(at)).map_or(0, |w| w.tokens.len());
            let finished = Finished {
                reason: Reason::Canceled.as_str().to_owned(),
                prompt_tokens: u32::try_from(tokens).unwrap_or(u32::MAX),
                ..Finished::default()
            };
            let piece = Piece { request, finished: Some(finished), ..Piece::default() };
            return Some(Outbound::Step(Step { pieces: vec![piece] }));
        }
        let slot = self.slots.find(request)?;
        let piece = self.slots.end(slot)?.cancel(clock::now());
        Some(Outbound::Step(Step { pieces: vec![piece] }))
    }
}
