//! The vocabulary: its columns, its special tokens, its bytes, merges and character map.

use super::metadata::Metadata;
use super::value::{self, Kind, Texts, Value};
use super::vocabulary::Vocabulary;
use crate::limits::TOKENS_MAX;
use crate::report::{Findings, Rule, excerpt};

const TOKENS: &str = "tokenizer.ggml.tokens";
const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const BYTE: i32 = 6;

/// A tokenizer, and the special tokens that its loader takes when the file is silent.
struct Scheme {
    name: &'static str,
    defaults: &'static [(&'static str, u32)],
    scores: bool,
    merges: bool,
}

const SCHEMES: &[Scheme] = &[
    Scheme {
        name: "llama",
        defaults: &[("bos", 1), ("eos", 2), ("unknown", 0)],
        scores: true,
        merges: false,
    },
    Scheme { name: "gpt2", defaults: &[("bos", 11), ("eos", 11)], scores: false, merges: true },
    Scheme {
        name: "bert",
        defaults: &[("bos", 101), ("unknown", 100), ("seperator", 102), ("padding", 0), ("mask", 103)],
        scores: false,
        merges: false,
    },
    Scheme {
        name: "t5",
        defaults: &[("eos", 1), ("unknown", 2), ("padding", 0)],
        scores: true,
        merges: false,
    },
];

/// Applies S05 to S10; gives the number of tokens.
pub(super) fn judge(metadata: &Metadata, findings: &mut Findings) -> Option<u64> {
    let key = "tokenizer.ggml.model";
    if !metadata.has(key) {
        findings.refuse(Rule::S05, format!("{key} is missing"));
    }
    let model = metadata.text(key, findings)?;
    let Some(scheme) = SCHEMES.iter().find(|scheme| scheme.name == model) else {
        let shown = excerpt(model.as_bytes());
        let message = format!("tokenizer \"{shown}\" is not accepted; accepted are llama, gpt2, bert, t5");
        findings.refuse_at(Rule::S05, metadata.at(key), message);
        return None;
    };
    let Some(tokens) = metadata.texts(TOKENS, findings) else {
        findings.refuse(Rule::S05, format!("{TOKENS} is missing"));
        return None;
    };
    let count = tokens.len();
    if !(1..=TOKENS_MAX).contains(&count) {
        let message = format!("{count} tokens, allowed are 1 to {TOKENS_MAX}");
        findings.refuse_at(Rule::S05, metadata.at(TOKENS), message);
        return Some(count as u64);
    }
    let vocabulary = judge_tokens(metadata, tokens, findings);
    let types = judge_columns(metadata, count, scheme, findings);
    if let Some(types) = types {
        judge_types(metadata, tokens, types, findings);
    }
    judge_special(metadata, scheme, count, types, findings);
    judge_merges(metadata, scheme, vocabulary.as_ref(), findings);
    judge_character_map(metadata, findings);
    judge_suppressed(metadata, count, findings);
    Some(count as u64)
}

/// The index of all tokens, unless one is empty or occurs twice.
fn judge_tokens<'a>(
    metadata: &Metadata,
    tokens: &'a Texts,
    findings: &mut Findings,
) -> Option<Vocabulary<'a>> {
    let mut vocabulary = Vocabulary::new(tokens);
    for (id, token) in tokens.iter().enumerate() {
        let message = if token.is_empty() {
            format!("token {id} is empty")
        } else if !vocabulary.insert(id, token) {
            format!("token {id} \"{}\" occurs twice", excerpt(token.as_bytes()))
        } else {
            continue;
        };
        findings.refuse_at(Rule::S05, metadata.at(TOKENS), message);
        return None;
    }
    Some(vocabulary)
}

/// Scores and types, which must have one entry a token. Gives the types, as they lie in the file.
fn judge_columns<'a>(
    metadata: &'a Metadata,
    count: usize,
    scheme: &Scheme,
    findings: &mut Findings,
) -> Option<&'a [u8]> {
    let refuse = |key: &str, message: String, findings: &mut Findings| {
        findings.refuse_at(Rule::S05, metadata.at(key), message);
    };
    let scores = "tokenizer.ggml.scores";
    if let Some(bytes) = metadata.numbers(scores, Kind::F32, findings) {
        let found = value::f32s(bytes).count();
        if found != count {
            refuse(scores, format!("{scores} has {found} entries for {count} tokens"), findings);
        }
    } else if scheme.scores && !metadata.has(scores) {
        refuse(scores, format!("{scores} is missing"), findings);
    }
    let key = "tokenizer.ggml.token_type";
    if !metadata.has(key) {
        refuse(key, format!("{key} is missing: without it no token is a control token"), findings);
    }
    let types = metadata.numbers(key, Kind::I32, findings)?;
    let found = value::i32s(types).count();
    if found != count {
        refuse(key, format!("{key} has {found} entries for {count} tokens"), findings);
        return None;
    }
    if let Some(bad) = value::i32s(types).find(|kind| !(NORMAL..=BYTE).contains(kind)) {
        refuse(key, format!("{key} holds {bad}, allowed are 1 to 6"), findings);
        return None;
    }
    Some(types)
}

fn judge_types(metadata: &Metadata, tokens: &Texts, types: &[u8], findings: &mut Findings) {
    let mut lookalikes = 0_usize;
    for (id, (token, kind)) in tokens.iter().zip(value::i32s(types)).enumerate() {
        if kind == BYTE && !is_byte_token(token) {
            let shown = excerpt(token.as_bytes());
            let message = format!("byte token {id} is \"{shown}\", expected is <0x00> to <0xFF>");
            findings.refuse_at(Rule::S07, metadata.at(TOKENS), message);
            break;
        }
        lookalikes += usize::from(kind == NORMAL && token.starts_with("<|") && token.ends_with("|>"));
    }
    if lookalikes > 0 {
        findings.warn(Rule::S05, format!("{lookalikes} ordinary tokens look like control tokens (<|…|>)"));
    }
}

/// `<0x00>` to `<0xFF>`, uppercase. That each occurs once follows from tokens being unique.
fn is_byte_token(token: &str) -> bool {
    let hex = token.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
    hex.is_some_and(|hex| hex.len() == 2 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F')))
}

/// Ids that the loader would use, given or by default, must be tokens.
fn judge_special(
    metadata: &Metadata,
    scheme: &Scheme,
    count: usize,
    types: Option<&[u8]>,
    findings: &mut Findings,
) {
    let given =
        metadata.keys().filter(|key| key.starts_with("tokenizer.ggml.") && key.ends_with("_token_id"));
    for key in given {
        if let Some(id) = metadata.u32(key, findings).filter(|id| *id as usize >= count) {
            let message = format!("{key} is {id}, but there are {count} tokens");
            findings.refuse_at(Rule::S06, metadata.at(key), message);
        }
    }
    for (name, id) in scheme.defaults {
        let key = format!("tokenizer.ggml.{name}_token_id");
        if !metadata.has(&key) && *id as usize >= count {
            findings.refuse(Rule::S06, format!("{key} is missing, and its default {id} is no token"));
        }
    }
    // An end that is text could be typed by a user, or answered in the middle of a sentence.
    for name in ["eos", "eot", "eom"] {
        let key = format!("tokenizer.ggml.{name}_token_id");
        let id = metadata.u32(&key, findings);
        let kind = id.zip(types).and_then(|(id, types)| value::i32s(types).nth(id as usize));
        if kind.is_some_and(|kind| !matches!(kind, CONTROL | USER_DEFINED)) {
            let message = format!("{key} is an ordinary token, expected is a control token");
            findings.refuse_at(Rule::S06, metadata.at(&key), message);
        }
    }
}

fn judge_merges(
    metadata: &Metadata,
    scheme: &Scheme,
    vocabulary: Option<&Vocabulary<'_>>,
    findings: &mut Findings,
) {
    let key = "tokenizer.ggml.merges";
    let Some(merges) = metadata.texts(key, findings) else {
        if scheme.merges && !metadata.has(key) {
            findings.refuse(Rule::S08, format!("{key} is missing"));
        }
        return;
    };
    // Without an index the tokens were refused already.
    let Some(vocabulary) = vocabulary else { return };
    for (index, merge) in merges.iter().enumerate() {
        let holds = merge.split_once(' ').is_some_and(|(left, right)| {
            !right.contains(' ') && vocabulary.contains(left) && vocabulary.contains(right)
        });
        if !holds {
            let shown = excerpt(merge.as_bytes());
            let message = format!("merge {index} \"{shown}\" is not two tokens with a space between");
            findings.refuse_at(Rule::S08, metadata.at(key), message);
            return;
        }
    }
}

/// Rule S09. The loader reads the length of a table from the first four bytes, and the replacements behind it.
fn judge_character_map(metadata: &Metadata, findings: &mut Findings) {
    let key = "tokenizer.ggml.precompiled_charsmap";
    let Some(Value::Numbers(Kind::U8 | Kind::I8, bytes)) = metadata.value(key) else { return };
    let Some((head, rest)) = bytes.split_first_chunk::<4>() else {
        let message = format!("{key} is {} bytes long, expected are at least 4", bytes.len());
        findings.refuse_at(Rule::S09, metadata.at(key), message);
        return;
    };
    let table = u32::from_le_bytes(*head) as usize;
    if !table.is_multiple_of(4) || table >= rest.len() {
        let message = format!(
            "{key} declares a table of {table} bytes, expected is a multiple of 4 below {}",
            rest.len()
        );
        findings.refuse_at(Rule::S09, metadata.at(key), message);
    } else if rest.last() != Some(&0) {
        let message = format!("{key} does not end its last replacement with a zero byte");
        findings.refuse_at(Rule::S09, metadata.at(key), message);
    }
}

/// Rule S10.
fn judge_suppressed(metadata: &Metadata, count: usize, findings: &mut Findings) {
    let key = "tokenizer.ggml.suppress_tokens";
    let Some(ids) = metadata.numbers(key, Kind::I32, findings) else { return };
    let is_token = |id: i32| usize::try_from(id).is_ok_and(|id| id < count);
    if let Some(id) = value::i32s(ids).find(|id| !is_token(*id)) {
        let message = format!("{key} holds {id}, but there are {count} tokens");
        findings.refuse_at(Rule::S10, metadata.at(key), message);
    }
}
