//! Which architectures are accepted, and whether their hyperparameters agree with each other and with the tensors.

use std::collections::BTreeSet;

use super::metadata::Metadata;
use super::tensor::Tensor;
use crate::limits::{BLOCKS_MAX, CONTEXT_MAX, EXPERTS_MAX, WIDTH_MAX};
use crate::report::{Findings, Rule, excerpt};

/// Architectures whose loader was looked at. Every other is refused until it is.
const ACCEPTED: &[&str] = &["llama", "qwen2", "qwen3"];

/// Applies S01 to S03, S11 and P01; gives the context length.
pub(super) fn judge(metadata: &Metadata, tensors: &[Tensor], findings: &mut Findings) -> Option<u32> {
    judge_kind(metadata, findings);
    judge_quantization(metadata, tensors, findings);
    if !metadata.has("general.architecture") {
        findings.refuse(Rule::S01, "general.architecture is missing");
    }
    let architecture = metadata.text("general.architecture", findings)?;
    if !ACCEPTED.contains(&architecture) {
        let shown = excerpt(architecture.as_bytes());
        let accepted = ACCEPTED.join(", ");
        findings
            .refuse(Rule::S01, format!("architecture \"{shown}\" is not accepted; accepted are {accepted}"));
        return None;
    }
    note_unknown_keys(metadata, architecture, findings);
    let read = Hyperparameters { metadata, architecture };
    judge_blocks(&read, tensors, findings);
    judge_heads(&read, findings);
    judge_experts(&read, findings);
    judge_floats(&read, findings);
    read.required("context_length", CONTEXT_MAX, findings)
}

fn judge_kind(metadata: &Metadata, findings: &mut Findings) {
    if let Some(kind) = metadata.text("general.type", findings).filter(|kind| *kind != "model") {
        let shown = excerpt(kind.as_bytes());
        findings.refuse(Rule::S01, format!("general.type is \"{shown}\": only whole models are served"));
    }
    if metadata.has("split.count") && metadata.integer("split.count").is_none_or(|count| count > 1) {
        findings
            .refuse(Rule::P01, "the file is one of several shards; merge them with llama-gguf-split --merge");
    }
}

fn judge_quantization(metadata: &Metadata, tensors: &[Tensor], findings: &mut Findings) {
    let version = metadata.u32("general.quantization_version", findings);
    let quantized = tensors.iter().any(|tensor| tensor.quantized);
    let holds = match version {
        Some(version) => version == 2,
        None => !quantized,
    };
    if !holds {
        findings.refuse(Rule::S11, "general.quantization_version must be 2 where tensors are quantized");
    }
}

/// Keys that no part of the loader is known to read: shown to the person who approves, not refused.
fn note_unknown_keys(metadata: &Metadata, architecture: &str, findings: &mut Findings) {
    for key in metadata.keys() {
        let namespace = key.split('.').next().unwrap_or_default();
        if !["general", "tokenizer", "split", "quantize", architecture].contains(&namespace) {
            findings.note(Rule::S02, format!("key {key} belongs to no known namespace"));
        }
    }
}

struct Hyperparameters<'a> {
    metadata: &'a Metadata,
    architecture: &'a str,
}

impl Hyperparameters<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.architecture)
    }

    /// A number from 1 to `max` that must be there.
    fn required(&self, name: &str, max: u32, findings: &mut Findings) -> Option<u32> {
        let key = self.key(name);
        if !self.metadata.has(&key) {
            findings.refuse(Rule::S03, format!("{key} is missing"));
            return None;
        }
        self.optional(name, max, findings)
    }

    /// A number from 1 to `max`, if it is there.
    fn optional(&self, name: &str, max: u32, findings: &mut Findings) -> Option<u32> {
        let key = self.key(name);
        let value = self.metadata.u32(&key, findings)?;
        if !(1..=max).contains(&value) {
            findings.refuse(Rule::S03, format!("{key} is {value}, allowed are 1 to {max}"));
            return None;
        }
        Some(value)
    }
}

/// `blk.N.` must be there for every N below the block count and for no other.
fn judge_blocks(read: &Hyperparameters<'_>, tensors: &[Tensor], findings: &mut Findings) {
    let Some(count) = read.required("block_count", BLOCKS_MAX, findings) else { return };
    let mut present = BTreeSet::new();
    for tensor in tensors {
        let Some(rest) = tensor.name.strip_prefix("blk.") else { continue };
        let number = rest.split('.').next().unwrap_or_default();
        // Parsed and printed again, so that `blk.01.` is not taken for `blk.1.`.
        match number.parse::<u32>() {
            Ok(block) if block.to_string() == number => {
                present.insert(block);
            }
            _ => findings.refuse(Rule::S03, format!("tensor {} names no block", tensor.name)),
        }
    }
    if present.len() != count as usize || !present.iter().copied().eq(0..count) {
        let key = read.key("block_count");
        findings
            .refuse(Rule::S03, format!("{key} is {count}, but the tensors are of {} blocks", present.len()));
    }
}

fn judge_heads(read: &Hyperparameters<'_>, findings: &mut Findings) {
    let width = read.required("embedding_length", WIDTH_MAX, findings);
    let heads = read.required("attention.head_count", WIDTH_MAX, findings);
    let kv_heads = read.optional("attention.head_count_kv", WIDTH_MAX, findings);
    let key_length = read.optional("attention.key_length", WIDTH_MAX, findings);
    read.optional("attention.value_length", WIDTH_MAX, findings);
    read.optional("feed_forward_length", WIDTH_MAX, findings);
    read.optional("rope.dimension_count", WIDTH_MAX, findings);
    // Zero was refused above, so the remainders are defined.
    if let (Some(heads), Some(kv_heads)) = (heads, kv_heads)
        && heads % kv_heads != 0
    {
        findings.refuse(Rule::S03, format!("{heads} heads cannot share {kv_heads} key-value heads evenly"));
    }
    if let (Some(width), Some(heads), None) = (width, heads, key_length)
        && width % heads != 0
    {
        findings.refuse(Rule::S03, format!("an embedding of {width} does not divide by {heads} heads"));
    }
}

fn judge_experts(read: &Hyperparameters<'_>, findings: &mut Findings) {
    let count = |name: &str, findings: &mut Findings| {
        read.metadata.u32(&read.key(name), findings).unwrap_or_default()
    };
    let experts = count("expert_count", findings);
    let used = count("expert_used_count", findings);
    if experts > EXPERTS_MAX || used > experts {
        findings.refuse(
            Rule::S03,
            format!("{used} of {experts} experts are used; at most {EXPERTS_MAX} are allowed"),
        );
    }
}

fn judge_floats(read: &Hyperparameters<'_>, findings: &mut Findings) {
    let epsilon = read.key("attention.layer_norm_rms_epsilon");
    if !read.metadata.has(&epsilon) {
        findings.refuse(Rule::S03, format!("{epsilon} is missing"));
    }
    for key in [epsilon, read.key("rope.freq_base"), read.key("rope.scaling.factor")] {
        // Finite by G07.
        if read.metadata.f32(&key, findings).is_some_and(|value| value <= 0.0) {
            findings.refuse(Rule::S03, format!("{key} must be greater than 0"));
        }
    }
}
