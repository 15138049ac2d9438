//! How much memory a model takes, told from its header before a byte of its weights is loaded, and whether that fits.
//!
//! The figures are those of llama.cpp on a CPU. They are meant to be a little too high: what is loaded must not exceed
//! what was promised.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::limits::{BATCH_TOKENS, DRAFT_TOKENS, EMBED_TOKENS};

/// How the cache of keys and values is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KvType {
    /// Two bytes a number.
    #[default]
    F16,
    /// Blocks of 32 numbers in 34 bytes: about half the memory, answers differ in the last digits.
    #[serde(rename = "q8_0")]
    Q8,
}

impl KvType {
    /// As configuration, command line and people write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::Q8 => "q8_0",
        }
    }

    /// Bytes of so many numbers.
    #[must_use]
    pub const fn bytes(self, numbers: u64) -> u64 {
        match self {
            Self::F16 => numbers.saturating_mul(2),
            Self::Q8 => numbers.saturating_mul(34).div_ceil(32),
        }
    }
}

impl fmt::Display for KvType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What of a model's header decides how much memory it takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelShape {
    /// All tensors, in bytes. They are mapped from the file.
    pub weights_bytes: u64,
    /// Of those, the matrices of which the back end makes itself a copy in another order, in bytes.
    pub repacked_bytes: u64,
    /// Numbers of keys and values that one token leaves in the caches of all layers; 0 for encoders, which keep none.
    pub kv_numbers: u64,
    /// Width of a token between layers.
    pub width: u64,
    /// Width inside a layer, the widest of attention and feed-forward.
    pub width_inner: u64,
    /// Tokens in the vocabulary.
    pub vocabulary: u64,
    /// Context that it was trained for, in tokens; 0 where the file does not say.
    pub context_trained: u64,
    /// Whether its file says that it is meant to turn texts into vectors or to rank them.
    pub embeds: bool,
}

impl ModelShape {
    /// The same with another file of the model, of which only the tensors count.
    #[must_use]
    pub const fn with_part(mut self, part: &Self) -> Self {
        self.weights_bytes = self.weights_bytes.saturating_add(part.weights_bytes);
        self.repacked_bytes = self.repacked_bytes.saturating_add(part.repacked_bytes);
        self
    }

    /// Buffers that a model takes which was not made for it, when a text is turned into a vector, in bytes.
    #[must_use]
    pub fn vectors_bytes(&self) -> u64 {
        let tokens = self.context_trained.min(EMBED_TOKENS);
        step_bytes(self, tokens, tokens, tokens)
            .saturating_add(KvType::F16.bytes(self.kv_numbers.saturating_mul(tokens)))
    }
}

/// With which parameters it is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadSize {
    /// Tokens that one request may fill.
    pub context_tokens: u32,
    /// Requests at the same time.
    pub slots: u32,
    /// How keys and values are stored.
    pub kv: KvType,
}

/// What a loaded model takes, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryPlan {
    /// Mapped from the file; the kernel can drop and read them again.
    pub weights_bytes: u64,
    /// Copies of weights in the order that the processor likes.
    pub repacked_bytes: u64,
    /// Keys and values of all slots.
    pub kv_bytes: u64,
    /// Buffers of one step, the vocabulary, kept logits and the program itself.
    pub compute_bytes: u64,
}

/// A worker without a model: the program, its libraries and its threads.
const PROGRAM_BYTES: u64 = 16 << 20;

/// Bytes that one token of the vocabulary takes: its text, its place in two maps, its attributes.
const VOCABULARY_TOKEN_BYTES: u64 = 320;

impl MemoryPlan {
    /// Plans a model.
    #[must_use]
    pub fn of(shape: &ModelShape, size: &LoadSize) -> Self {
        let context = match shape.context_trained {
            0 => u64::from(size.context_tokens),
            trained => trained.min(u64::from(size.context_tokens)),
        };
        let slots = u64::from(size.slots);
        // Every slot has its own part of the cache.
        let cells = context.next_multiple_of(256).saturating_mul(slots);
        let kv_numbers = if shape.kv_numbers == 0 { 0 } else { cells.saturating_mul(shape.kv_numbers) };
        let outputs = slots + DRAFT_TOKENS;
        let mut compute = PROGRAM_BYTES
            .saturating_add(shape.vocabulary.saturating_mul(VOCABULARY_TOKEN_BYTES))
            .saturating_add(step_bytes(shape, BATCH_TOKENS, cells, outputs))
            // What a slot keeps of its last prompt, and a sampler's candidates.
            .saturating_add(slots.saturating_mul(shape.vocabulary).saturating_mul(4 + 12));
        if shape.embeds {
            let tokens = context.min(EMBED_TOKENS);
            compute = compute.saturating_add(step_bytes(shape, tokens, tokens, tokens));
        }
        Self {
            weights_bytes: shape.weights_bytes,
            repacked_bytes: shape.repacked_bytes,
            kv_bytes: size.kv.bytes(kv_numbers),
            compute_bytes: compute,
        }
    }

    /// All of it.
    #[must_use]
    pub const fn total_bytes(&self) -> u64 {
        self.weights_bytes.saturating_add(self.own_bytes())
    }

    /// What is the process's own: all but the mapped file.
    #[must_use]
    pub const fn own_bytes(&self) -> u64 {
        self.repacked_bytes.saturating_add(self.kv_bytes).saturating_add(self.compute_bytes)
    }

    /// Whether it fits under a ceiling.
    ///
    /// # Errors
    /// [`OverCeiling`] with the figures.
    pub const fn fit(&self, ceiling_bytes: u64) -> Result<(), OverCeiling> {
        if self.total_bytes() <= ceiling_bytes {
            return Ok(());
        }
        Err(OverCeiling { plan: *self, ceiling_bytes })
    }
}

/// Buffers of a step of `tokens` tokens that attends to `cells` cells and gives `outputs` rows of logits.
fn step_bytes(shape: &ModelShape, tokens: u64, cells: u64, outputs: u64) -> u64 {
    // Between layers, and inside one: what goes in, what comes out, and what is between, each in single precision.
    let numbers = shape.width.saturating_mul(4).saturating_add(shape.width_inner.saturating_mul(3));
    let layers = tokens.saturating_mul(numbers).saturating_mul(4);
    // The mask of attention in single and in half precision.
    let mask = tokens.saturating_mul(cells).saturating_mul(4 + 2);
    // Logits where they are computed, and where they are read.
    let logits = outputs.saturating_mul(shape.vocabulary).saturating_mul(4 + 4);
    layers.saturating_add(mask).saturating_add(logits)
}

impl fmt::Display for MemoryPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weights = self.weights_bytes.saturating_add(self.repacked_bytes);
        write!(
            f,
            "{} (weights {}, KV {}, compute {})",
            Size(self.total_bytes()),
            Size(weights),
            Size(self.kv_bytes),
            Size(self.compute_bytes)
        )
    }
}

/// A model takes more memory than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("needs {plan}, ceiling {}", Size(*ceiling_bytes))]
pub struct OverCeiling {
    /// What it takes.
    pub plan: MemoryPlan,
    /// What it may, in bytes.
    pub ceiling_bytes: u64,
}

/// Bytes for a person: GiB with one digit, or MiB below one.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, name) = if self.0 >= 1 << 30 { (1_u64 << 30, "GiB") } else { (1 << 20, "MiB") };
        let tenths = u128::from(self.0) * 10 / u128::from(unit);
        write!(f, "{}.{} {name}", tenths / 10, tenths % 10)
    }
}

/// What all models together may take.
///
/// `machine_bytes` is the memory of the machine or of the control group, whichever is less. `wanted_bytes` is what the
/// owner chose, 0 for the default share. `percent_max` is what signed policy allows.
#[must_use]
pub fn ceiling(machine_bytes: u64, wanted_bytes: u64, percent_max: Option<u8>) -> u64 {
    let share = |percent: u8| machine_bytes / 100 * u64::from(percent);
    let chosen = match wanted_bytes {
        0 => share(DEFAULT_PERCENT),
        wanted => wanted.min(share(MOST_PERCENT)),
    };
    percent_max.map_or(chosen, |percent| chosen.min(share(percent)))
}

/// Share of the machine's memory that models get where nobody says otherwise: an editor, a browser and a compiler need
/// the rest.
pub const DEFAULT_PERCENT: u8 = 60;

/// The most that can be asked for.
pub const MOST_PERCENT: u8 = 90;

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn shape() -> ModelShape {
        ModelShape {
            weights_bytes: 4 * GIB,
            repacked_bytes: 0,
            kv_numbers: 32 * 2 * 1024,
            width: 4096,
            width_inner: 14336,
            vocabulary: 32_000,
            context_trained: 8192,
            embeds: false,
        }
    }

    #[test]
    fn a_refusal_gives_the_figures() {
        let size = LoadSize { context_tokens: 4096, slots: 2, kv: KvType::F16 };
        let plan = MemoryPlan::of(&shape(), &size);
        assert_eq!(plan.kv_bytes, GIB);
        assert_eq!(plan.fit(plan.total_bytes()), Ok(()));
        let refused = plan.fit(4 * GIB).expect_err("too large").to_string();
        assert!(refused.starts_with("needs 5."), "{refused}");
        assert!(refused.contains("(weights 4.0 GiB, KV 1.0 GiB, compute "), "{refused}");
        assert!(refused.ends_with("ceiling 4.0 GiB"), "{refused}");
    }

    #[test]
    fn a_smaller_cache_is_what_it_says() {
        let size = LoadSize { context_tokens: 4096, slots: 2, kv: KvType::Q8 };
        let plan = MemoryPlan::of(&shape(), &size);
        assert_eq!(plan.kv_bytes, GIB / 2 * 34 / 32);
    }

    #[test]
    fn a_context_beyond_the_models_own_is_not_planned() {
        let asked = |context_tokens| {
            MemoryPlan::of(&shape(), &LoadSize { context_tokens, slots: 1, kv: KvType::F16 }).kv_bytes
        };
        assert_eq!(asked(8192), asked(1 << 20));
        let encoder = ModelShape { kv_numbers: 0, embeds: true, ..shape() };
        let size = LoadSize { context_tokens: 512, slots: 1, kv: KvType::F16 };
        assert_eq!(MemoryPlan::of(&encoder, &size).kv_bytes, 0);
    }

    #[test]
    fn absurd_headers_saturate() {
        let most = ModelShape {
            weights_bytes: u64::MAX,
            repacked_bytes: u64::MAX,
            kv_numbers: u64::MAX,
            width: u64::MAX,
            width_inner: u64::MAX,
            vocabulary: u64::MAX,
            context_trained: u64::MAX,
            embeds: true,
        };
        let size = LoadSize { context_tokens: u32::MAX, slots: u32::MAX, kv: KvType::Q8 };
        assert!(MemoryPlan::of(&most, &size).fit(u64::MAX - 1).is_err());
    }

    #[test]
    fn the_ceiling_is_the_least_of_share_choice_and_policy() {
        assert_eq!(ceiling(100 * GIB, 0, None), 60 * GIB);
        assert_eq!(ceiling(100 * GIB, 8 * GIB, None), 8 * GIB);
        assert_eq!(ceiling(100 * GIB, 1000 * GIB, None), 90 * GIB);
        assert_eq!(ceiling(100 * GIB, 80 * GIB, Some(25)), 25 * GIB);
        assert_eq!(ceiling(100 * GIB, 8 * GIB, Some(25)), 8 * GIB);
    }
}
