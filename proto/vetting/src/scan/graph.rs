//! Protocol-buffer messages as ONNX and TensorFlow write them, field by field, without building the message.

use super::limits::{GRAPH_NAME_LEN_MAX, MESSAGE_DEPTH_MAX};
use super::source::{Source, Stop};
use crate::report::Rule;

/// A field's value. The bytes of a longer one are still to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    Number(u64),
    Bytes(u64),
    Fixed,
}

/// One field of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub(super) number: u64,
    pub(super) wire: Wire,
}

/// Where a message ends, and how deep it lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message {
    end: Option<u64>,
    depth: usize,
}

impl Message {
    /// The whole source is one message.
    pub(super) fn whole(source: &Source<'_>) -> Self {
        Self { end: source.len(), depth: 0 }
    }

    /// The message of `len` bytes that begins here, within this one.
    pub(super) fn inner(self, source: &Source<'_>, len: u64) -> Result<Self, Stop> {
        let end = source.offset().checked_add(len);
        let fits = end.is_some_and(|end| self.end.is_none_or(|outer| end <= outer));
        if !fits || self.depth >= MESSAGE_DEPTH_MAX {
            return Err(source.refuse(Rule::O01, "a message reaches beyond the one that holds it"));
        }
        Ok(Self { end, depth: self.depth + 1 })
    }

    /// The next field, none at the message's end.
    pub(super) fn next(self, source: &mut Source<'_>) -> Result<Option<Field>, Stop> {
        match self.end {
            Some(end) if source.offset() == end => return Ok(None),
            Some(end) if source.offset() > end => {
                return Err(source.refuse(Rule::O01, "a field reaches beyond its message"));
            }
            None if source.at_end()? => return Ok(None),
            _ => {}
        }
        let tag = varint(source)?;
        let wire = match tag & 7 {
            0 => Wire::Number(varint(source)?),
            1 => {
                source.skip(8, Rule::O01, "a number")?;
                Wire::Fixed
            }
            2 => {
                let len = varint(source)?;
                self.inner_fits(source, len)?;
                Wire::Bytes(len)
            }
            5 => {
                source.skip(4, Rule::O01, "a number")?;
                Wire::Fixed
            }
            _ => return Err(source.refuse(Rule::O01, "a field of an unknown kind")),
        };
        Ok(Some(Field { number: tag >> 3, wire }))
    }

    fn inner_fits(self, source: &Source<'_>, len: u64) -> Result<(), Stop> {
        let end = source.offset().checked_add(len);
        if end.is_none_or(|end| self.end.is_some_and(|outer| end > outer)) {
            return Err(source.refuse(Rule::O01, "a field reaches beyond its message"));
        }
        Ok(())
    }
}

fn varint(source: &mut Source<'_>) -> Result<u64, Stop> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let [byte] = source.array(Rule::O01, "a number")?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(source.refuse(Rule::O01, "a number of more than 64 bits"))
}

/// Passes over what of a field is still to be read.
pub(super) fn pass(source: &mut Source<'_>, field: Field) -> Result<(), Stop> {
    match field.wire {
        Wire::Bytes(len) => source.skip(len, Rule::O01, "a field"),
        Wire::Number(_) | Wire::Fixed => Ok(()),
    }
}

/// A text, as much of it as can be a name.
pub(super) fn text(source: &mut Source<'_>, field: Field) -> Result<Vec<u8>, Stop> {
    let Wire::Bytes(len) = field.wire else {
        return Err(source.refuse(Rule::O01, "a text is expected"));
    };
    source.take(len, GRAPH_NAME_LEN_MAX, Rule::O01, "a text")
}
