//! The sampler of one stream: checked settings in, a llama.cpp chain out.

use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token::logit_bias::LlamaLogitBias;

use crate::engine::request::Settings;
use crate::limits::PENALTY_WINDOW_TOKENS;

/// llama.cpp's mark for "choose a seed yourself", which would ask the kernel for randomness.
const SEED_UNSET: u32 = u32::MAX;

/// Builds the chain.
///
/// `vocabulary_len`: number of tokens. `banned`: tokens that never come. `prompt`: what penalties look back on.
/// `fallback_seed`: used where the request has none; it need not be secret.
#[must_use]
pub fn build(
    settings: &Settings,
    vocabulary_len: i32,
    banned: &[LlamaToken],
    prompt: &[LlamaToken],
    fallback_seed: u64,
) -> LlamaSampler {
    let mut chain = Vec::new();
    if !banned.is_empty() {
        let biases: Vec<_> = banned.iter().map(|t| LlamaLogitBias::new(*t, f32::NEG_INFINITY)).collect();
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
}
