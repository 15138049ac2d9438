//! HDF5 as Keras writes it. The structure is not walked: the whole file is searched for a model's configuration, which
//! HDF5 keeps as plain text, and each such text is judged like any JSON.
//!
//! What could hide one (a user block, a file of another length) or lead out of the file (external links and data) is
//! refused. A file without configuration holds weights only.

use super::Scan;
use super::json;
use super::keras::Keras;
use super::source::{Source, Stop};
use crate::report::Rule;

/// Longest distance between the places that are compared.
const STEP: usize = 32 * 1024;

/// What a configuration begins with.
const BEGINNINGS: &[&[u8]] = &[
    b"{\"class_name\"",
    b"{\"name\"",
    b"{\"module\"",
    b"{\"config\"",
    b"{\"registered_name\"",
    b"{\"build_config\"",
    b"{\"compile_config\"",
    b"{\"keras_version\"",
];

/// Words that stand in a file only with a configuration.
const WORDS: &[&[u8]] = &[b"model_config", b"class_name", b"Lambda", b"__lambda__"];

pub(super) fn judge(scan: &mut Scan, source: &mut Source<'_>) -> Result<(), Stop> {
    superblock(source)?;
    let (Some(len), true) = (source.len(), source.can_seek()) else {
        return Err(source.unknown(Rule::H04, "HDF5 in compressed data"));
    };
    let mut word_at = None;
    let mut judged_to = 0;
    let mut classes = 0;
    let mut at = 0;
    while at < len {
        source.seek(at);
        let bytes = source.peek(STEP + 64)?;
        let is_last = at + STEP as u64 >= len;
        let scope = if is_last { bytes.len() } else { STEP.min(bytes.len()) };
        let hit = (0..scope).find_map(|index| {
            let rest = &bytes[index..];
            match rest.first()? {
                b'{' => BEGINNINGS.iter().any(|b| rest.starts_with(b)).then_some((index, true)),
                b'm' | b'c' | b'L' | b'_' => {
                    WORDS.iter().any(|w| rest.starts_with(w)).then_some((index, false))
                }
                _ => None,
            }
        });
        let Some((index, is_beginning)) = hit else {
            if bytes[..scope].windows(13).any(|window| window == b"ExternalLink\0") {
                return Err(Stop::refused(Rule::H05, at, "a link to another file"));
            }
            at += scope.max(1) as u64;
            continue;
        };
        let found = at + index as u64;
        if is_beginning {
            let mut keras = Keras::default();
            source.seek(found);
            json::value(scan, source, &mut keras)?;
            classes += keras.classes;
            judged_to = source.offset();
            at = judged_to;
        } else {
            let is_name = source.peek(index + 12)?.get(index..).is_some_and(|w| w == b"model_config");
            if !is_name && found >= judged_to {
                let message = "a class is named outside of any configuration that can be read";
                return Err(Stop::refused(Rule::H04, found, message));
            }
            word_at = Some(found);
            at = found + 1;
        }
    }
    if let (Some(found), 0) = (word_at, classes) {
        let message = "there should be a configuration in plain JSON, but none can be read";
        return Err(Stop::unknown(Rule::H04, found, message));
    }
    source.seek(len);
    Ok(())
}

/// The superblock, which tells where the file ends.
fn superblock(source: &mut Source<'_>) -> Result<(), Stop> {
    let len = source.len();
    let head = source.peek(96)?;
    let number =
        |at: usize| head.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
    let (sizes, base_at, end_at) = match head.get(8) {
        Some(0) => (head.get(13..15), 24, 40),
        Some(1) => (head.get(13..15), 28, 44),
        Some(2 | 3) => (head.get(9..11), 12, 28),
        _ => return Err(Stop::refused(Rule::H04, 8, "a superblock of a version that is not known")),
    };
    if sizes != Some(&[8, 8]) {
        return Err(Stop::unknown(Rule::H04, 8, "addresses that are not of eight bytes"));
    }
    if number(base_at) != Some(0) {
        return Err(Stop::refused(Rule::H04, base_at as u64, "a user block before the file"));
    }
    if len.is_some() && number(end_at) != len {
        return Err(Stop::refused(Rule::F03, end_at as u64, "the file should end where its superblock says"));
    }
    Ok(())
}
