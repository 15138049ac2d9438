//! The vocabulary: its columns, its special tokens, its bytes and merges.

use std::collections::HashSet;

use super::metadata::Metadata;
use super::value::{self, Kind, Texts};
use crate::limits::TOKENS_MAX;
use crate::report::{Findings, Rule, excerpt};

const TOKENS: &str = "tokenizer.ggml.tokens";
const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const BYTE: i32 = 6;

/// Applies S05 to S08; gives the number of tokens.
pub(super) fn judge(metadata: &Metadata, findings: &mut Findings) -> Option<u64> {
    let Some(model) = metadata.text("tokenizer.ggml.model", findings) else {
        findings.refuse(Rule::S05, "tokenizer.ggml.model is missing");
        return None;
    };
    if !matches!(model, "llama" | "gpt2") {
        let shown = excerpt(model.as_bytes());
        findings
            .refuse(Rule::S05, format!("tokenizer \"{shown}\" is not accepted; accepted are llama, gpt2"));
        return None;
    }
    let Some(tokens) = metadata.texts(TOKENS, findings) else {
        findings.refuse(Rule::S05, format!("{TOKENS} is missing"));
        return None;
    };
    let count = tokens.len();
    if !(1..=TOKENS_MAX).contains(&count) {
        findings.refuse(Rule::S05, format!("{count} tokens, allowed are 1 to {TOKENS_MAX}"));
        return Some(count as u64);
    }
    let set = judge_tokens(tokens, findings);
    let types = judge_columns(metadata, count, model, findings);
    if let Some(types) = &types {
        judge_types(tokens, types, findings);
    }
    judge_special(metadata, model, count, types.as_deref(), findings);
    judge_merges(metadata, model, &set, findings);
    Some(count as u64)
}

fn judge_tokens<'a>(tokens: &'a Texts, findings: &mut Findings) -> HashSet<&'a str> {
    let mut set = HashSet::new();
    for (id, token) in tokens.iter().enumerate() {
        if token.is_empty() {
            findings.refuse(Rule::S05, format!("token {id} is empty"));
            break;
        }
        if !set.insert(token) {
            findings.refuse(Rule::S05, format!("token {id} \"{}\" occurs twice", excerpt(token.as_bytes())));
            break;
        }
    }
    set
}

/// Scores and types, which must have one entry a token.
fn judge_columns(
    metadata: &Metadata,
    count: usize,
    model: &str,
    findings: &mut Findings,
) -> Option<Vec<i32>> {
    let scores = "tokenizer.ggml.scores";
    if let Some(bytes) = metadata.numbers(scores, Kind::F32, findings) {
        let found = value::f32s(bytes).count();
        if found != count {
            findings.refuse(Rule::S05, format!("{scores} has {found} entries for {count} tokens"));
        }
    } else if model == "llama" && !metadata.has(scores) {
        findings.refuse(Rule::S05, format!("{scores} is missing"));
    }
    let key = "tokenizer.ggml.token_type";
    let types: Vec<i32> = value::i32s(metadata.numbers(key, Kind::I32, findings)?).collect();
    if types.len() != count {
        findings.refuse(Rule::S05, format!("{key} has {} entries for {count} tokens", types.len()));
        return None;
    }
    if let Some(bad) = types.iter().find(|kind| !(NORMAL..=BYTE).contains(*kind)) {
        findings.refuse(Rule::S05, format!("{key} holds {bad}, allowed are 1 to 6"));
        return None;
    }
    Some(types)
}

fn judge_types(tokens: &Texts, types: &[i32], findings: &mut Findings) {
    let mut lookalikes = 0_usize;
    for (id, (token, kind)) in tokens.iter().zip(types).enumerate() {
        if *kind == BYTE && !is_byte_token(token) {
            findings.refuse(Rule::S07, format!("byte token {id} is \"{}\"", excerpt(token.as_bytes())));
            break;
        }
        lookalikes += usize::from(*kind == NORMAL && token.starts_with("<|") && token.ends_with("|>"));
    }
    if lookalikes > 0 {
        findings.warn(Rule::S05, format!("{lookalikes} ordinary tokens look like control tokens (<|…|>)"));
    }
}

/// `<0x00>` to `<0xFF>`, uppercase.
fn is_byte_token(token: &str) -> bool {
    let hex = token.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
    hex.is_some_and(|hex| hex.len() == 2 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F')))
}

/// Ids that the loader would use, given or by default, must be tokens.
fn judge_special(
    metadata: &Metadata,
    model: &str,
    count: usize,
    types: Option<&[i32]>,
    findings: &mut Findings,
) {
    let given: Vec<String> = metadata
        .keys()
        .filter(|key| key.starts_with("tokenizer.ggml.") && key.ends_with("_token_id"))
        .map(str::to_owned)
        .collect();
    for key in &given {
        if let Some(id) = metadata.u32(key, findings).filter(|id| *id as usize >= count) {
            findings.refuse(Rule::S06, format!("{key} is {id}, but there are {count} tokens"));
        }
    }
    // What llama.cpp takes when the file is silent.
    let defaults: &[(&str, u32)] = if model == "llama" {
        &[("bos", 1), ("eos", 2), ("unknown", 0)]
    } else {
        &[("bos", 11), ("eos", 11)]
    };
    for (name, id) in defaults {
        let key = format!("tokenizer.ggml.{name}_token_id");
        if !metadata.has(&key) && *id as usize >= count {
            findings.refuse(Rule::S06, format!("{key} is missing, and its default {id} is no token"));
        }
    }
    let eos = metadata.u32("tokenizer.ggml.eos_token_id", findings);
    let kind = eos.zip(types).and_then(|(id, types)| types.get(id as usize));
    if kind.is_some_and(|kind| !matches!(*kind, CONTROL | USER_DEFINED)) {
        findings
            .refuse(Rule::S06, "the end token is an ordinary token: what a user types could end an answer");
    }
}

fn judge_merges(metadata: &Metadata, model: &str, set: &HashSet<&str>, findings: &mut Findings) {
    let key = "tokenizer.ggml.merges";
    let Some(merges) = metadata.texts(key, findings) else {
        if model == "gpt2" && !metadata.has(key) {
            findings.refuse(Rule::S08, format!("{key} is missing"));
        }
        return;
    };
    for (index, merge) in merges.iter().enumerate() {
        let holds = merge
            .split_once(' ')
            .is_some_and(|(left, right)| !right.contains(' ') && set.contains(left) && set.contains(right));
        if !holds {
            let shown = excerpt(merge.as_bytes());
            findings.refuse(
                Rule::S08,
                format!("merge {index} \"{shown}\" is not two tokens with a space between"),
            );
            return;
        }
    }
}
