//! The operands: how long each is, and what of it is worth keeping.

use super::super::limits::{LINE_LEN_MAX, TEXT_LEN_MAX};
use super::super::source::{Source, Stop};
use crate::report::Rule;

/// Opcodes with which a pickle of protocol 0 or 1 begins.
pub(in super::super) const fn starts_text_pickle(byte: u8) -> bool {
    matches!(byte, b'(' | b')' | b']' | b'}' | b'c' | b'i' | b'I' | b'K' | b'M' | b'J' | b'L' | b'F' | b'G')
        || matches!(byte, b'S' | b'U' | b'T' | b'V' | b'X' | b'N' | b'P' | b'l' | b'd' | b't' | b'B' | b'C')
}

/// The rest of a line, without its end.
pub(super) fn line(source: &mut Source<'_>) -> Result<Vec<u8>, Stop> {
    // Most lines are short, and looking further ahead costs more.
    for ahead in [256, 4096, LINE_LEN_MAX] {
        let bytes = source.peek(ahead)?;
        if let Some(len) = bytes.iter().position(|byte| *byte == b'\n') {
            let line = bytes[..len].to_vec();
            source.advance(len + 1);
            return Ok(line);
        }
    }
    Err(source.refuse(Rule::K01, "a text operand should end with its line"))
}

/// A decimal number on a line of its own, as Python writes it.
pub(super) fn decimal(source: &mut Source<'_>, what: &str) -> Result<u64, Stop> {
    let at = source.offset();
    let line = line(source)?;
    let number = std::str::from_utf8(&line)
        .ok()
        .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse().ok());
    number.ok_or_else(|| Stop::refused(Rule::K01, at, format!("{what} should be a plain decimal number")))
}

/// Data whose length stands before it in `N` bytes. Gives as much as can be a name, and the whole length.
pub(super) fn counted<const N: usize>(source: &mut Source<'_>) -> Result<(Vec<u8>, u64), Stop> {
    let prefix: [u8; N] = source.array(Rule::K01, "the length of an operand")?;
    let mut wide = [0; 8];
    wide[..N].copy_from_slice(&prefix);
    let len = u64::from_le_bytes(wide);
    let kept = source.take(len, TEXT_LEN_MAX + 1, Rule::K01, "an operand")?;
    Ok((kept, len))
}

/// The text between the quotes of a `STRING` operand. None if it is escaped, and so cannot be read as a name.
pub(super) fn unquoted(line: &[u8]) -> Option<&[u8]> {
    let ([b'\'', inner @ .., b'\''] | [b'"', inner @ .., b'"']) = line else { return None };
    (!inner.contains(&b'\\')).then_some(inner)
}

/// Little-endian, with sign, of any length. None if it does not fit.
pub(super) fn long(bytes: &[u8]) -> Option<i64> {
    if bytes.len() > 8 {
        return None;
    }
    let fill = if bytes.last().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
    let mut wide = [fill; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    Some(i64::from_le_bytes(wide))
}
