//! Rule P01: one model in several files. They are judged together or not at all; that each is a regular file of the
//! bundle's own directory, opened without following links, is the caller's to see to.

use std::collections::HashSet;
use std::io::Read;

use super::cursor::Cursor;
use super::metadata::Metadata;
use super::tensor::Tensor;
use super::{Depth, container, finish, judge, stopped};
use crate::limits::{SHARDS_MAX, TENSORS_MAX};
use crate::policy::Policy;
use crate::report::{Findings, Format, Report, Rule, excerpt};

/// One file of several.
#[derive(Debug)]
pub struct Shard<'a, R> {
    /// Its file name, without directories.
    pub name: &'a str,
    /// Its bytes.
    pub reader: R,
    /// How many.
    pub len_bytes: u64,
}

/// Lints all shards of one model, in order. The report is about the whole.
pub fn lint_shards<R: Read>(shards: Vec<Shard<'_, R>>, depth: Depth, policy: &Policy) -> Report {
    let len_bytes = shards.iter().fold(0, |sum: u64, shard| sum.saturating_add(shard.len_bytes));
    let mut report = Report::new(Format::Gguf, len_bytes);
    let mut findings = Findings::default();
    let total = shards.len();
    if !(1..=SHARDS_MAX).contains(&total) {
        findings.refuse(Rule::P01, format!("{total} shards, allowed are 1 to {SHARDS_MAX}"));
        return finish(report, findings);
    }
    judge_names(&shards, &mut findings);
    let mut first: Option<Metadata> = None;
    let mut tensors: Vec<Tensor> = Vec::new();
    for (number, shard) in shards.into_iter().enumerate() {
        let mut cursor = Cursor::new(shard.reader, shard.len_bytes);
        let (metadata, more) = match container::read(&mut cursor, depth, &mut report) {
            Ok(read) => read,
            Err(stop) => {
                findings.note(Rule::P01, format!("the next finding is about shard {}", number + 1));
                return stopped(stop, report, findings);
            }
        };
        judge_place(&metadata, number, total, first.as_ref(), &mut findings);
        tensors.extend(more);
        if tensors.len() as u64 > TENSORS_MAX {
            findings.refuse(Rule::G02, format!("more than {TENSORS_MAX} tensors over all shards"));
            return finish(report, findings);
        }
        first.get_or_insert(metadata);
    }
    if let Some(metadata) = &first {
        judge_tensors(metadata, &tensors, &mut findings);
        judge(metadata, &tensors, policy, &mut report, &mut findings);
    }
    finish(report, findings)
}

/// Lints one file of several on its own: its container, and not what it means, which only all of them together say.
pub fn lint_part<R: Read>(reader: R, len_bytes: u64, depth: Depth) -> Report {
    let mut report = Report::new(Format::Gguf, len_bytes);
    let findings = Findings::default();
    match container::read(&mut Cursor::new(reader, len_bytes), depth, &mut report) {
        Ok(_) => finish(report, findings),
        Err(stop) => stopped(stop, report, findings),
    }
}

/// A file that stands alone must not be one of several.
pub(super) fn judge_alone(metadata: &Metadata, tensors: usize, findings: &mut Findings) {
    let key = "split.count";
    if metadata.has(key) && metadata.integer(key).is_none_or(|count| count > 1) {
        let message = "the file is one of several shards, expected are all of them together";
        findings.refuse_at(Rule::P01, metadata.at(key), message);
    } else if metadata.has(key) {
        judge_place(metadata, 0, 1, None, findings);
        judge_count(metadata, tensors, findings);
    }
}

fn judge_names<R>(shards: &[Shard<'_, R>], findings: &mut Findings) {
    let total = shards.len();
    let stem = |name: &str| name.rsplit_once("-00001-of-").map(|(stem, _)| stem.to_owned());
    let stem = shards.first().and_then(|shard| stem(shard.name)).unwrap_or_default();
    for (number, shard) in shards.iter().enumerate() {
        let expected = format!("{stem}-{:05}-of-{total:05}.gguf", number + 1);
        if stem.is_empty() || stem.contains('/') || shard.name != expected {
            let shown = excerpt(shard.name.as_bytes());
            let message = format!(
                "shard {} of {total} is called \"{shown}\", expected is NAME-{:05}-of-{total:05}.gguf",
                number + 1,
                number + 1
            );
            findings.refuse(Rule::P01, message);
        }
    }
}

fn judge_place(
    metadata: &Metadata,
    number: usize,
    total: usize,
    first: Option<&Metadata>,
    findings: &mut Findings,
) {
    for (key, expected) in [("split.no", number), ("split.count", total)] {
        let found = metadata.integer(key);
        if found != Some(expected as u64) {
            let shown = found.map_or_else(|| "missing".to_owned(), |found| found.to_string());
            let message = format!("{key} is {shown}, expected is {expected}");
            findings.refuse_at(Rule::P01, metadata.at(key), message);
        }
    }
    let Some(first) = first else { return };
    for key in ["split.tensors.count", "general.architecture", "general.alignment"] {
        let differs = match (first.value(key), metadata.value(key)) {
            (Some(first), Some(other)) => first != other,
            // Only the first need say what the model is; a count must be everywhere.
            (_, other) => (key == "split.tensors.count") == other.is_none(),
        };
        if differs {
            let message = format!("{key} of shard {} is not that of the first", number + 1);
            findings.refuse_at(Rule::P01, metadata.at(key), message);
        }
    }
}

fn judge_tensors(metadata: &Metadata, tensors: &[Tensor], findings: &mut Findings) {
    let mut names = HashSet::new();
    if let Some(twice) = tensors.iter().find(|tensor| !names.insert(tensor.name.as_str())) {
        let message = format!("tensor {} occurs in two shards", twice.name);
        findings.refuse_at(Rule::P01, Some(twice.described_at), message);
    }
    judge_count(metadata, tensors.len(), findings);
}

fn judge_count(metadata: &Metadata, tensors: usize, findings: &mut Findings) {
    let key = "split.tensors.count";
    let found = metadata.integer(key);
    if found != Some(tensors as u64) {
        let shown = found.map_or_else(|| "missing".to_owned(), |found| found.to_string());
        findings.refuse_at(Rule::P01, metadata.at(key), format!("{key} is {shown}, expected is {tensors}"));
    }
}
