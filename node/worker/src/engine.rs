//! Continuous batching: one thread owns model and context, and every step evaluates a token of each running stream
//! and a part of each waiting prompt.
//!
//! The engine touches no socket: frames come in by [`Engine::accept`], and [`Engine::step`] gives frames back.

pub mod batch;
pub mod load;
pub mod log;
pub mod prefix;
pub mod request;
pub mod sampler;
pub mod slots;
pub mod stop;
pub mod stream;
pub mod template;
pub mod text;
pub mod utf8;

use std::collections::VecDeque;
use std::num::NonZeroU32;

use croft_domain::code::Code;
use croft_proto::frames::{Failed, Finished, Generate, Piece, Step, from_worker, to_worker};
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;

use crate::clock;
use crate::engine::batch::{Pace, Share};
use crate::engine::request::{Input, Refusal, Request};
use crate::engine::slots::Slots;
use crate::engine::stream::{Reason, Stream, Terms};
use crate::engine::template::Template;
use crate::engine::text::Vocabulary;
use crate::fault::Fault;
use crate::limits::{BATCH_TOKENS_MAX, WAITING_MAX};

/// What a worker gives back.
pub type Outbound = from_worker::Frame;

/// How large an engine is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Tokens that one request may fill, prompt and answer together.
    pub context_tokens: u32,
    /// Requests at the same time.
    pub slots: u32,
    /// Threads that compute.
    pub threads: u32,
}

/// Model, context and the streams that use them.
#[derive(Debug)]
pub struct Engine<'m> {
    model: &'m LlamaModel,
    vocabulary: Vocabulary<'m>,
    template: Option<Template>,
    context: LlamaContext<'m>,
    batch: LlamaBatch<'static>,
    slots: Slots,
    waiting: VecDeque<Waiting>,
    pace: Pace,
    context_tokens: usize,
    requests: u64,
}

#[derive(Debug)]
struct Waiting {
    request: Request,
    tokens: Vec<LlamaToken>,
}

impl<'m> Engine<'m> {
    /// Makes the context. A request never gets more context than the model was trained for.
    ///
    /// # Errors
    /// [`Fault::Context`] if llama.cpp cannot make it.
    pub fn new(
        backend: &LlamaBackend,
        model: &'m LlamaModel,
        template: Option<Template>,
        size: Size,
    ) -> Result<Self, Fault> {
        let trained = model.n_ctx_train();
        let context_tokens =
            if trained == 0 { size.context_tokens } else { size.context_tokens.min(trained) };
        // One pool for all: streams of a common prefix share its cells, and no stream can exceed its own context.
        let tokens = context_tokens.saturating_mul(size.slots);
        let batch_tokens = u32::try_from(BATCH_TOKENS_MAX).unwrap_or(u32::MAX);
        let threads = i32::try_from(size.threads).unwrap_or(i32::MAX);
        let params = LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(tokens))
            .with_n_batch(batch_tokens)
            .with_n_ubatch(batch_tokens)
            .with_n_seq_max(size.slots)
            .with_kv_unified(true)
            .with_n_threads(threads)
            .with_n_threads_batch(threads)
            .with_no_perf(true);
        let context =
            model.new_context(backend, params).map_err(|source| Fault::Context { tokens, source })?;
        Ok(Self {
            vocabulary: Vocabulary::new(model.vocab()),
            slots: Slots::new(size.slots, !model.is_recurrent() && !model.is_hybrid()),
            batch: LlamaBatch::new(BATCH_TOKENS_MAX, 1),
            context_tokens: usize::try_from(context_tokens).unwrap_or(usize::MAX),
            waiting: VecDeque::new(),
            pace: Pace::default(),
            requests: 0,
            model,
            template,
            context,
        })
    }

    /// Tokens that one request may fill.
    #[must_use]
    pub fn context_tokens(&self) -> u32 {
        u32::try_from(self.context_tokens).unwrap_or(u32::MAX)
    }

    /// Whether a step has anything to do.
    #[must_use]
    pub fn busy(&self) -> bool {
        !self.waiting.is_empty() || self.slots.busy()
    }

    /// Takes a frame. Refusals and cancellations are answered at once.
    pub fn accept(&mut self, frame: to_worker::Frame) -> Option<Outbound> {
        match frame {
            to_worker::Frame::Generate(wire) => {
                let id = wire.request;
                self.enqueue(wire).err().map(|refusal| failed(id, refusal))
            }
            to_worker::Frame::Cancel(cancel) => self.cancel(cancel.request),
            to_worker::Frame::Embed(embed) => {
                Some(failed(embed.request, Refusal::unsupported("this runtime makes no embeddings")))
            }
        }
    }

    fn enqueue(&mut self, wire: Generate) -> Result<(), Refusal> {
        let request = Request::try_from(wire)?;
        if self.waiting.iter().any(|w| w.request.id == request.id) || self.slots.find(request.id).is_some() {
            return Err(Refusal::invalid("request is under way already"));
        }
        if self.waiting.len() >= WAITING_MAX {
            return Err(Refusal { code: Code::QueueFull, message: "too many requests wait for this model" });
        }
        let full =
            Refusal { code: Code::ContextFull, message: "the prompt does not fit the model's context" };
        let len = match &request.input {
            Input::Text(text) => text.len(),
            Input::Chat(turns) => turns.iter().map(|turn| turn.content.len()).sum(),
        };
        // Before tokenizing, which takes time: no token stands for more than so many bytes.
        if len > self.context_tokens.saturating_mul(self.vocabulary.piece_len_max()) {
            return Err(full);
        }
        let tokens = self.tokens(&request.input)?;
        if tokens.is_empty() {
            return Err(Refusal::invalid("prompt is empty"));
        }
        if tokens.len() >= self.context_tokens {
            return Err(full);
        }
        self.waiting.push_back(Waiting { request, tokens });
        Ok(())
    }

    fn tokens(&self, input: &Input) -> Result<Vec<LlamaToken>, Refusal> {
        let turns = match input {
            Input::Text(text) => return Ok(self.vocabulary.raw(text)),
            Input::Chat(turns) => turns,
        };
        let template = self.template.as_ref().ok_or(Refusal {
            code: Code::RequestUnsupported,
            message: "this model has no approved chat template; only plain completions are possible",
        })?;
        let roles: Vec<_> = turns.iter().map(|turn| turn.role).collect();
        let contents: Vec<_> = turns.iter().map(|turn| turn.content.as_str()).collect();
        Ok(self.vocabulary.conversation(&template.lay_out(self.model, &roles)?, &contents))
    }

    fn cancel(&mut self, request: u64) -> Option<Outbound> {
        if let Some(at) = self.waiting.iter().position(|w| w.request.id == request) {
            let tokens = self.waiting.remove(at).map_or(0, |w| w.tokens.len());
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

    /// Gives idle slots to waiting requests, then evaluates one batch. One step frame at most for all streams.
    pub fn step(&mut self) -> Vec<Outbound> {
        self.admit();
        let demands = self.slots.demands();
        let running = demands.iter().filter(|demand| demand.running).count();
        // More than its own batch llama.cpp answers by ending the process.
        let room = usize::try_from(self.context.n_batch()).unwrap_or(0).saturating_sub(running);
        let shares = batch::divide(&demands, self.pace.prefill_tokens(running > 0).min(room));
        if shares.is_empty() {
            return Vec::new();
        }
        let began = clock::now();
        let Some(outputs) = self.fill(&shares).filter(|_| self.context.decode(&mut self.batch).is_ok())
        else {
            return self.fail_all();
        };
        let evaluated: usize = shares.iter().map(|share| share.tokens).sum();
        self.pace.observe(evaluated.saturating_sub(running), clock::micros(began, clock::now()));
        for share in &shares {
            self.slots.evaluated(share);
        }
        let pieces: Vec<Piece> =
            outputs.into_iter().filter_map(|(slot, index)| self.sample(slot, index)).collect();
        if pieces.is_empty() { Vec::new() } else { vec![Outbound::Step(Step { pieces })] }
    }

    fn admit(&mut self) {
        while let Some(next) = self.waiting.front() {
            let partition = next.request.cache_partition;
            let Some((slot, keep)) = self.slots.take(&mut self.context, partition, &next.tokens) else {
                return;
            };
            let Some(Waiting { request, tokens }) = self.waiting.pop_front() else { return };
            self.requests += 1;
            let banned = if request.ignore_eos { self.vocabulary.ends() } else { &[] };
            let sampler =
                sampler::build(&request.sampling, self.vocabulary.len(), banned, &tokens, self.requests);
            let terms = Terms {
                stop: request.stop,
                max_tokens: request.max_tokens,
                context_tokens: self.context_tokens,
            };
            self.slots.begin(slot, Stream::new(request.id, tokens, keep, sampler, terms, clock::now()));
        }
    }

    /// Writes the batch; gives the slots whose next token is to be sampled, with the place of their logits.
    fn fill(&mut self, shares: &[Share]) -> Option<Vec<(usize, i32)>> {
        self.batch.clear();
        let mut outputs = Vec::new();
        for share in shares {
            let (first, tokens, last) = self.slots.pending(share)?;
            let sequence = i32::try_from(share.slot).ok()?;
            for (offset, token) in tokens.iter().enumerate() {
                let wanted = last && offset + 1 == tokens.len();
                if wanted {
                    outputs.push((share.slot, self.batch.n_tokens()));
                }
                let position = i32::try_from(first + offset).ok()?;
                self.batch.add(*token, position, &[sequence], wanted).ok()?;
            }
        }
        Some(outputs)
    }

    fn sample(&mut self, slot: usize, index: i32) -> Option<Piece> {
        let stream = self.slots.stream(slot)?;
        let token = stream.sampler.sample(&self.context, index);
        let ends = self.vocabulary.ends().contains(&token);
        let piece = stream.take(token, &self.vocabulary.piece(token), ends, clock::now());
        if piece.finished.is_some() {
            self.slots.end(slot);
        }
        Some(piece)
    }

    /// llama.cpp could not evaluate a batch: nothing in the cache is to be trusted any more.
    fn fail_all(&mut self) -> Vec<Outbound> {
        self.context.clear_kv_cache();
        let refusal = Refusal { code: Code::Internal, message: "the model could not evaluate this request" };
        self.slots.clear().into_iter().map(|request| failed(request, refusal)).collect()
    }
}

fn failed(request: u64, refusal: Refusal) -> Outbound {
    let Refusal { code, message } = refusal;
    Outbound::Failed(Failed { request, code: code.to_string(), message: message.to_owned() })
}
