//! HDF5 as Keras writes it. The structure is not walked: the whole file is searched for a model's configuration, which
//! HDF5 keeps as plain text, and each such text is judged like any JSON.
//!
//! What could hide one (a user block, a file of another length) is refused, and so is what leads out of the file:
//! external links, external storage and virtual data sets. A file without configuration holds weights only. Imports of
//! pickles are looked for as well, because other readers of HDF5 unpickle attributes.

mod outside;
mod pickled;

use super::Scan;
use super::json;
use super::keras::Keras;
use super::source::{Source, Stop};
use crate::report::Rule;
use outside::Outside;
use pickled::Pickled;

/// Longest distance between the places that are compared.
const STEP: usize = 32 * 1024;

/// Bytes beyond a place that decide what begins there.
const REACH: usize = 2 * 1024;

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

/// The attribute that holds one.
const CONFIG_NAME: &[u8] = b"model_config";

/// Words that stand in a file only with a configuration.
const WORDS: &[&[u8]] = &[b"class_name", b"Lambda", b"__lambda__"];

/// Most configurations of one file; Keras writes three.
const CONFIGURATIONS_MAX: u32 = 64;

/// What the search has met.
struct Search {
    outside: Outside,
    pickled: Pickled,
    /// Where a configuration is named.
    config_at: Option<u64>,
    /// What is before this was judged as a configuration.
    judged_to: u64,
}

pub(super) fn judge(scan: &mut Scan, source: &mut Source<'_>) -> Result<(), Stop> {
    superblock(source)?;
    let (Some(len), true) = (source.len(), source.can_seek()) else {
        return Err(source.unknown(Rule::H04, "HDF5 in compressed data"));
    };
    let mut search = Search {
        outside: Outside::new(len),
        pickled: Pickled::new(&scan.policy, len),
        config_at: None,
        judged_to: 0,
    };
    let (mut classes, mut configurations, mut at) = (0, 0, 0);
    while at < len {
        source.seek(at);
        let bytes = source.peek(STEP + REACH)?;
        let scope = if at + STEP as u64 >= len { bytes.len() } else { STEP.min(bytes.len()) };
        let Some(index) = search.find(bytes, scope, at)? else {
            at += scope.max(1) as u64;
            continue;
        };
        configurations += 1;
        if configurations > CONFIGURATIONS_MAX {
            return Err(Stop::refused(Rule::H04, at, "more configurations than Keras writes"));
        }
        let mut keras = Keras::default();
        source.seek(at + index as u64);
        json::value(scan, source, &mut keras)?;
        classes += keras.classes;
        at = source.offset();
        search.judged_to = at;
    }
    search.outside.check(source)?;
    if let (Some(found), 0) = (search.config_at, classes) {
        let message = "there should be a configuration in plain JSON, but none can be read";
        return Err(Stop::unknown(Rule::H04, found, message));
    }
    source.seek(len);
    Ok(())
}

impl Search {
    /// The first place within `scope` where a configuration begins.
    fn find(&mut self, bytes: &[u8], scope: usize, at: u64) -> Result<Option<usize>, Stop> {
        for index in 0..scope {
            let rest = &bytes[index..];
            let place = at + index as u64;
            if let Some(b'c' | b'i' | 0x8c) = rest.first() {
                self.pickled.see(rest, place)?;
            }
            match rest.first() {
                Some(b'{') if BEGINNINGS.iter().any(|begin| rest.starts_with(begin)) => {
                    return Ok(Some(index));
                }
                Some(b'm') if rest.starts_with(CONFIG_NAME) => self.config_at = Some(place),
                Some(b'c' | b'L' | b'_')
                    if place >= self.judged_to && WORDS.iter().any(|word| rest.starts_with(word)) =>
                {
                    let message = "a class is named outside of any configuration that can be read";
                    return Err(Stop::refused(Rule::H04, place, message));
                }
                Some(1 | 4) => self.outside.see(rest, place)?,
                _ => {}
            }
        }
        Ok(None)
    }
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
