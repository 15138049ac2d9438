//! A sentencepiece model: pieces with their scores, and how the tokenizer was made.

use super::graph::{Message, Wire, pass};
use super::source::{Source, Stop};
use crate::report::Rule;

/// Longest piece, in bytes; trainers stop at 64.
const PIECE_LEN_MAX: u64 = 4096;

pub(super) fn judge(source: &mut Source<'_>) -> Result<(), Stop> {
    let whole = Message::whole(source);
    let mut pieces = 0_u64;
    while let Some(field) = whole.next(source)? {
        let message = match field.wire {
            Wire::Bytes(len) => whole.inner(source, len)?,
            Wire::Number(_) | Wire::Fixed => {
                return Err(source.refuse(Rule::O01, "a number where a tokenizer has messages"));
            }
        };
        match field.number {
            1 => {
                piece(source, message)?;
                pieces += 1;
            }
            // How it was trained, how it normalizes, what it was tried with.
            2..=5 => {
                while let Some(field) = message.next(source)? {
                    pass(source, field)?;
                }
            }
            number => {
                return Err(source.refuse(Rule::O01, format!("field {number} is not one of a tokenizer")));
            }
        }
    }
    if pieces == 0 {
        return Err(source.unknown(Rule::O01, "a tokenizer should have pieces"));
    }
    Ok(())
}

/// A text, a score and a kind.
fn piece(source: &mut Source<'_>, message: Message) -> Result<(), Stop> {
    while let Some(field) = message.next(source)? {
        match (field.number, field.wire) {
            (1, Wire::Bytes(len)) if len <= PIECE_LEN_MAX => pass(source, field)?,
            (2, Wire::Fixed) | (3, Wire::Number(1..=6)) => {}
            (number, _) => {
                return Err(source.refuse(Rule::O01, format!("field {number} is not one of a token")));
            }
        }
    }
    Ok(())
}
