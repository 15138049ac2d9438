//! The numbers that shape a model: each within its bound, and all of them agreeing with each other.

use super::family::{Dim, Family};
use super::metadata::Metadata;
use crate::limits::{BLOCKS_MAX, CONTEXT_MAX, EXPERTS_MAX, WIDTH_MAX};
use crate::report::{Findings, Rule};

/// The numbers, once they have been checked. A formula is applied only to a complete set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hyperparameters {
    pub blocks: u32,
    pub context: u32,
    pub width: u32,
    pub heads: u32,
    pub kv_heads: u32,
    pub key_length: u32,
    pub value_length: u32,
    pub feed_forward: u32,
    pub rotated: u32,
    pub experts: u32,
    pub token_types: u32,
    pub labels: u64,
    pub tokens: u64,
}

impl Hyperparameters {
    /// What `dim` is for this model. Factors are below 2^21, so nothing overflows.
    pub(super) fn length(&self, dim: Dim) -> u64 {
        let keys = u64::from(self.kv_heads) * u64::from(self.key_length);
        let queries = u64::from(self.heads) * u64::from(self.key_length);
        let values = u64::from(self.kv_heads) * u64::from(self.value_length);
        match dim {
            Dim::Embd => u64::from(self.width),
            Dim::Q => queries,
            Dim::K => keys,
            Dim::V => values,
            Dim::Qkv => queries + keys + values,
            Dim::HeadK => u64::from(self.key_length),
            Dim::Ff => u64::from(self.feed_forward),
            Dim::Ff2 => u64::from(self.feed_forward) * 2,
            Dim::Vocab => self.tokens,
            Dim::RotHalf => u64::from(self.rotated / 2),
            Dim::Experts => u64::from(self.experts),
            Dim::Context => u64::from(self.context),
            Dim::TokenTypes => u64::from(self.token_types),
            Dim::Labels => self.labels,
        }
    }
}

/// Typed and bounded access to the keys of one architecture.
pub(super) struct Reader<'a> {
    pub metadata: &'a Metadata,
    pub architecture: &'a str,
}

impl Reader<'_> {
    pub(super) fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.architecture)
    }

    /// A refusal at the place of the key.
    pub(super) fn refuse(&self, name: &str, message: String, findings: &mut Findings) {
        findings.refuse_at(Rule::S03, self.metadata.at(&self.key(name)), message);
    }

    /// A number from 1 to `max` that must be there.
    pub(super) fn required(&self, name: &str, max: u32, findings: &mut Findings) -> Option<u32> {
        let key = self.key(name);
        if !self.metadata.has(&key) {
            findings.refuse(Rule::S03, format!("{key} is missing, expected is 1 to {max}"));
            return None;
        }
        self.optional(name, max, findings)
    }

    /// A number from 1 to `max`, if it is there.
    pub(super) fn optional(&self, name: &str, max: u32, findings: &mut Findings) -> Option<u32> {
        let key = self.key(name);
        let value = self.metadata.u32(&key, findings)?;
        if !(1..=max).contains(&value) {
            self.refuse(name, format!("{key} is {value}, allowed are 1 to {max}"), findings);
            return None;
        }
        Some(value)
    }

    /// Applies S03 and gives the numbers if each could be read. Without a family only what every model has is asked.
    pub(super) fn read(
        &self,
        family: Option<&Family>,
        tokens: Option<u64>,
        findings: &mut Findings,
    ) -> Option<Hyperparameters> {
        let blocks = self.required("block_count", BLOCKS_MAX, findings);
        let context = self.required("context_length", CONTEXT_MAX, findings);
        let width = self.required("embedding_length", WIDTH_MAX, findings);
        let feed_forward = match family {
            Some(_) => self.required("feed_forward_length", WIDTH_MAX, findings),
            None => self.optional("feed_forward_length", WIDTH_MAX, findings),
        };
        let experts = self.experts(findings);
        self.floats(family, findings);
        self.vocabulary_size(tokens, findings);
        self.pooling(findings);
        let heads = self.heads(family, width, findings);
        let labels = self.labels(findings);
        let token_types = self.metadata.u32("tokenizer.ggml.token_type_count", findings).unwrap_or_default();
        if family.is_some_and(|family| family.name.ends_with("bert")) && token_types == 0 {
            findings.refuse(Rule::S03, "tokenizer.ggml.token_type_count is missing, expected is 1 or more");
        }
        let Heads { heads, kv_heads, key_length, value_length, rotated } = heads?;
        Some(Hyperparameters {
            blocks: blocks?,
            context: context?,
            width: width?,
            heads,
            kv_heads,
            key_length,
            value_length,
            feed_forward: feed_forward.unwrap_or_default(),
            rotated,
            experts,
            token_types,
            labels,
            tokens: tokens?,
        })
    }

    fn heads(&self, family: Option<&Family>, width: Option<u32>, findings: &mut Findings) -> Option<Heads> {
        let heads = self.required("attention.head_count", WIDTH_MAX, findings);
        let kv_heads = self.optional("attention.head_count_kv", WIDTH_MAX, findings);
        let key = self.optional("attention.key_length", WIDTH_MAX, findings);
        let value = self.optional("attention.value_length", WIDTH_MAX, findings);
        let rotated = self.optional("rope.dimension_count", WIDTH_MAX, findings);
        let (heads, width) = (heads?, width?);
        let kv_heads = kv_heads.unwrap_or(heads);
        // Zero was refused above, so the remainders are defined.
        if heads % kv_heads != 0 {
            let message = format!("{heads} heads cannot share {kv_heads} key-value heads evenly");
            self.refuse("attention.head_count_kv", message, findings);
        }
        if (key.is_none() || value.is_none()) && width % heads != 0 {
            let message = format!("an embedding of {width} does not divide by {heads} heads");
            self.refuse("attention.head_count", message, findings);
            return None;
        }
        let (key, value) = (key.unwrap_or(width / heads), value.unwrap_or(width / heads));
        let rotated_all = rotated.unwrap_or(key);
        if family.is_some() && key != value {
            let message = format!("keys of {key} and values of {value}, expected are equal lengths");
            self.refuse("attention.value_length", message, findings);
        }
        if family.is_some_and(|family| family.square) && u64::from(heads) * u64::from(key) != u64::from(width)
        {
            let message = format!("{heads} heads of {key} do not make the embedding of {width}");
            self.refuse("attention.key_length", message, findings);
        }
        let all = family.is_some_and(|family| family.rotates_all);
        if rotated_all > key
            || (rotated.is_some() && !rotated_all.is_multiple_of(2))
            || (all && rotated_all != key)
        {
            let least = if all { key } else { 2 };
            let message =
                format!("{rotated_all} rotated dimensions, expected is an even number from {least} to {key}");
            self.refuse("rope.dimension_count", message, findings);
        }
        Some(Heads { heads, kv_heads, key_length: key, value_length: value, rotated: rotated_all })
    }

    fn experts(&self, findings: &mut Findings) -> u32 {
        let count = |name: &str, findings: &mut Findings| {
            self.metadata.u32(&self.key(name), findings).unwrap_or_default()
        };
        let experts = count("expert_count", findings);
        let used = count("expert_used_count", findings);
        if experts > EXPERTS_MAX || used > experts || (experts > 0 && used == 0) {
            let message = format!(
                "{used} of {experts} experts are used; expected are 1 to all, and at most {EXPERTS_MAX}"
            );
            self.refuse("expert_count", message, findings);
        }
        experts
    }

    fn floats(&self, family: Option<&Family>, findings: &mut Findings) {
        let rms = "attention.layer_norm_rms_epsilon";
        let plain = "attention.layer_norm_epsilon";
        let wanted = family.map(|family| if family.rms { rms } else { plain });
        if let Some(name) = wanted.filter(|name| !self.metadata.has(&self.key(name))) {
            findings.refuse(Rule::S03, format!("{} is missing, expected is more than 0", self.key(name)));
        }
        let positive = [
            rms,
            plain,
            "rope.freq_base",
            "rope.freq_base_swa",
            "rope.scale_linear",
            "rope.scaling.factor",
            "rope.scaling.attn_factor",
            "attn_logit_softcapping",
            "final_logit_softcapping",
        ];
        for name in positive {
            // Finite by G07.
            let value = self.metadata.f32(&self.key(name), findings);
            if value.is_some_and(|value| value <= 0.0) {
                self.refuse(name, format!("{} must be greater than 0", self.key(name)), findings);
            }
        }
    }

    fn vocabulary_size(&self, tokens: Option<u64>, findings: &mut Findings) {
        let stated = self.metadata.u32(&self.key("vocab_size"), findings);
        if let (Some(stated), Some(tokens)) = (stated, tokens)
            && u64::from(stated) != tokens
        {
            let message = format!("{} is {stated}, but there are {tokens} tokens", self.key("vocab_size"));
            self.refuse("vocab_size", message, findings);
        }
    }

    fn pooling(&self, findings: &mut Findings) {
        let kind = self.metadata.u32(&self.key("pooling_type"), findings);
        if let Some(kind) = kind.filter(|kind| *kind > 4) {
            let message = format!("{} is {kind}, allowed are 0 to 4", self.key("pooling_type"));
            self.refuse("pooling_type", message, findings);
        }
    }

    fn labels(&self, findings: &mut Findings) -> u64 {
        let key = self.key("classifier.output_labels");
        self.metadata.texts(&key, findings).map_or(1, |labels| labels.len() as u64)
    }
}

/// The numbers of attention.
struct Heads {
    heads: u32,
    kv_heads: u32,
    key_length: u32,
    value_length: u32,
    rotated: u32,
}
