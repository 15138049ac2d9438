//! Continuous batching: one thread owns model and context, and every step evaluates a token of each running stream
//! and a part of each waiting prompt.
//!
//! The engine touches no socket: frames come in by [`Engine::accept`], and [`Engine::step`] gives frames back.

pub mod batch;
pub mod context;
pub mod draft;
pub mod embed;
pub mod grammar;
pub mod greedy;
mod intake;
pub mod jinja;
pub mod load;
pub mod log;
pub mod prefix;
pub mod probe;
pub mod pulse;
pub mod request;
pub mod sampler;
pub mod slots;
pub mod stop;
pub mod stream;
pub mod talk;
pub mod template;
pub mod text;
pub mod utf8;
pub mod voice;

use std::collections::VecDeque;

use croft_domain::code::Code;
use croft_domain::memory::KvType;
use croft_proto::frames::{Failed, Piece, Step, TokenLogprob, TopLogprob, from_worker};
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;

use crate::clock;
use crate::engine::batch::{Pace, Share, Turn};
use crate::engine::context::Extent;
use crate::engine::embed::Embedder;
use crate::engine::intake::Waiting;
use crate::engine::pulse::{Ended, Pulse};
use crate::engine::request::Refusal;
use crate::engine::sampler::Logits;
use crate::engine::slots::Slots;
use crate::engine::stream::{Chosen, Stream};
use crate::engine::template::{Layout, Template};
use crate::engine::text::Vocabulary;
use crate::fault::Fault;
use crate::limits::{BATCH_TOKENS_MAX, DRAFT_STEP_TOKENS_MAX, EMBED_SEQUENCES_MAX};

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
    /// How keys and values are stored.
    pub kv: KvType,
}

/// Model, context and the streams that use them.
#[derive(Debug)]
pub struct Engine<'m> {
    model: &'m LlamaModel,
    vocabulary: Vocabulary<'m>,
    layout: Option<Layout>,
    context: LlamaContext<'m>,
    batch: LlamaBatch<'static>,
    slots: Slots,
    waiting: VecDeque<Waiting>,
    pace: Pace,
    turn: Turn,
    context_tokens: usize,
    requests: u64,
    embedder: Embedder<'m>,
    /// The model sees texts as a whole, and so cannot go on with one.
    encodes: bool,
    pulse: &'m Pulse,
}

impl<'m> Engine<'m> {
    /// Makes the context. A request never gets more context than the model was trained for. `pulse` can end a step.
    ///
    /// # Errors
    /// [`Fault::Context`] if llama.cpp cannot make it.
    pub fn new(
        backend: &'m LlamaBackend,
        model: &'m LlamaModel,
        template: Option<Template>,
        size: Size,
        pulse: &'m Pulse,
    ) -> Result<Self, Fault> {
        let architecture = model.meta_val_str("general.architecture").unwrap_or_default();
        let causal = model.meta_val_str(&format!("{architecture}.attention.causal"));
        let encodes = causal.is_ok_and(|causal| causal == "false");
        let trained = model.n_ctx_train();
        let context_tokens =
            if trained == 0 { size.context_tokens } else { size.context_tokens.min(trained) };
        let tokens = context_tokens.saturating_mul(size.slots);
        let batch_tokens = u32::try_from(BATCH_TOKENS_MAX).unwrap_or(u32::MAX);
        let threads = i32::try_from(size.threads).unwrap_or(i32::MAX);
        let extent = Extent {
            tokens,
            batch: batch_tokens,
            sequences: size.slots,
            // A token of each stream, and every guess.
            outputs: size.slots.saturating_add(u32::try_from(DRAFT_STEP_TOKENS_MAX).unwrap_or(0)),
            threads,
            kv: size.kv,
            pooling: None,
        };
        let context = context::make(backend, model, extent, pulse)
            .map_err(|source| Fault::Context { tokens, source })?;
        Ok(Self {
            vocabulary: Vocabulary::new(model.vocab()),
            slots: Slots::new(size.slots, !model.is_recurrent() && !model.is_hybrid()),
            batch: LlamaBatch::new(BATCH_TOKENS_MAX, 1),
            context_tokens: usize::try_from(context_tokens).unwrap_or(usize::MAX),
            waiting: VecDeque::new(),
            pace: Pace::default(),
            turn: Turn::default(),
            requests: 0,
            encodes,
            embedder: Embedder::new(backend, model, context_tokens, threads, pulse),
            layout: template.map(|template| Layout::new(model, template)),
            model,
            context,
            pulse,
        })
    }

    /// Tokens that one request may fill.
    #[must_use]
    pub fn context_tokens(&self) -> u32 {
        u32::try_from(self.context_tokens).unwrap_or(u32::MAX)
    }

    /// Whether the model fills in the middle.
    #[must_use]
    pub fn infills(&self) -> bool {
        self.vocabulary.infill("", "").is_some()
    }

    /// Numbers in a vector that the model makes of a text; zero if it makes none.
    #[must_use]
    pub fn embedding_len(&self) -> u32 {
        self.embedder.vector_len()
    }

    /// Whether the model says how well texts answer a question.
    #[must_use]
    pub fn ranks(&self) -> bool {
        self.embedder.ranks()
    }

    /// Whether a step has anything to do.
    #[must_use]
    pub fn busy(&self) -> bool {
        !self.waiting.is_empty() || self.slots.busy() || self.embedder.busy()
    }

    /// Gives idle slots to waiting requests, then evaluates one batch. One step frame at most for all streams.
    pub fn step(&mut self) -> Vec<Outbound> {
        self.slots.shift(&mut self.context);
        // Whoever waits for a token waits for one text, not for a batch of them.
        let mut out = self.embedder.step(if self.slots.busy() { 1 } else { EMBED_SEQUENCES_MAX });
        let mut pieces = Vec::new();
        self.admit(&mut pieces, &mut out);
        self.slots.guess(DRAFT_STEP_TOKENS_MAX);
        let demands = self.slots.demands();
        let running: usize = demands.iter().filter(|d| d.running).map(|d| d.pending).sum();
        // More than its own batch llama.cpp answers by ending the process.
        let room = usize::try_from(self.context.n_batch()).unwrap_or(0).saturating_sub(running);
        self.turn = self.turn.next();
        let shares = batch::divide(&demands, self.pace.prefill_tokens(running > 0).min(room), self.turn);
        if !shares.is_empty() {
            let began = clock::now();
            let Some(outputs) = self.fill(&shares) else {
                out.extend(self.fail_all());
                return out;
            };
            let requests = shares.iter().filter_map(|share| self.slots.request(share.slot)).collect();
            match self.pulse.during(requests, || self.context.decode(&mut self.batch)) {
                (Ok(()), _) => {}
                (Err(_), Ended::Early) => {
                    // The cancellations are already on their way to us.
                    self.slots.undo(&mut self.context, &shares);
                    return out;
                }
                (Err(_), Ended::Whole) => {
                    out.extend(self.fail_all());
                    return out;
                }
            }
            let evaluated: usize = shares.iter().map(|share| share.tokens).sum();
            self.pace.observe(evaluated.saturating_sub(running), clock::micros(began, clock::now()));
            for share in &shares {
                self.slots.evaluated(share);
            }
            for output in outputs {
                match self.sample(output) {
                    Ok(piece) => pieces.extend(piece),
                    Err(failure) => out.push(failure),
                }
            }
        }
        if !pieces.is_empty() {
            out.push(Outbound::Step(Step { pieces }));
        }
        out
    }

    /// Writes the batch; gives the slots whose next token is to be sampled, with the place of their logits.
    fn fill(&mut self, shares: &[Share]) -> Option<Vec<Output>> {
        self.batch.clear();
        let mut outputs = Vec::new();
        for share in shares {
            let pending = self.slots.pending(share)?;
            let sequence = i32::try_from(share.slot).ok()?;
            if pending.wanted_from < pending.tokens.len() {
                let index = self.batch.n_tokens() + i32::try_from(pending.wanted_from).ok()?;
                outputs.push(Output { slot: share.slot, index });
            }
            for (offset, token) in pending.tokens.iter().enumerate() {
                let position = i32::try_from(pending.first + offset).ok()?;
                self.batch.add(*token, position, &[sequence], offset >= pending.wanted_from).ok()?;
            }
        }
        Some(outputs)
    }

    /// Chooses the next token of a stream, and one more for every guess that turns out right.
    fn sample(&mut self, output: Output) -> Result<Option<Piece>, Outbound> {
        let Output { slot, mut index } = output;
        let Some(stream) = self.slots.stream(slot) else { return Ok(None) };
        let first = !stream.running();
        let draft = std::mem::take(&mut stream.draft);
        if first {
            self.slots.keep(slot, self.context.get_logits_ith(index));
        }
        let mut piece = Piece::default();
        let mut right = 0;
        loop {
            let Some(stream) = self.slots.stream(slot) else { return Ok(None) };
            let token = choose(stream, &self.vocabulary, Logits::Batch(&self.context, index), &mut piece);
            if let Err(refusal) = token {
                let request = stream.request;
                self.slots.end(slot);
                self.slots.forget_guesses(&mut self.context, slot);
                return Err(failed(request, refusal));
            }
            if piece.finished.is_some() || draft.get(right).copied() != token.ok() {
                break;
            }
            self.slots.confirm(slot, draft[right]);
            right += 1;
            index += 1;
        }
        if let Some(stream) = self.slots.stream(slot) {
            stream.drafting.observe(draft.len(), right);
        }
        if right < draft.len() {
            self.slots.forget_guesses(&mut self.context, slot);
        }
        if piece.finished.is_some() {
            self.slots.end(slot);
        }
        Ok(Some(piece))
    }

    /// llama.cpp could not evaluate a batch: nothing in the cache is to be trusted any more.
    fn fail_all(&mut self) -> Vec<Outbound> {
        self.context.clear_kv_cache();
        let refusal = Refusal { code: Code::Internal, message: "the model could not evaluate this request" };
        self.slots.clear().into_iter().map(|request| failed(request, refusal)).collect()
    }
}

/// Where the logits of a slot are.
#[derive(Clone, Copy, Debug)]
struct Output {
    slot: usize,
    index: i32,
}

/// Chooses one token and writes what it shows into `piece`.
fn choose(
    stream: &mut Stream,
    vocabulary: &Vocabulary<'_>,
    logits: Logits<'_>,
    piece: &mut Piece,
) -> Result<LlamaToken, Refusal> {
    // Ends at the first number, which is the first one there is.
    if logits.values().iter().all(|logit| logit.is_nan()) {
        return Err(NO_NUMBER);
    }
    let token = stream.chooser.choose(logits).ok_or(NO_TOKEN)?;
    let logprob = stream.logprobs().map(|count| {
        let (logprob, top) = sampler::probabilities(logits.values(), token, count);
        let top =
            top.into_iter().map(|(token, logprob)| TopLogprob { text: vocabulary.bytes(token), logprob });
        TokenLogprob { text: vocabulary.bytes(token), logprob, top: top.collect() }
    });
    let bytes = if stream.preserves(token) { vocabulary.bytes(token) } else { vocabulary.piece(token) };
    let ends = vocabulary.ends().contains(&token);
    stream.take(Chosen { token, bytes, ends, logprob }, piece, clock::now())?;
    Ok(token)
}

const NO_TOKEN: Refusal = Refusal {
    code: Code::RequestInvalid,
    message: "the grammar of the answer leaves no token to go on with",
};

const NO_NUMBER: Refusal =
    Refusal { code: Code::Internal, message: "the model's weights give no number for any token" };

fn failed(request: u64, refusal: Refusal) -> Outbound {
    let Refusal { code, message } = refusal;
    Outbound::Failed(Failed { request, code: code.to_string(), message: message.to_owned() })
}
