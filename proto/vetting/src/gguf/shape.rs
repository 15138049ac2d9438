//! Rule S04: the tensors are those of the architecture, each with the shape that its formula gives.

use std::collections::HashMap;

use super::family::{Family, Need, Part};
use super::hyperparameters::Hyperparameters;
use super::tensor::Tensor;
use crate::report::{Findings, Rule};

/// Applies S04.
pub(super) fn judge(family: &Family, numbers: &Hyperparameters, tensors: &[Tensor], findings: &mut Findings) {
    let by_name: HashMap<&str, &Tensor> =
        tensors.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
    let mut known = judge_room("", family.model, &by_name, numbers, findings);
    for block in 0..numbers.blocks {
        known += judge_room(&format!("blk.{block}."), family.block, &by_name, numbers, findings);
    }
    if known < tensors.len() {
        for tensor in tensors.iter().filter(|tensor| !is_known(family, &tensor.name)) {
            let message = format!("tensor {} belongs to no {} model", tensor.name, family.name);
            findings.refuse_at(Rule::S04, Some(tensor.described_at), message);
        }
    }
}

/// Judges the tensors with one prefix, and gives how many of them are there.
fn judge_room(
    prefix: &str,
    room: &[&[Part]],
    by_name: &HashMap<&str, &Tensor>,
    numbers: &Hyperparameters,
    findings: &mut Findings,
) -> usize {
    let fused = by_name.contains_key(format!("{prefix}attn_qkv.weight").as_str());
    let mut present = 0;
    for (name, shape, need) in room.iter().copied().flatten() {
        let name = format!("{prefix}{name}");
        let Some(tensor) = by_name.get(name.as_str()) else {
            if is_required(*need, fused, numbers.experts) {
                findings.refuse(Rule::S04, format!("tensor {name} is missing"));
            }
            continue;
        };
        present += 1;
        if is_forbidden(*need, fused, numbers.experts) {
            let message = format!("tensor {name} contradicts the other tensors of its block");
            findings.refuse_at(Rule::S04, Some(tensor.described_at), message);
        }
        let expected: Vec<u64> = shape.iter().map(|dim| numbers.length(*dim)).collect();
        let found = tensor.dimensions.as_slice();
        if without_ones(found) != without_ones(&expected) {
            let message = format!("tensor {name} has the shape {found:?}, expected is {expected:?}");
            findings.refuse_at(Rule::S04, Some(tensor.described_at), message);
        }
        judge_type(tensor, shape.len(), findings);
    }
    present
}

/// The loader reads absent dimensions as 1, and so do we.
fn without_ones(mut dimensions: &[u64]) -> &[u64] {
    while let [rest @ .., 1] = dimensions {
        dimensions = rest;
    }
    dimensions
}

/// Vectors are added and multiplied as they are, so no kernel takes them quantized.
fn judge_type(tensor: &Tensor, dimensions: usize, findings: &mut Findings) {
    if !tensor.element.stores_weights() || (dimensions == 1 && tensor.element.quantized) {
        let message = format!("tensor {} has an element type that no kernel takes there", tensor.name);
        findings.refuse_at(Rule::S04, Some(tensor.described_at), message);
    }
}

fn is_required(need: Need, fused: bool, experts: u32) -> bool {
    match need {
        Need::Required => true,
        Need::Optional | Need::Fused => false,
        Need::Dense => experts == 0,
        Need::Expert => experts > 0,
        Need::Apart => !fused,
    }
}

fn is_forbidden(need: Need, fused: bool, experts: u32) -> bool {
    match need {
        Need::Required | Need::Optional | Need::Fused => false,
        Need::Dense => experts > 0,
        Need::Expert => experts == 0,
        Need::Apart => fused,
    }
}

fn is_known(family: &Family, name: &str) -> bool {
    // Block numbers were compared with the block count by S03.
    let (room, rest) = match name.strip_prefix("blk.").and_then(|rest| rest.split_once('.')) {
        Some((_, rest)) => (family.block, rest),
        None => (family.model, name),
    };
    room.iter().copied().flatten().any(|(known, _, _)| *known == rest)
}
