//! `/api/embed`, and `/api/embeddings`, its older form for one text.

use serde_json::{Value, json};

use super::super::clock;
use super::super::embeddings::{Texts, Vectors, Wording, dimensions, input};
use super::super::errors::Refusal;
use super::super::fields::Fields;
use super::request::keep_alive;

/// `POST /api/embed`. No texts at all are a wish to load.
///
/// # Errors
/// `E-REQUEST-INVALID` and `E-REQUEST-UNSUPPORTED`, naming the field.
pub fn embed(body: &[u8]) -> Result<Texts, Refusal> {
    let mut fields = Fields::parse(body)?;
    let texts = input(&mut fields, "input")?;
    let dimensions = dimensions(&mut fields)?;
    // Ollama cuts what is too long unless told not to.
    let truncate = fields.flag("truncate")?.unwrap_or(true);
    rest(fields, texts, dimensions, truncate)
}

/// `POST /api/embeddings`.
///
/// # Errors
/// As [`embed`].
pub fn embed_one(body: &[u8]) -> Result<Texts, Refusal> {
    let mut fields = Fields::parse(body)?;
    let text = fields.text("prompt")?.unwrap_or_default();
    let texts = if text.is_empty() { Vec::new() } else { vec![text] };
    rest(fields, texts, 0, true)
}

fn rest(mut fields: Fields, texts: Vec<String>, dimensions: u32, truncate: bool) -> Result<Texts, Refusal> {
    let keep_alive_s = keep_alive(&mut fields)?;
    // What options say is about choosing tokens, of which there are none here.
    fields.object("options")?;
    let model = fields.needed_text("model")?;
    Ok(Texts { model, texts, dimensions, truncate, wording: Wording::Numbers, keep_alive_s })
}

/// The answer of `/api/embed`.
#[must_use]
pub fn vectors(model: &str, vectors: &Vectors, begun_ns: u64) -> Value {
    json!({
        "model": model,
        "embeddings": vectors.vectors,
        "total_duration": clock::monotonic_ns().saturating_sub(begun_ns),
        "load_duration": 0,
        "prompt_eval_count": vectors.prompt_tokens,
    })
}

/// The answer of `/api/embeddings`.
#[must_use]
pub fn one_vector(vectors: &Vectors) -> Value {
    json!({"embedding": vectors.vectors.first().map_or(&[][..], Vec::as_slice)})
}
