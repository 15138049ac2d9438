//! `POST /infill`, as llama-server has it and its editor plugins ask: what belongs between two texts.

use croft_proto::frames::{Finished, Infill, generate};
use serde_json::{Value, json};

use super::answer::Voice;
use super::demands::Demands;
use super::errors::{Dialect, Refusal};
use super::fields::Fields;
use super::fragment::Fragment;
use super::job::{Asked, Chosen, max_tokens, stop};
use super::limits::INFILL_EXTRA_MAX;
use super::openai::timings;

/// Known fields that ask for another answer than can be given.
const UNSUPPORTED: &[&str] = &["lora", "mirostat", "n_probs", "images", "n_keep", "id_slot", "return_tokens"];

/// What the plugins send with every request and what changes no more than speed and taste. The answer's header
/// `x-croft-ignored` names those that came.
const IGNORED: &[&str] =
    &["samplers", "t_max_prompt_ms", "t_max_predict_ms", "n_indent", "response_fields", "n_discard"];

/// From a body to a request; says as well which fields have no effect. `usual` is the model where none is named.
///
/// # Errors
/// `E-REQUEST-INVALID` and `E-REQUEST-UNSUPPORTED`, naming the field.
pub fn request(body: &[u8], usual: Option<&str>) -> Result<(Asked, Vec<&'static str>), Refusal> {
    let mut fields = Fields::parse(body)?;
    fields.refuse(UNSUPPORTED)?;
    let ignored = IGNORED.iter().copied().filter(|name| fields.take(name).is_some()).collect();
    let mut prefix = extra(&mut fields)?;
    prefix.push_str(&fields.needed_text("input_prefix")?);
    // llama-server has the beginning of the line here, which the answer goes on from.
    prefix.push_str(&fields.text("prompt")?.unwrap_or_default());
    let suffix = fields.needed_text("input_suffix")?;
    let model = fields.text("model")?.or_else(|| usual.map(str::to_owned));
    let asked = Asked {
        model: model.ok_or_else(|| fields.invalid("model", "given, as a string"))?,
        input: generate::Input::Infill(Infill { prefix, suffix }),
        max_tokens: max_tokens(&mut fields, "n_predict")?.unwrap_or(0),
        stop: stop(&mut fields)?,
        ignore_eos: fields.flag("ignore_eos")?.unwrap_or(false),
        cache_prompt: fields.flag("cache_prompt")?.unwrap_or(true),
        stream: fields.flag("stream")?.unwrap_or(false),
        chosen: Chosen::read(&mut fields)?,
        demands: Demands::of_completion(&mut fields)?,
    };
    Ok((asked, ignored))
}

/// Texts of other files, in front of all, as llama-server writes them for models without marks of their own for it.
fn extra(fields: &mut Fields) -> Result<String, Refusal> {
    let expected = format!("a list of at most {INFILL_EXTRA_MAX} objects, each with a text");
    let items = match fields.take("input_extra") {
        None => return Ok(String::new()),
        Some(Value::Array(items)) if items.len() <= INFILL_EXTRA_MAX => items,
        Some(_) => return Err(fields.invalid("input_extra", &expected)),
    };
    let mut out = String::new();
    for (index, item) in items.into_iter().enumerate() {
        let mut item = Fields::of(item, &format!("input_extra[{index}]"))?;
        item.text("filename")?;
        out.push_str("--- snippet ---\n\n");
        out.push_str(&item.needed_text("text")?);
        out.push('\n');
    }
    Ok(out)
}

/// Words an answer as llama-server does.
pub struct InfillVoice {
    model: String,
}

impl InfillVoice {
    /// `model` as the caller wrote it.
    #[must_use]
    pub const fn new(model: String) -> Self {
        Self { model }
    }

    fn end(&self, content: &str, finished: &Finished) -> Value {
        json!({
            "content": content,
            "stop": true,
            "stop_type": if finished.reason == "length" { "limit" } else { "eos" },
            "truncated": false,
            "model": self.model,
            "tokens_predicted": finished.completion_tokens,
            "tokens_evaluated": finished.prompt_tokens,
            "tokens_cached": finished.cached_tokens,
            "timings": timings(finished),
        })
    }
}

impl Voice for InfillVoice {
    fn stream_type(&self) -> &'static str {
        "text/event-stream"
    }

    fn piece(&mut self, piece: Fragment) -> String {
        event(&json!({"content": piece.text, "stop": false}))
    }

    fn finish(&mut self, finished: &Finished) -> String {
        event(&self.end("", finished))
    }

    fn failure(&self, refusal: &Refusal) -> String {
        event(&refusal.json(Dialect::OpenAi))
    }

    fn patience(&self) -> &'static str {
        ": working\n\n"
    }

    fn whole(&self, whole: &Fragment, finished: &Finished) -> Value {
        self.end(&whole.text, finished)
    }
}

fn event(value: &Value) -> String {
    format!("data: {value}\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use croft_domain::code::Code;

    fn read(body: &Value) -> Result<(Asked, Vec<&'static str>), Refusal> {
        request(body.to_string().as_bytes(), Some("complete"))
    }

    #[test]
    fn what_llama_vim_sends_is_taken() {
        let body = json!({"input_prefix": "fn a() {\n", "input_suffix": "}\n", "prompt": "    let x",
            "input_extra": [{"filename": "b.rs", "text": "struct B;"}], "n_predict": 32, "n_indent": 4,
            "top_k": 40, "top_p": 0.9, "samplers": ["top_k", "top_p", "infill"], "stream": false,
            "cache_prompt": true, "t_max_prompt_ms": 500, "t_max_predict_ms": 500, "stop": ["\n\n"]});
        let (asked, ignored) = read(&body).ok().expect("well formed");
        let generate::Input::Infill(infill) = asked.input else { panic!("an insertion") };
        assert_eq!(infill.prefix, "--- snippet ---\n\nstruct B;\nfn a() {\n    let x");
        assert_eq!((infill.suffix.as_str(), asked.max_tokens, asked.model.as_str()), ("}\n", 32, "complete"));
        assert_eq!(ignored, ["samplers", "t_max_prompt_ms", "t_max_predict_ms", "n_indent"]);
    }

    #[test]
    fn what_is_missing_or_not_there_is_named() {
        for (body, code, field) in [
            (json!({"input_suffix": "x"}), Code::RequestInvalid, "input_prefix"),
            (json!({"input_prefix": "x"}), Code::RequestInvalid, "input_suffix"),
            (
                json!({"input_prefix": "x", "input_suffix": "y", "input_extra": [{}]}),
                Code::RequestInvalid,
                "input_extra[0].text",
            ),
            (
                json!({"input_prefix": "x", "input_suffix": "y", "n_probs": 3}),
                Code::RequestUnsupported,
                "n_probs",
            ),
        ] {
            let refusal = read(&body).err().expect(field);
            assert_eq!((refusal.code, refusal.field.as_deref()), (code, Some(field)));
        }
        let body = json!({"input_prefix": "x", "input_suffix": "y"});
        assert!(request(body.to_string().as_bytes(), None).is_err(), "no model at all");
    }
}
