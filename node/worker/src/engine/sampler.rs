//! How the next token of one stream is chosen: checked settings in, a llama.cpp chain out, a grammar beside it.

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token::data::LlamaTokenData;
use llama_cpp_2::token::data_array::LlamaTokenDataArray;
use llama_cpp_2::token::logit_bias::LlamaLogitBias;

use crate::engine::greedy::Greedy;
use crate::engine::jinja::Rendered;
use crate::engine::request::{Refusal, Settings};
use crate::engine::text::Vocabulary;
use crate::limits::PENALTY_WINDOW_TOKENS;

/// llama.cpp's mark for "choose a seed yourself", which would ask the kernel for randomness.
const SEED_UNSET: u32 = u32::MAX;

const NO_GRAMMAR: Refusal = Refusal::invalid("the grammar of the answer is not one that llama.cpp reads");
const NO_FORCE: Refusal = Refusal::unsupported(
    "tool_choice: with the approved chat template this runtime cannot make the model call",
);

/// What a step says about the next token.
#[derive(Clone, Copy, Debug)]
pub enum Logits<'l> {
    /// In the batch that was evaluated last, at this place.
    Batch(&'l LlamaContext<'l>, i32),
    /// Kept from an earlier step.
    Kept(&'l [f32]),
}

impl Logits<'_> {
    /// One number for each token.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        match self {
            Self::Batch(context, index) => context.get_logits_ith(*index),
            Self::Kept(values) => values,
        }
    }

    fn candidates(&self) -> LlamaTokenDataArray {
        let data =
            (0..).zip(self.values()).map(|(id, logit)| LlamaTokenData::new(LlamaToken(id), *logit, 0.0));
        LlamaTokenDataArray::from_iter(data, false)
    }
}

/// Chooses the tokens of one stream.
#[derive(Debug)]
pub struct Chooser {
    chain: LlamaSampler,
    /// What the chain would choose, found without it.
    greedy: Option<Greedy>,
    grammar: Option<LlamaSampler>,
}

impl Chooser {
    /// Without a grammar.
    #[must_use]
    pub fn new(chain: LlamaSampler) -> Self {
        Self { chain, greedy: None, grammar: None }
    }

    /// The chain only takes the likeliest token after these were added to: then it need not run over every token.
    #[must_use]
    pub fn greedy(mut self, biases: &[(LlamaToken, f32)]) -> Self {
        self.greedy = Some(Greedy::new(biases));
        self
    }

    /// The answer follows this GBNF, from its first token on.
    ///
    /// # Errors
    /// A refusal if llama.cpp cannot read it.
    pub fn follow(&mut self, model: &LlamaModel, gbnf: &str) -> Result<(), Refusal> {
        self.grammar = Some(LlamaSampler::grammar(model, gbnf, "root").map_err(|_| NO_GRAMMAR)?);
        Ok(())
    }

    /// The answer follows the grammar of its template, if that has one. `at_once`: nothing is said before the call.
    ///
    /// # Errors
    /// A refusal if llama.cpp cannot read it.
    pub fn follow_template(
        &mut self,
        model: &LlamaModel,
        vocabulary: &Vocabulary<'_>,
        rendered: &Rendered,
        at_once: bool,
    ) -> Result<(), Refusal> {
        if rendered.grammar.is_empty() {
            // Without a grammar nothing makes the model call.
            return if at_once { Err(NO_FORCE) } else { Ok(()) };
        }
        if !rendered.lazy {
            let grammar = if at_once { silent(&rendered.grammar) } else { rendered.grammar.clone() };
            self.follow(model, &grammar)?;
            let grammar = self.grammar.as_mut().ok_or(NO_GRAMMAR)?;
            // The prompt has said the beginning already.
            for token in vocabulary.literal(&rendered.generation_prompt) {
                grammar.try_accept(token).map_err(|_| NO_GRAMMAR)?;
            }
            return Ok(());
        }
        let (mut patterns, mut tokens) = (Vec::new(), Vec::new());
        for trigger in &rendered.triggers {
            match trigger.pattern() {
                Ok(pattern) => patterns.push(pattern),
                Err(token) => tokens.push(LlamaToken(token)),
            }
        }
        let lazy = LlamaSampler::grammar_lazy_patterns(model, &rendered.grammar, "root", &patterns, &tokens);
        self.grammar = Some(lazy.map_err(|_| NO_GRAMMAR)?);
        Ok(())
    }

    /// The next token. None if the grammar allows none, or cannot go on.
    pub fn choose(&mut self, logits: Logits<'_>) -> Option<LlamaToken> {
        let Some(grammar) = &mut self.grammar else {
            if let (None, Logits::Batch(context, index)) = (&self.greedy, logits) {
                return Some(self.chain.sample(context, index));
            }
            let token = likely(&mut self.chain, self.greedy.as_ref(), logits)?;
            self.chain.accept(token);
            return Some(token);
        };
        // Mostly the model follows by itself, and looking at one token is cheaper than at all.
        let mut token = likely(&mut self.chain, self.greedy.as_ref(), logits)?;
        let mut one = LlamaTokenDataArray::new(vec![LlamaTokenData::new(token, 0.0, 0.0)], false);
        grammar.apply(&mut one);
        if one.data.first().is_none_or(|data| data.logit() == f32::NEG_INFINITY) {
            let mut candidates = logits.candidates();
            grammar.apply(&mut candidates);
            candidates.data.retain(|data| data.logit() > f32::NEG_INFINITY);
            if candidates.data.is_empty() {
                return None;
            }
            self.chain.apply(&mut candidates);
            token = candidates.selected_token()?;
        }
        grammar.try_accept(token).ok()?;
        self.chain.accept(token);
        Some(token)
    }
}

/// What a chain chooses of all tokens.
fn likely(chain: &mut LlamaSampler, greedy: Option<&Greedy>, logits: Logits<'_>) -> Option<LlamaToken> {
    if let Some(greedy) = greedy {
        return greedy.choose(logits.values());
    }
    let mut candidates = logits.candidates();
    chain.apply(&mut candidates);
    candidates.selected_token()
}

/// The grammar without the free text that its root begins with. Where a call is demanded, llama.cpp lets any amount of
/// text precede it, so that a small model talks until its tokens are used up.
fn silent(grammar: &str) -> String {
    let quiet = |line: &str| {
        let words = line.split(' ').filter(|word| !(word.starts_with("until-") && word.ends_with('?')));
        words.collect::<Vec<_>>().join(" ")
    };
    let lines = grammar.lines().map(|l| if l.starts_with("root ::=") { quiet(l) } else { l.to_owned() });
    lines.collect::<Vec<_>>().join("\n")
}

/// Natural logarithms of the probability of `token` and of the `count` likeliest tokens, before any setting changed
/// them.
#[must_use]
pub fn probabilities(logits: &[f32], token: LlamaToken, count: usize) -> (f32, Vec<(LlamaToken, f32)>) {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f64 = logits.iter().map(|logit| f64::from(logit - most).exp()).sum();
    // In the range of single precision by construction: the sum is between one and the number of tokens.
    let norm = most + total.ln() as f32;
    let of = |index: usize| logits.get(index).map_or(f32::NEG_INFINITY, |logit| logit - norm);
    let mut order: Vec<usize> = (0..logits.len()).collect();
    let count = count.min(order.len());
    if count > 0 && count < order.len() {
        order.select_nth_unstable_by(count - 1, |a, b| logits[*b].total_cmp(&logits[*a]));
    }
    order.truncate(count);
    order.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]));
    let top = order.into_iter().map(|index| (LlamaToken(i32::try_from(index).unwrap_or(-1)), of(index)));
    (usize::try_from(token.0).map_or(f32::NEG_INFINITY, of), top.collect())
}

/// Builds the chain.
///
/// `vocabulary_len`: number of tokens. `biases`: added to logits; minus infinity bans. `prompt`: what penalties look
/// back on. `fallback_seed`: used where the request has none; it need not be secret.
#[must_use]
pub fn build(
    settings: &Settings,
    vocabulary_len: i32,
    biases: &[(LlamaToken, f32)],
    prompt: &[LlamaToken],
    fallback_seed: u64,
) -> LlamaSampler {
    let mut chain = Vec::new();
    if !biases.is_empty() {
        let biases: Vec<_> = biases.iter().map(|(t, bias)| LlamaLogitBias::new(*t, *bias)).collect();
        chain.push(LlamaSampler::logit_bias(vocabulary_len, &biases));
    }
    if settings.penalizes() {
        chain.push(LlamaSampler::penalties(
            vocabulary_len,
            PENALTY_WINDOW_TOKENS,
            settings.repeat_penalty,
            settings.frequency_penalty,
            settings.presence_penalty,
        ));
    }
    if settings.temperature > 0.0 {
        if let Some(k) = settings.top_k {
            chain.push(LlamaSampler::top_k(i32::try_from(k).unwrap_or(i32::MAX).min(vocabulary_len)));
        }
        if let Some(p) = settings.top_p {
            chain.push(LlamaSampler::top_p(p, 1));
        }
        if let Some(p) = settings.min_p {
            chain.push(LlamaSampler::min_p(p, 1));
        }
        chain.push(LlamaSampler::temp(settings.temperature));
        chain.push(LlamaSampler::dist(seed(settings.seed, fallback_seed)));
    } else {
        chain.push(LlamaSampler::greedy());
    }
    let mut sampler = LlamaSampler::chain(chain, true);
    if settings.penalizes() {
        let window = usize::try_from(PENALTY_WINDOW_TOKENS).unwrap_or(0);
        sampler.accept_many(&prompt[prompt.len().saturating_sub(window)..]);
    }
    sampler
}

/// Folds 64 bits into the 32 that llama.cpp takes; the same seed always gives the same.
fn seed(asked: u64, fallback: u64) -> u32 {
    let mut bits = if asked == 0 { fallback } else { asked };
    if asked == 0 || asked > u64::from(u32::MAX) {
        // The finalizer of splitmix64: neighbors come out far apart.
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits = (bits ^ (bits >> 31)) & u64::from(u32::MAX);
    }
    u32::try_from(bits).unwrap_or(0).min(SEED_UNSET - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_stable_and_never_unset() {
        assert_eq!(seed(7, 1), 7);
        assert_eq!(seed(u64::from(SEED_UNSET), 1), SEED_UNSET - 1);
        assert_eq!(seed(u64::MAX - 5, 1), seed(u64::MAX - 5, 2));
        assert_ne!(seed(0, 1), seed(0, 2));
    }

    #[test]
    fn a_demanded_call_comes_at_once() {
        let grammar = "a ::= until-1? b\nroot ::= \"x\" until-16? calls\nuntil-16 ::= [^x]";
        assert_eq!(silent(grammar), "a ::= until-1? b\nroot ::= \"x\" calls\nuntil-16 ::= [^x]");
    }

    #[test]
    fn probabilities_sum_to_one_and_the_likeliest_come_first() {
        let logits = [1.0, 3.0, 2.0, f32::NEG_INFINITY];
        let (of, top) = probabilities(&logits, LlamaToken(2), 3);
        assert_eq!(top.iter().map(|(token, _)| token.0).collect::<Vec<_>>(), [1, 2, 0]);
        assert!((top.iter().map(|(_, p)| p.exp()).sum::<f32>() - 1.0).abs() < 1e-5);
        assert!((of - top[1].1).abs() < 1e-6);
        assert!(probabilities(&logits, LlamaToken(9), 0).1.is_empty());
    }
}
