//! Texts as vectors, whichever API asks: in parts that a worker takes, one after the other, so that a large request
//! takes its turns like any other.

use std::rc::Rc;

use croft_domain::code::Code;
use croft_proto::frames::{Embed, to_worker};
use serde_json::Value;

use super::answer::Answer;
use super::errors::Refusal;
use super::fields::{Fields, unsupported};
use super::gate::{Gate, Held};
use super::guard::Sender;
use super::limits::{EMBED_FRAME_TEXTS_MAX, EMBED_INPUTS_MAX};
use super::slots::Event;

/// How vectors are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wording {
    /// Numbers in JSON.
    Numbers,
    /// Little-endian single precision, in Base64.
    Base64,
}

/// A request, parsed. Deliberately no `Debug`: these are a user's texts.
pub struct Texts {
    /// As the caller wrote it.
    pub model: String,
    /// What to turn into vectors.
    pub texts: Vec<String>,
    /// Numbers of each vector; 0: all.
    pub dimensions: u32,
    /// Whether a text that is too long is cut instead of refused.
    pub truncate: bool,
    /// How the vectors are written.
    pub wording: Wording,
    /// How long the client wants the model to stay loaded, in seconds.
    pub keep_alive_s: Option<u64>,
}

/// One text's vector each, and the tokens of all texts.
pub struct Vectors {
    /// In the order of the texts.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens evaluated.
    pub prompt_tokens: u32,
}

/// One text, or several.
///
/// # Errors
/// [`Code::RequestInvalid`], or [`Code::RequestUnsupported`] for tokens.
pub fn input(fields: &mut Fields, name: &str) -> Result<Vec<String>, Refusal> {
    let expected = || format!("a text or up to {EMBED_INPUTS_MAX} texts");
    let items = match fields.take(name) {
        Some(Value::String(text)) => return Ok(vec![text]),
        Some(Value::Array(items)) if items.len() <= EMBED_INPUTS_MAX => items,
        _ => return Err(fields.invalid(name, &expected())),
    };
    if matches!(items.first(), Some(Value::Number(_) | Value::Array(_))) {
        return Err(unsupported(&format!("{name} as tokens")));
    }
    let texts: Option<Vec<String>> = items
        .into_iter()
        .map(|item| match item {
            Value::String(text) => Some(text),
            _ => None,
        })
        .collect();
    texts.ok_or_else(|| fields.invalid(name, &expected()))
}

/// How many numbers a vector is to have.
///
/// # Errors
/// [`Code::RequestInvalid`].
pub fn dimensions(fields: &mut Fields) -> Result<u32, Refusal> {
    let asked = fields.integer("dimensions", 1..=i64::from(u16::MAX))?.unwrap_or(0);
    Ok(u32::try_from(asked).unwrap_or(0))
}

/// Has all texts turned into vectors.
///
/// # Errors
/// Why the first of its parts was refused.
pub async fn vectors(gate: &Rc<Gate>, sender: &Sender, asked: Texts, held: Held) -> Result<Vectors, Refusal> {
    let Texts { model, texts, dimensions, truncate, .. } = asked;
    // Held to the end, whatever becomes of the parts.
    let Held { reservation: _reservation, place: _place } = held;
    let mut all = Vectors { vectors: Vec::with_capacity(texts.len()), prompt_tokens: 0 };
    let model = gate.pinned(&model)?;
    let mut rest = texts;
    while !rest.is_empty() {
        let next = rest.split_off(rest.len().min(EMBED_FRAME_TEXTS_MAX));
        let part = std::mem::replace(&mut rest, next);
        let count = part.len();
        let embed = Embed { request: 0, texts: part, dimensions, truncate };
        let held = Held { reservation: gate.budget.reservation(), place: None };
        let mut answer = gate.read(sender, &model, to_worker::Frame::Embed(embed), held)?;
        collect(&mut answer, count, &mut all).await?;
    }
    Ok(all)
}

/// Takes the vectors of one part, or its scores, which are vectors of one number.
///
/// # Errors
/// Why the part was refused, or that not each of its texts was answered.
pub async fn collect(answer: &mut Answer, count: usize, all: &mut Vectors) -> Result<(), Refusal> {
    let before = all.vectors.len();
    loop {
        match answer.next().await {
            Event::Vector(embedded) if embedded.index as usize == all.vectors.len() - before => {
                all.vectors.push(embedded.vector);
            }
            Event::Finished(finished) if all.vectors.len() - before == count => {
                all.prompt_tokens = all.prompt_tokens.saturating_add(finished.prompt_tokens);
                return Ok(());
            }
            Event::Failed(refusal) => return Err(refusal),
            // Another text's vector, too few of them, or words.
            Event::Vector(_) | Event::Finished(_) | Event::Piece(_) => {
                return Err(Refusal::new(
                    Code::WorkerCrashed,
                    "the model's process did not answer each text",
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn input_is_a_text_or_texts() {
        let read = |value: Value| {
            let mut fields = Fields::of(json!({"input": value}), "x").ok().expect("an object");
            input(&mut fields, "input").map_err(|refusal| refusal.code)
        };
        assert_eq!(read(json!("a")), Ok(vec!["a".to_owned()]));
        assert_eq!(read(json!(["a", "b"])), Ok(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(read(json!([])), Ok(Vec::new()));
        assert_eq!(read(json!([1, 2])), Err(Code::RequestUnsupported));
        assert_eq!(read(json!([[1], [2]])), Err(Code::RequestUnsupported));
        assert_eq!(read(json!(["a", 1])), Err(Code::RequestInvalid));
        assert_eq!(read(json!({})), Err(Code::RequestInvalid));
        assert_eq!(read(Value::Null), Err(Code::RequestInvalid));
        assert_eq!(read(json!(vec!["x"; EMBED_INPUTS_MAX + 1])), Err(Code::RequestInvalid));
    }
}
