//! Which architectures are accepted, and what the file says it is.

use std::collections::BTreeSet;

use super::family::{self, FAMILIES};
use super::hyperparameters::Reader;
use super::metadata::Metadata;
use super::tensor::Tensor;
use super::{projector, schema, shape};
use crate::limits::CONTEXT_MAX;
use crate::policy::Policy;
use crate::report::{Findings, Rule, excerpt};

/// Applies S01 to S04, S11 to S13; gives the context length.
pub(super) fn judge(
    metadata: &Metadata,
    tensors: &[Tensor],
    tokens: Option<u64>,
    policy: &Policy,
    findings: &mut Findings,
) -> Option<u32> {
    judge_kind(metadata, findings);
    judge_quantization(metadata, tensors, findings);
    projector::judge(metadata, findings);
    if !metadata.has("general.architecture") {
        findings.refuse(Rule::S01, "general.architecture is missing");
    }
    let architecture = metadata.text("general.architecture", findings)?;
    schema::judge(metadata, architecture, findings);
    let family = family::find(architecture);
    if family.is_none() && !policy.allows_architecture(architecture) {
        refuse_architecture(metadata, architecture, findings);
        return None;
    }
    let reader = Reader { metadata, architecture };
    let numbers = reader.read(family, tokens, findings);
    if let Some(numbers) = &numbers {
        judge_blocks(&reader, numbers.blocks, tensors, findings);
        match family {
            Some(family) => shape::judge(family, numbers, tensors, findings),
            None => findings.warn(
                Rule::S04,
                format!("architecture {architecture} is allowed by policy; its shapes are not checked"),
            ),
        }
    }
    reader.optional("context_length", CONTEXT_MAX, findings)
}

fn refuse_architecture(metadata: &Metadata, architecture: &str, findings: &mut Findings) {
    let shown = excerpt(architecture.as_bytes());
    let accepted: Vec<&str> = FAMILIES.iter().map(|family| family.name).collect();
    let message = format!(
        "architecture \"{shown}\" is not accepted; accepted are {}. Choose a model of one of them, or let the fleet's \
         publishers allow it without a check of its shapes: croftctl intake allow --architecture NAME --reason WHY",
        accepted.join(", ")
    );
    findings.refuse_at(Rule::S01, metadata.at("general.architecture"), message);
}

fn judge_kind(metadata: &Metadata, findings: &mut Findings) {
    let key = "general.type";
    if let Some(kind) = metadata.text(key, findings).filter(|kind| *kind != "model") {
        let shown = excerpt(kind.as_bytes());
        let message = format!("{key} is \"{shown}\", expected is model: only whole models are served");
        findings.refuse_at(Rule::S01, metadata.at(key), message);
    }
}

fn judge_quantization(metadata: &Metadata, tensors: &[Tensor], findings: &mut Findings) {
    let key = "general.quantization_version";
    let version = metadata.u32(key, findings);
    let quantized = tensors.iter().any(|tensor| tensor.element.quantized);
    let holds = match version {
        Some(version) => version == 2,
        None => !quantized,
    };
    if !holds {
        let message = format!("{key} must be 2 where tensors are quantized");
        findings.refuse_at(Rule::S11, metadata.at(key), message);
    }
}

/// `blk.N.` must be there for every N below the block count and for no other.
fn judge_blocks(reader: &Reader<'_>, count: u32, tensors: &[Tensor], findings: &mut Findings) {
    let mut present = BTreeSet::new();
    for tensor in tensors {
        let Some(rest) = tensor.name.strip_prefix("blk.") else { continue };
        let number = rest.split('.').next().unwrap_or_default();
        // Parsed and printed again, so that `blk.01.` is not taken for `blk.1.`.
        match number.parse::<u32>() {
            Ok(block) if block.to_string() == number => {
                present.insert(block);
            }
            _ => {
                let message = format!("tensor {} names no block", tensor.name);
                findings.refuse_at(Rule::S03, Some(tensor.described_at), message);
            }
        }
    }
    if present.len() != count as usize || !present.iter().copied().eq(0..count) {
        let key = reader.key("block_count");
        let message = format!("{key} is {count}, but the tensors are of {} blocks", present.len());
        reader.refuse("block_count", message, findings);
    }
}
