//! The ways in which a model's configuration makes a loader run code that came with it.

use super::super::Scan;
use super::super::source::Stop;
use crate::report::{Rule, excerpt};

/// Keys whose mere presence names code of the model's own.
const KEYS: &[&[u8]] =
    &[b"auto_map", b"custom_pipelines", b"custom_pipeline", b"__class__", b"__reduce__", b"__reduce_ex__"];

/// What keys begin with that make readers of objects in JSON and YAML call something: jsonpickle's and PyYAML's.
const KEYS_BEGIN: &[&[u8]] = &[b"py/", b"!!python/"];

/// Keys whose texts are tokens, which may be any piece of text.
const TOKENS: &[&[u8]] =
    &[b"content", b"vocab", b"merges", b"tokens", b"token", b"additional_special_tokens"];

/// A key whose value is no number: vocabularies are made of any piece of text.
pub(super) fn key(scan: &mut Scan, at: u64, key: &[u8]) {
    if KEYS.contains(&key) || KEYS_BEGIN.iter().any(|begin| key.starts_with(begin)) {
        let message = format!("\"{}\" makes a loader run code that comes with the model", excerpt(key));
        scan.refuse(Rule::J02, at, message);
    }
}

/// A number under a key.
pub(super) fn number(scan: &mut Scan, at: u64, key: &[u8], number: &[u8]) {
    // Any other number is the place of a token that is called so.
    if number == b"1" {
        truth(scan, at, key);
    }
}

/// A list under a key.
pub(super) fn list(scan: &mut Scan, at: u64, key: &[u8]) {
    if key == b"_class_name" {
        scan.refuse(Rule::J02, at, "\"_class_name\" as a list names a file of code and a class in it");
    }
}

/// A number at the outermost level. Notebooks say their version there.
pub(super) fn outermost(at: u64, key: &[u8], number: &[u8]) -> Result<(), Stop> {
    if key == b"nbformat" && matches!(number, b"2" | b"3" | b"4" | b"5") {
        return Err(Stop::unknown(
            Rule::F01,
            at,
            "a notebook is a program; what is not understood does not pass",
        ));
    }
    Ok(())
}

pub(super) fn truth(scan: &mut Scan, at: u64, key: &[u8]) {
    if key == b"trust_remote_code" {
        scan.refuse(
            Rule::J02,
            at,
            "\"trust_remote_code\" asks a loader to run code that comes with the model",
        );
    }
}

pub(super) fn text(scan: &mut Scan, at: u64, key: &[u8], text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    let shown = || excerpt(text.as_bytes());
    if key == b"trust_remote_code" && text.eq_ignore_ascii_case("true") {
        truth(scan, at, key);
    }
    if text.len() <= 512 && !key.is_empty() && !TOKENS.contains(&key) && is_code_file(&text) {
        scan.refuse(Rule::J02, at, format!("names a file of code: {}", shown()));
    }
    // A list here is a pipeline of the model's own, [file, class].
    if key == b"_class_name" && text.contains('/') {
        scan.refuse(Rule::J02, at, format!("a class from elsewhere: {}", shown()));
    }
    if key == b"type" && text.contains('.') && is_python_path(&text) && !is_known_module(&text) {
        scan.refuse(
            Rule::J02,
            at,
            format!("a Python class from outside of the known libraries: {}", shown()),
        );
    }
    // PEFT imports what it finds here.
    if key == b"parent_library" && !text.starts_with("transformers.") && !text.starts_with("torch.nn.") {
        scan.refuse(Rule::J02, at, format!("a module to be imported: {}", shown()));
    }
    // A name with a slash is fetched, compiled code and all.
    if matches!(key, b"attn_implementation" | b"_attn_implementation") && text.contains('/') {
        scan.refuse(Rule::J02, at, format!("code that a loader would fetch: {}", shown()));
    }
    if key == b"_target_" || key == b"__target__" {
        scan.refuse(Rule::J02, at, format!("names something to call: {}", shown()));
    }
    let is_template =
        matches!(key, b"chat_template" | b"template") || (text.contains("{%") && text.contains("%}"));
    if is_template || text.contains("{{") {
        if let Some((_, how)) = crate::template::escape(&text) {
            scan.refuse(Rule::J03, at, format!("a template that reaches for Python: {how}"));
        } else if is_template {
            scan.note(Rule::J03, at, "a chat template; Croft serves only the one in an approved manifest");
        }
    }
}

fn is_code_file(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let ending = [".py", ".pyc", ".so", ".dll", ".dylib", ".sh", ".ps1", ".exe"];
    let one_word = !lower.contains(char::is_whitespace);
    one_word && lower.len() > 3 && ending.iter().any(|ending| lower.ends_with(ending))
}

fn is_python_path(text: &str) -> bool {
    text.split('.').all(|part| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

fn is_known_module(text: &str) -> bool {
    ["sentence_transformers.", "torch.nn."].iter().any(|known| text.starts_with(known))
}
