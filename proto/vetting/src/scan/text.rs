//! Plain text: a license, a description, a list of labels or of merges. Nothing loads it as a model, so it passes if it is
//! text from its first byte to its last and does not look like a program. What might be one stays unknown: no list of
//! words tells all programs from all texts.
//!
//! The pickle machine has had its say before: no text passes that any reader of pickles would follow to an import.

use super::source::{Source, Stop};
use crate::report::Rule;

/// Longest line, in bytes; what is longer was not written for people.
const LINE_LEN_MAX: usize = 64 * 1024;

/// What stands in programs and in attacks, and hardly in a license or a description.
const OF_PROGRAMS: &[&str] = &[
    "__import__",
    "__reduce__",
    "__builtins__",
    "importlib",
    "os.system",
    "subprocess",
    "eval(",
    "exec(",
    "marshal.",
    "pickle.loads",
    "ctypes",
    "<script",
    "<?php",
    "powershell",
    "/bin/sh",
    "/bin/bash",
    "curl ",
    "wget ",
    "base64 -d",
    "#include",
    "require(",
    "@echo",
    "auto_map",
    "_target_",
    "loader_module",
    "py/object",
    "py/reduce",
];

/// Tags with which YAML makes a careless reader call something.
const OF_YAML: &[&str] = &["!!python", "!python", "yaml.org,2002:python"];

/// What has been read so far.
#[derive(Default)]
struct Text {
    lines: u64,
    /// The first line that is not empty is a heading or the beginning of front matter.
    markdown: bool,
    fenced: bool,
}

pub(super) fn judge(source: &mut Source<'_>) -> Result<(), Stop> {
    let mut text = Text::default();
    while !source.at_end()? {
        let at = source.offset();
        let line = line(source)?;
        text.line(at, &line)?;
    }
    Ok(())
}

/// The next line without its end.
fn line(source: &mut Source<'_>) -> Result<String, Stop> {
    for ahead in [256, 4096, LINE_LEN_MAX] {
        let bytes = source.peek(ahead)?;
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (taken, len) = match end {
            Some(end) => (end + 1, end),
            None if bytes.len() < ahead => (bytes.len(), bytes.len()),
            None => continue,
        };
        let Ok(line) = std::str::from_utf8(&bytes[..len]) else {
            return Err(source.unknown(Rule::F01, "no known format; what is not understood does not pass"));
        };
        let line = line.strip_suffix('\r').unwrap_or(line).to_owned();
        source.advance(taken);
        return Ok(line);
    }
    Err(source.unknown(Rule::F01, "a text with lines that nobody would read"))
}

impl Text {
    fn line(&mut self, at: u64, line: &str) -> Result<(), Stop> {
        let unknown = |what: &str| Err(Stop::unknown(Rule::F01, at, what));
        if line.chars().any(is_hidden) {
            return unknown("a text with characters that hide something");
        }
        let begin = line.trim_start();
        if self.lines == 0 && !begin.is_empty() {
            self.markdown = begin.starts_with("# ") || begin == "---";
            if ["<?", "<!", "%!", "%PDF"].iter().any(|mark| begin.starts_with(mark)) {
                return unknown("a document that is not judged");
            }
        }
        self.lines += u64::from(!begin.is_empty());
        if OF_YAML.iter().any(|tag| line.contains(tag)) {
            return Err(Stop::refused(Rule::J02, at, "a tag that makes readers of YAML call something"));
        }
        if begin.starts_with("```") {
            self.fenced = self.markdown && !self.fenced;
        }
        let lower = line.to_ascii_lowercase();
        let of_program = OF_PROGRAMS.iter().any(|word| lower.contains(word));
        if of_program || (!self.fenced && begins_as_program(begin)) {
            return unknown("a text that may be a program");
        }
        Ok(())
    }
}

/// Control characters, and those that change or hide what a reader sees.
fn is_hidden(c: char) -> bool {
    match c {
        '\t' | '\u{c}' => false,
        '\u{200b}'
        | '\u{feff}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}'
        | '\u{e0000}'..='\u{e007f}' => true,
        _ => c.is_control(),
    }
}

/// Lines as only programs have them.
fn begins_as_program(line: &str) -> bool {
    let imports = line.strip_prefix("import ").is_some_and(|rest| rest.split_whitespace().count() == 1)
        || (line.starts_with("import ")
            && (line.contains(" as ") || line.contains(',') || line.contains(';')))
        || (line.starts_with("from ") && line.contains(" import "));
    let defines = (line.starts_with("def ") || line.starts_with("class ") || line.starts_with("async def "))
        && line.trim_end().ends_with(':');
    imports
        || defines
        || line.starts_with("if __name__")
        || line.starts_with("function ") && line.contains('(')
}
