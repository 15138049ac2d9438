//! Pickle: an exact abstract machine. It keeps Python's stack, marks and memo, imports and calls nothing, and knows at
//! each call what would be called.
//!
//! Where Python's two own readers differ (the C one and the other), the stricter is followed, and what only one of
//! them reads is refused. The memo begins empty with each pickle, as it does for `pickle.load`.

mod allow;
mod array;
mod data;
mod machine;
mod numpy;
mod opcode;
mod value;

use std::collections::BTreeMap;

use super::Scan;
use super::limits::STACKED_MAX;
use super::source::{Source, Stop};
use crate::report::{Format, Rule};

/// What other formats need of ours: element types, and whether a pickle of protocol 0 or 1 may begin with a byte.
pub(super) use array::element;
pub(super) use opcode::starts_text_pickle as may_begin_with;

/// Storages that persistent ids name, with their lengths in bytes.
pub(super) type Storages = BTreeMap<Vec<u8>, u64>;

/// Whether persistent ids mean anything where this pickle stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Persistent {
    /// A pickle on its own: nobody would resolve them.
    Refused,
    /// `data.pkl` of a PyTorch archive.
    Storages,
}

/// What one pickle turned out to be.
pub(super) struct Outcome {
    torch_magic: bool,
    arrays: bool,
}

/// Runs one pickle that stands in the middle of something else, to see what it would import and call.
pub(super) fn try_one(scan: &mut Scan, source: &mut Source<'_>) -> Result<(), Stop> {
    machine::run(scan, source, Persistent::Refused, &mut Storages::new(), 0).map(drop)
}

/// Judges a file of one or more pickles, and what may follow them.
pub(super) fn judge(
    scan: &mut Scan,
    source: &mut Source<'_>,
    persistent: Persistent,
    storages: &mut Storages,
) -> Result<Format, Stop> {
    let mut torch = false;
    for count in 0..STACKED_MAX {
        let persistent = if torch { Persistent::Storages } else { persistent };
        let outcome = machine::run(scan, source, persistent, storages, 0)?;
        if source.at_end()? {
            return Ok(if torch { Format::TorchLegacy } else { Format::Pickle });
        }
        torch |= count == 0 && outcome.torch_magic;
        // Magic number, version, system, the object, the keys of its storages: then the storages themselves.
        if torch && count == 4 {
            return legacy_storages(source, storages).map(|()| Format::TorchLegacy);
        }
        if !torch {
            check_next(source, outcome.arrays)?;
        }
    }
    Err(source.refuse(Rule::K07, format!("more than {STACKED_MAX} pickles in one file")))
}

/// Whether another pickle can begin here; else there are bytes that belong to nothing.
fn check_next(source: &mut Source<'_>, arrays: bool) -> Result<(), Stop> {
    let what = match source.peek(4)? {
        [b'P', b'K', 3 | 5, ..] => "a zip archive",
        [0x80, 0..=5, ..] => return Ok(()),
        [byte, ..] if opcode::starts_text_pickle(*byte) && !arrays => return Ok(()),
        _ => "something that is no pickle",
    };
    Err(source.refuse(Rule::K08, format!("{what} follows the pickle; the file should end here")))
}

/// Each storage: its number of elements in eight bytes, then the elements.
fn legacy_storages(source: &mut Source<'_>, storages: &Storages) -> Result<(), Stop> {
    let expected = storages.values().fold(0_u64, |sum, len| sum.saturating_add(*len).saturating_add(8));
    let at = source.offset();
    let found = match source.remaining() {
        Some(left) => left,
        None => source.drain()?,
    };
    if found != expected {
        let message = format!("{found} bytes follow the pickles, but its storages take {expected}");
        return Err(Stop::refused(Rule::Z09, at, message));
    }
    Ok(())
}
