//! Metadata values as they lie in the file, kept without growing: an array takes about as much memory as file.

use std::io::Read;

use super::cursor::{Cursor, Stop};
use super::text;
use crate::limits::{GENERAL_TEXT_LEN_MAX, METADATA_LEN_MAX, TEMPLATE_LEN_MAX, TEXT_LEN_MAX, TOKEN_LEN_MAX};
use crate::report::Rule;

/// A value type of GGUF version 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    Text,
    Array,
    U64,
    I64,
    F64,
}

impl Kind {
    fn parse(id: u32) -> Option<Self> {
        Some(match id {
            0 => Self::U8,
            1 => Self::I8,
            2 => Self::U16,
            3 => Self::I16,
            4 => Self::U32,
            5 => Self::I32,
            6 => Self::F32,
            7 => Self::Bool,
            8 => Self::Text,
            9 => Self::Array,
            10 => Self::U64,
            11 => Self::I64,
            12 => Self::F64,
            _ => return None,
        })
    }

    /// Bytes of one element; for a text the length that stands before it.
    const fn len(self) -> u64 {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::Text | Self::U64 | Self::I64 | Self::F64 => 8,
            Self::Array => 12,
        }
    }
}

/// Many texts in one buffer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Texts {
    bytes: String,
    ends: Vec<u32>,
}

impl Texts {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The text at `index`.
    pub(super) fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)? as usize;
        let start = match index.checked_sub(1) {
            Some(before) => *self.ends.get(before)? as usize,
            None => 0,
        };
        self.bytes.get(start..end)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let end = *end as usize;
            let text = self.bytes.get(start..end).unwrap_or_default();
            start = end;
            text
        })
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// One number or boolean, in the file's bytes.
    Scalar(Kind, [u8; 8]),
    Text(String),
    /// Numbers or booleans, in the file's bytes.
    Numbers(Kind, Vec<u8>),
    Texts(Texts),
}

impl Value {
    pub(super) fn read<R: Read>(cursor: &mut Cursor<R>, key: &str) -> Result<Self, Stop> {
        match kind(cursor, key)? {
            Kind::Text => {
                let mut bytes = Vec::new();
                read_text(cursor, key, text_len_max(key), &mut bytes)?;
                let text = String::from_utf8(bytes).map_err(|_| cursor.refuse(Rule::G05, not_utf8(key)))?;
                if let Some(bad) = text::first_forbidden(&text) {
                    return Err(cursor.refuse(Rule::G05, format!("{key} holds {}", bad.escape_unicode())));
                }
                Ok(Self::Text(text))
            }
            Kind::Array => Self::read_array(cursor, key),
            number => {
                let mut bytes = Vec::new();
                cursor.append(&mut bytes, number.len(), Rule::G04, key)?;
                check_numbers(cursor, key, number, &bytes)?;
                let mut scalar = [0; 8];
                scalar.iter_mut().zip(&bytes).for_each(|(to, from)| *to = *from);
                Ok(Self::Scalar(number, scalar))
            }
        }
    }

    fn read_array<R: Read>(cursor: &mut Cursor<R>, key: &str) -> Result<Self, Stop> {
        let element = kind(cursor, key)?;
        if element == Kind::Array {
            return Err(cursor.refuse(Rule::G04, format!("{key} is an array of arrays")));
        }
        let count = cursor.u64(Rule::G04, key)?;
        let claimed = u128::from(count) * u128::from(element.len());
        cursor.expect(claimed, Rule::G04, key)?;
        if u128::from(cursor.offset()) + claimed > u128::from(METADATA_LEN_MAX) {
            return Err(cursor.refuse(Rule::G06, metadata_too_long()));
        }
        if element != Kind::Text {
            let mut bytes = Vec::new();
            // Within METADATA_LEN_MAX, so it fits.
            let len = u64::try_from(claimed).unwrap_or(u64::MAX);
            cursor.append(&mut bytes, len, Rule::G04, key)?;
            check_numbers(cursor, key, element, &bytes)?;
            bytes.shrink_to_fit();
            return Ok(Self::Numbers(element, bytes));
        }
        let mut bytes = Vec::new();
        let mut ends = Vec::new();
        for _ in 0..count {
            let start = bytes.len();
            read_text(cursor, key, text_len_max(key), &mut bytes)?;
            let Ok(text) = std::str::from_utf8(bytes.get(start..).unwrap_or_default()) else {
                return Err(cursor.refuse(Rule::G05, not_utf8(key)));
            };
            if !text::may_hold_any(key)
                && let Some(bad) = text::first_forbidden(text)
            {
                return Err(cursor.refuse(Rule::G05, format!("{key} holds {}", bad.escape_unicode())));
            }
            // Within METADATA_LEN_MAX, so it fits.
            ends.push(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        }
        bytes.shrink_to_fit();
        ends.shrink_to_fit();
        let bytes = String::from_utf8(bytes).map_err(|_| cursor.refuse(Rule::G05, not_utf8(key)))?;
        Ok(Self::Texts(Texts { bytes, ends }))
    }
}

fn kind<R: Read>(cursor: &mut Cursor<R>, key: &str) -> Result<Kind, Stop> {
    let id = cursor.u32(Rule::G04, key)?;
    Kind::parse(id)
        .ok_or_else(|| cursor.refuse(Rule::G04, format!("{key} has value type {id}, which does not exist")))
}

fn read_text<R: Read>(
    cursor: &mut Cursor<R>,
    key: &str,
    len_max: u64,
    into: &mut Vec<u8>,
) -> Result<(), Stop> {
    let len = cursor.u64(Rule::G04, key)?;
    cursor.expect(u128::from(len), Rule::G04, key)?;
    if len > len_max {
        return Err(
            cursor.refuse(Rule::G06, format!("{key} is {len} bytes long, at most {len_max} are allowed"))
        );
    }
    if cursor.offset().saturating_add(len) > METADATA_LEN_MAX {
        return Err(cursor.refuse(Rule::G06, metadata_too_long()));
    }
    cursor.append(into, len, Rule::G04, key)
}

fn check_numbers<R: Read>(cursor: &Cursor<R>, key: &str, kind: Kind, bytes: &[u8]) -> Result<(), Stop> {
    let holds = match kind {
        Kind::Bool => bytes.iter().all(|byte| *byte <= 1),
        Kind::F32 => f32s(bytes).all(f32::is_finite),
        Kind::F64 => bytes.as_chunks().0.iter().all(|chunk| f64::from_le_bytes(*chunk).is_finite()),
        _ => true,
    };
    if holds {
        return Ok(());
    }
    let wanted =
        if kind == Kind::Bool { "a boolean that is neither 0 nor 1" } else { "a float that is not finite" };
    Err(cursor.refuse(Rule::G07, format!("{key} holds {wanted}")))
}

/// Numbers of an array of float32.
pub(super) fn f32s(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.as_chunks().0.iter().map(|chunk| f32::from_le_bytes(*chunk))
}

/// Numbers of an array of int32.
pub(super) fn i32s(bytes: &[u8]) -> impl Iterator<Item = i32> {
    bytes.as_chunks().0.iter().map(|chunk| i32::from_le_bytes(*chunk))
}

fn text_len_max(key: &str) -> u64 {
    if key.starts_with("general.") {
        GENERAL_TEXT_LEN_MAX
    } else if key.starts_with("tokenizer.chat_template") {
        TEMPLATE_LEN_MAX
    } else if text::may_hold_any(key) {
        TOKEN_LEN_MAX
    } else {
        TEXT_LEN_MAX
    }
}

fn not_utf8(key: &str) -> String {
    format!("{key} is not UTF-8")
}

fn metadata_too_long() -> String {
    format!("metadata is longer than {METADATA_LEN_MAX} bytes")
}
