//! Rule P01: one model in several files.

use croft_vetting::gguf::{Depth, Shard, lint_shards};
use croft_vetting::policy::Policy;
use croft_vetting::report::{Report, Rule};

use crate::builder::*;

/// A model in three files, as llama-gguf-split writes it: the first carries what the model is.
fn split() -> Vec<Gguf> {
    let whole = Gguf::family("llama", 8, 2);
    let total = i32::try_from(whole.tensors.len()).expect("few");
    let mut shards: Vec<Gguf> = whole
        .tensors
        .chunks(whole.tensors.len().div_ceil(3))
        .enumerate()
        .map(|(number, tensors)| {
            let mut shard = if number == 0 { whole.clone() } else { Gguf::empty() };
            shard.tensors = tensors.to_vec();
            shard.set("split.no", U16, u16::try_from(number).expect("few").to_le_bytes().to_vec());
            shard.set("split.tensors.count", I32, total.to_le_bytes().to_vec());
            shard
        })
        .collect();
    let count = u16::try_from(shards.len()).expect("few").to_le_bytes().to_vec();
    for shard in &mut shards {
        shard.set("split.count", U16, count.clone());
    }
    assert_eq!(shards.len(), 3);
    shards
}

fn names() -> Vec<String> {
    (1..=3).map(|number| format!("model-{number:05}-of-00003.gguf")).collect()
}

fn judge(shards: &[Gguf], names: &[String]) -> Report {
    let bytes: Vec<Vec<u8>> = shards.iter().map(Gguf::bytes).collect();
    let shards = bytes
        .iter()
        .zip(names)
        .map(|(bytes, name)| Shard { name, reader: &bytes[..], len_bytes: bytes.len() as u64 })
        .collect();
    lint_shards(shards, Depth::Full, &Policy::default())
}

#[track_caller]
fn refused(shards: &[Gguf], names: &[String]) {
    let report = judge(shards, names);
    assert_eq!(report.first_refusal().map(|finding| finding.rule), Some(Rule::P01), "{report:#?}");
}

#[test]
fn a_model_in_three_shards_passes_as_a_whole() {
    let report = judge(&split(), &names());
    assert!(report.passed() && report.findings.is_empty(), "{report:#?}");
    assert_eq!(report.tensor_count, Gguf::family("llama", 8, 2).tensors.len() as u64);
}

#[test]
fn p2_p01_refuses_shards_that_are_missing_doubled_or_misplaced() {
    let (shards, names) = (split(), names());
    refused(&shards[..2], &names[..2]);
    let mut swapped = shards.clone();
    swapped.swap(1, 2);
    refused(&swapped, &names);
    let mut doubled = shards.clone();
    doubled[2] = doubled[1].clone();
    refused(&doubled, &names);
    refused(&[], &[]);
    for shard in &shards {
        shard.refused_by(Rule::P01);
    }
}

#[test]
fn p2_p01_refuses_names_that_do_not_say_their_place() {
    for (index, name) in [
        (0, "model-00002-of-00003.gguf"),
        (1, "other-00002-of-00003.gguf"),
        (2, "model-3-of-3.gguf"),
        (2, "model-00003-of-00003.gguf.bin"),
        (1, "../model-00002-of-00003.gguf"),
    ] {
        let mut names = names();
        names[index] = name.to_owned();
        refused(&split(), &names);
    }
    let inside: Vec<String> = names().iter().map(|name| format!("../{name}")).collect();
    refused(&split(), &inside);
}

#[test]
fn p2_p01_refuses_shards_that_disagree() {
    let mut shards = split();
    shards[1].set("split.tensors.count", I32, vec![1, 0, 0, 0]);
    refused(&shards, &names());
    let mut shards = split();
    shards[2].set("general.architecture", TEXT, text("qwen2"));
    refused(&shards, &names());
    let mut shards = split();
    let again = shards[0].tensors[0].clone();
    shards[2].tensors.push(again);
    refused(&shards, &names());
    let mut shards = split();
    shards[0].tensors.pop();
    refused(&shards, &names());
}
