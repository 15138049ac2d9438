//! What leads out of an HDF5 file, known by the form of its message wherever that stands.

use std::collections::BTreeMap;

use super::super::source::{Source, Stop};
use crate::report::{Rule, excerpt};

/// Places that must be looked at once more. Honest weights hold hardly one by chance.
const CANDIDATES_MAX: usize = 4096;

/// Messages seen that may lead out of the file.
pub(super) struct Outside {
    len: u64,
    /// Where a heap must stand for the message to be one, with the heap's mark and the message's place.
    candidates: BTreeMap<u64, (&'static [u8], u64)>,
}

impl Outside {
    pub(super) const fn new(len: u64) -> Self {
        Self { len, candidates: BTreeMap::new() }
    }

    /// Looks at a place that holds 1 or 4.
    pub(super) fn see(&mut self, rest: &[u8], at: u64) -> Result<(), Stop> {
        if let Some(target) = external_link(rest) {
            let message = format!("a link to another file: {}", excerpt(target));
            return Err(Stop::refused(Rule::H05, at, message));
        }
        // External storage: version 1, three zeros, slots, slots in use, the heap of the names.
        if let [1, 0, 0, 0, a, b, c, d, ..] = rest {
            let slots = (u16::from_le_bytes([*a, *b]), u16::from_le_bytes([*c, *d]));
            if slots.1 > 0 && slots.1 <= slots.0 {
                self.candidate(rest.get(8..16), b"HEAP", at)?;
            }
        }
        // A virtual data set: layout version 4, class 3, the heap of its sources.
        if let [4, 3, ..] = rest {
            self.candidate(rest.get(2..10), b"GCOL", at)?;
        }
        Ok(())
    }

    fn candidate(&mut self, address: Option<&[u8]>, mark: &'static [u8], at: u64) -> Result<(), Stop> {
        let address = address.and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
        let Some(address) = address.filter(|address| *address > 0 && *address < self.len) else {
            return Ok(());
        };
        self.candidates.insert(address, (mark, at));
        if self.candidates.len() > CANDIDATES_MAX {
            return Err(Stop::refused(Rule::H05, at, "too much that may lead out of the file"));
        }
        Ok(())
    }

    /// Looks whether the heaps are there.
    pub(super) fn check(self, source: &mut Source<'_>) -> Result<(), Stop> {
        for (address, (mark, at)) in self.candidates {
            let Some(mut part) = source.part(address, (self.len - address).min(4)) else { continue };
            if part.peek(4)? == mark {
                return Err(Stop::refused(Rule::H05, at, "data that lies in another file"));
            }
        }
        Ok(())
    }
}

/// A link message of the kind 64: its name, then two zero-terminated texts of the stated length. Gives the file.
fn external_link(rest: &[u8]) -> Option<&[u8]> {
    let [1, flags, 64, ..] = rest else { return None };
    if flags & 8 == 0 || flags & 0xe0 != 0 {
        return None;
    }
    let mut at = 3;
    at += if flags & 4 != 0 { 8 } else { 0 };
    at += if flags & 16 != 0 { 1 } else { 0 };
    let width = 1 << (flags & 3);
    let name_len = rest.get(at..at + width)?.iter().rev().fold(0_u64, |n, byte| n << 8 | u64::from(*byte));
    at += width + usize::try_from(name_len).ok().filter(|len| *len > 0 && *len <= 1024)?;
    let len = usize::from(u16::from_le_bytes(rest.get(at..at + 2)?.try_into().ok()?));
    let [0, texts @ .., 0] = rest.get(at + 2..at + 2 + len)? else { return None };
    let mut parts = texts.split(|byte| *byte == 0);
    let file = parts.next()?;
    let is_text = |part: &[u8]| !part.is_empty() && !part.iter().any(u8::is_ascii_control);
    (is_text(file) && is_text(parts.next()?) && parts.next().is_none()).then_some(file)
}
