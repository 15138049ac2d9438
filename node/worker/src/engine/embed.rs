//! Texts as vectors, or as a number that says how well each answers a question, as the model was made for. They have a context of their own, made when the first one comes: it evaluates whole texts at once
//! and answers with one vector each, which the context of conversations cannot.

use std::collections::VecDeque;

use croft_domain::code::Code;
use croft_domain::memory::KvType;
use croft_proto::frames::{Embed, Embedded, Rank, Ranked};
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaPoolingType;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;

use crate::engine::context::{self, Extent};
use crate::engine::pulse::{Ended, Pulse};
use crate::engine::request::Refusal;
use crate::engine::text::Vocabulary;
use crate::engine::{Outbound, failed};
use crate::limits::{EMBED_SEQUENCES_MAX, EMBED_TEXTS_MAX, EMBED_TOKENS_MAX, WAITING_MAX};

/// One text that waits.
#[derive(Debug)]
struct Waiting {
    request: u64,
    index: u32,
    tokens: Vec<LlamaToken>,
    wanted: Wanted,
    last: bool,
}

/// What becomes of a text.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    /// So many numbers of its vector.
    Vector(usize),
    /// How well it answers the question before it.
    Score,
}

/// Texts that wait, and the context for them.
#[derive(Debug)]
pub struct Embedder<'m> {
    backend: &'m LlamaBackend,
    model: &'m LlamaModel,
    context: Option<LlamaContext<'m>>,
    tokens_max: u32,
    threads: i32,
    waiting: VecDeque<Waiting>,
    pulse: &'m Pulse,
}

impl<'m> Embedder<'m> {
    /// For texts of at most `context_tokens`.
    #[must_use]
    pub fn new(
        backend: &'m LlamaBackend,
        model: &'m LlamaModel,
        context_tokens: u32,
        threads: i32,
        pulse: &'m Pulse,
    ) -> Self {
        let tokens_max = context_tokens.min(EMBED_TOKENS_MAX);
        Self { backend, model, context: None, tokens_max, threads, waiting: VecDeque::new(), pulse }
    }

    /// Whether texts wait.
    #[must_use]
    pub fn busy(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Numbers in a vector; zero for a model that answers with something else.
    #[must_use]
    pub fn vector_len(&self) -> u32 {
        if self.ranks() { 0 } else { u32::try_from(self.model.n_embd_out()).unwrap_or(0) }
    }

    /// Whether the model says how well texts answer a question.
    #[must_use]
    pub fn ranks(&self) -> bool {
        pooling(self.model) == LlamaPoolingType::Rank
    }

    /// Forgets the texts of a request; says whether there were any.
    pub fn cancel(&mut self, request: u64) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|text| text.request != request);
        self.waiting.len() < before
    }

    /// Takes the texts of a request.
    ///
    /// # Errors
    /// A refusal; then none of them is taken.
    pub fn accept(&mut self, vocabulary: &Vocabulary<'_>, wire: Embed) -> Result<(), Refusal> {
        let Embed { request, texts, dimensions, truncate } = wire;
        if self.vector_len() == 0 {
            return Err(Refusal::unsupported("this model makes no embeddings"));
        }
        if texts.is_empty() || texts.len() > EMBED_TEXTS_MAX {
            return Err(Refusal::invalid("input is not one to 256 texts"));
        }
        if dimensions > self.vector_len() {
            return Err(Refusal::invalid("dimensions is more than the model's vectors have"));
        }
        if self.waiting.len() >= WAITING_MAX * EMBED_TEXTS_MAX {
            return Err(Refusal { code: Code::QueueFull, message: "too many requests wait for this model" });
        }
        let most = usize::try_from(self.tokens_max).unwrap_or(0);
        let full = Refusal { code: Code::ContextFull, message: "a text is longer than the model's context" };
        let count = texts.len();
        let mut all = Vec::with_capacity(count);
        for (index, text) in (0_u32..).zip(texts) {
            let text_len_max = most.saturating_mul(vocabulary.piece_len_max());
            if text.len() > text_len_max && !truncate {
                return Err(full);
            }
            let mut tokens = vocabulary.text(&text[..text.floor_char_boundary(text_len_max)]);
            if truncate {
                cut(&mut tokens, most, vocabulary.ends());
            }
            if tokens.is_empty() {
                return Err(Refusal::invalid("input has an empty text"));
            }
            if tokens.len() > most {
                return Err(full);
            }
            let dimensions = if dimensions == 0 { self.vector_len() } else { dimensions };
            let dimensions = usize::try_from(dimensions).unwrap_or(0);
            let wanted = Wanted::Vector(dimensions);
            all.push(Waiting { request, index, tokens, wanted, last: all.len() + 1 == count });
        }
        self.waiting.extend(all);
        Ok(())
    }

    /// Takes the texts of a request that asks how well each answers a question.
    ///
    /// # Errors
    /// A refusal; then none of them is taken.
    pub fn accept_rank(&mut self, vocabulary: &Vocabulary<'_>, wire: Rank) -> Result<(), Refusal> {
        let Rank { request, question, texts } = wire;
        if !self.ranks() {
            return Err(Refusal::unsupported("this model does not rank texts"));
        }
        if texts.is_empty() || texts.len() > EMBED_TEXTS_MAX || question.is_empty() {
            return Err(Refusal::invalid("expected a question and one to 256 documents"));
        }
        if self.waiting.len() >= WAITING_MAX * EMBED_TEXTS_MAX {
            return Err(Refusal { code: Code::QueueFull, message: "too many requests wait for this model" });
        }
        let most = usize::try_from(self.tokens_max).unwrap_or(0);
        let full =
            Refusal { code: Code::ContextFull, message: "a document is longer than the model's context" };
        let count = texts.len();
        let mut all = Vec::with_capacity(count);
        for (index, text) in (0_u32..).zip(texts) {
            if text.len() + question.len() > most.saturating_mul(vocabulary.piece_len_max()) {
                return Err(full);
            }
            let tokens = vocabulary.pair(&question, &text);
            if tokens.len() > most {
                return Err(full);
            }
            let last = all.len() + 1 == count;
            all.push(Waiting { request, index, tokens, wanted: Wanted::Score, last });
        }
        self.waiting.extend(all);
        Ok(())
    }

    /// Evaluates as many of the waiting texts as fit one batch, `texts_max` at most.
    pub fn step(&mut self, texts_max: usize) -> Vec<Outbound> {
        let most = usize::try_from(self.tokens_max).unwrap_or(0);
        let (mut group, mut tokens) = (Vec::new(), 0);
        while let Some(text) = self.waiting.front() {
            if group.len() >= texts_max.min(EMBED_SEQUENCES_MAX) || tokens + text.tokens.len() > most {
                break;
            }
            tokens += text.tokens.len();
            group.extend(self.waiting.pop_front());
        }
        if group.is_empty() {
            return Vec::new();
        }
        match self.evaluate(&group) {
            (Some(vectors), _) => {
                group.iter().zip(vectors).map(|(text, vector)| embedded(text, vector)).collect()
            }
            (None, Ended::Early) => {
                // The cancellations are already on their way to us, and take them out.
                for text in group.into_iter().rev() {
                    self.waiting.push_front(text);
                }
                Vec::new()
            }
            (None, Ended::Whole) => self.fail(&group),
        }
    }

    fn evaluate(&mut self, group: &[Waiting]) -> (Option<Vec<Vec<f32>>>, Ended) {
        let pulse = self.pulse;
        pulse.during(group.iter().map(|text| text.request).collect(), || self.vectors(group))
    }

    fn vectors(&mut self, group: &[Waiting]) -> Option<Vec<Vec<f32>>> {
        if self.context.is_none() {
            self.context = Some(self.make()?);
        }
        let context = self.context.as_mut()?;
        context.clear_kv_cache();
        let tokens = group.iter().map(|text| text.tokens.len()).sum();
        let mut batch = LlamaBatch::new(tokens, 1);
        for (sequence, text) in (0..).zip(group) {
            for (position, token) in (0..).zip(&text.tokens) {
                batch.add(*token, position, &[sequence], true).ok()?;
            }
        }
        context.decode(&mut batch).ok()?;
        let vector = |(sequence, text): (i32, &Waiting)| {
            let values = context.embeddings_seq_ith(sequence).ok()?;
            match text.wanted {
                Wanted::Vector(dimensions) => Some(normalized(values.get(..dimensions)?)),
                Wanted::Score => values.get(..1).map(<[f32]>::to_vec),
            }
        };
        (0..).zip(group).map(vector).collect()
    }

    fn make(&self) -> Option<LlamaContext<'m>> {
        let tokens = self.tokens_max;
        let extent = Extent {
            tokens,
            batch: tokens,
            sequences: u32::try_from(EMBED_SEQUENCES_MAX).unwrap_or(1),
            // Of every token: they are pooled.
            outputs: 0,
            threads: self.threads,
            kv: KvType::F16,
            pooling: Some(pooling(self.model)),
        };
        context::make(self.backend, self.model, extent, self.pulse).ok()
    }

    fn fail(&mut self, group: &[Waiting]) -> Vec<Outbound> {
        let refusal = Refusal { code: Code::Internal, message: "the model could not evaluate this request" };
        let mut requests: Vec<u64> = group.iter().map(|text| text.request).collect();
        requests.dedup();
        for request in &requests {
            self.cancel(*request);
        }
        requests.into_iter().map(|request| failed(request, refusal)).collect()
    }
}

/// Cuts to `most` tokens; a mark of the end that was there stays.
fn cut(tokens: &mut Vec<LlamaToken>, most: usize, ends: &[LlamaToken]) {
    if tokens.len() <= most {
        return;
    }
    let end = tokens.last().copied().filter(|token| ends.contains(token));
    tokens.truncate(most - usize::from(end.is_some()));
    tokens.extend(end);
}

fn embedded(text: &Waiting, vector: Vec<f32>) -> Outbound {
    let prompt_tokens = u32::try_from(text.tokens.len()).unwrap_or(u32::MAX);
    let Waiting { request, index, tokens: _, wanted, last } = *text;
    match wanted {
        Wanted::Vector(_) => Outbound::Embedded(Embedded { request, index, vector, prompt_tokens, last }),
        Wanted::Score => {
            let score = vector.first().copied().unwrap_or_default();
            Outbound::Ranked(Ranked { request, index, score, prompt_tokens, last })
        }
    }
}

/// How the model makes one vector of a text: its own way, or the mean where it was made to write.
fn pooling(model: &LlamaModel) -> LlamaPoolingType {
    let architecture = model.meta_val_str("general.architecture").unwrap_or_default();
    let declared = model.meta_val_str(&format!("{architecture}.pooling_type")).ok();
    match declared.as_deref() {
        Some("2") => LlamaPoolingType::Cls,
        Some("3") => LlamaPoolingType::Last,
        Some("4") => LlamaPoolingType::Rank,
        _ => LlamaPoolingType::Mean,
    }
}

/// The vector with length 1; one of no length stays as it is.
fn normalized(values: &[f32]) -> Vec<f32> {
    let length = values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    if length == 0.0 {
        return values.to_vec();
    }
    // Single precision is what the model computes in.
    values.iter().map(|value| (f64::from(*value) / length) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_cut_keeps_its_end() {
        let tokens = |all: &[i32]| all.iter().map(|id| LlamaToken(*id)).collect::<Vec<_>>();
        let cut_to = |most, ends: &[i32]| {
            let mut all = tokens(&[1, 2, 3, 9]);
            cut(&mut all, most, &tokens(ends));
            all
        };
        assert_eq!(cut_to(4, &[9]), tokens(&[1, 2, 3, 9]));
        assert_eq!(cut_to(3, &[9]), tokens(&[1, 2, 9]));
        assert_eq!(cut_to(3, &[]), tokens(&[1, 2, 3]));
        assert_eq!(cut_to(1, &[9]), tokens(&[9]));
    }

    #[test]
    fn vectors_have_length_one() {
        assert_eq!(normalized(&[3.0, 4.0]), [0.6, 0.8]);
        assert_eq!(normalized(&[0.0, 0.0]), [0.0, 0.0]);
    }
}
