//! `/v1/embeddings`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::embeddings::{Texts, Vectors, Wording, dimensions, input};
use super::super::errors::Refusal;
use super::super::fields::Fields;

/// From a body to texts.
///
/// # Errors
/// `E-REQUEST-INVALID` and `E-REQUEST-UNSUPPORTED`, naming the field.
pub fn embeddings(body: &[u8]) -> Result<Texts, Refusal> {
    let mut fields = Fields::parse(body)?;
    let model = fields.needed_text("model")?;
    let texts = input(&mut fields, "input")?;
    if texts.is_empty() || texts.iter().any(String::is_empty) {
        return Err(fields.invalid("input", "one text or more, none of them empty"));
    }
    let dimensions = dimensions(&mut fields)?;
    let wording = match fields.text("encoding_format")?.as_deref() {
        None | Some("float") => Wording::Numbers,
        Some("base64") => Wording::Base64,
        Some(_) => return Err(fields.invalid("encoding_format", "float or base64")),
    };
    Ok(Texts { model, texts, dimensions, truncate: false, wording, keep_alive_s: None })
}

/// The answer.
#[must_use]
pub fn vectors(model: &str, vectors: &Vectors, wording: Wording) -> Value {
    let data: Vec<Value> = (0..)
        .zip(&vectors.vectors)
        .map(|(index, vector): (usize, _)| {
            let embedding = match wording {
                Wording::Numbers => json!(vector),
                Wording::Base64 => {
                    let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
                    json!(STANDARD.encode(bytes))
                }
            };
            json!({"object": "embedding", "index": index, "embedding": embedding})
        })
        .collect();
    let tokens = vectors.prompt_tokens;
    let usage = json!({"prompt_tokens": tokens, "total_tokens": tokens});
    json!({"object": "list", "data": data, "model": model, "usage": usage})
}

#[cfg(test)]
mod tests {
    use super::*;
    use croft_domain::code::Code;

    #[test]
    fn fields_are_read_or_refused() {
        let read = |body: Value| embeddings(body.to_string().as_bytes());
        let asked = read(json!({"model": "m", "input": "x", "encoding_format": "base64", "dimensions": 2}));
        let asked = asked.ok().expect("well formed");
        assert_eq!((asked.dimensions, asked.wording), (2, Wording::Base64));
        for (field, value) in [
            ("dimensions", json!(0)),
            ("encoding_format", json!("int8")),
            ("input", json!([])),
            ("model", Value::Null),
        ] {
            let mut body = json!({"model": "m", "input": "x"});
            body[field] = value;
            let refusal = read(body).err().expect(field);
            assert_eq!((refusal.code, refusal.field.as_deref()), (Code::RequestInvalid, Some(field)));
        }
    }

    #[test]
    fn base64_holds_little_endian_numbers() {
        let all = Vectors { vectors: vec![vec![1.0, -2.0]], prompt_tokens: 3 };
        let answer = vectors("m", &all, Wording::Base64);
        assert_eq!(answer["data"][0]["embedding"], "AACAPwAAAMA=");
        assert_eq!(answer["usage"], json!({"prompt_tokens": 3, "total_tokens": 3}));
        assert_eq!(vectors("m", &all, Wording::Numbers)["data"][0]["embedding"], json!([1.0, -2.0]));
    }
}
