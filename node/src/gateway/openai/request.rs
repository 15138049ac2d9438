//! From a body to a request.

use croft_proto::frames::{Conversation, Infill, generate};
use serde_json::Value;

use super::super::demands::Demands;
use super::super::errors::Refusal;
use super::super::fields::{Fields, unsupported};
use super::super::job::{Asked, Chosen, max_tokens, messages, not_empty, stop};

/// Known fields of both endpoints that ask for another answer than can be given.
const UNSUPPORTED: &[&str] = &["lora", "mirostat", "n_probs", "images"];
const UNSUPPORTED_CHAT: &[&str] = &[
    "functions",
    "function_call",
    "audio",
    "prediction",
    "web_search_options",
    "verbosity",
    // It asks to keep the conversation, which nobody does here.
    "store",
];
const UNSUPPORTED_COMPLETION: &[&str] = &["echo", "input_prefix", "input_suffix"];

/// A chat completion; says as well whether usage is wanted at a stream's end.
///
/// # Errors
/// `E-REQUEST-INVALID` and `E-REQUEST-UNSUPPORTED`, naming the field.
pub fn chat(body: &[u8]) -> Result<(Asked, bool), Refusal> {
    let mut fields = Fields::parse(body)?;
    fields.refuse(UNSUPPORTED_CHAT)?;
    // Not to think is what every model here does that cannot.
    if fields.text("reasoning_effort")?.is_some_and(|effort| effort != "none") {
        return Err(unsupported("reasoning_effort other than none"));
    }
    if let Some(Value::Array(modalities)) = fields.take("modalities")
        && modalities.iter().any(|modality| modality != "text")
    {
        return Err(unsupported("modalities other than text"));
    }
    let messages = not_empty(messages(&mut fields)?)?;
    // The newer name wins.
    let newer = max_tokens(&mut fields, "max_completion_tokens")?;
    let demands = Demands::of_chat(&mut fields)?;
    rest(fields, generate::Input::Chat(Conversation { messages }), newer, demands)
}

/// A completion; says as well whether usage is wanted at a stream's end.
///
/// # Errors
/// As [`chat`].
pub fn completion(body: &[u8]) -> Result<(Asked, bool), Refusal> {
    let mut fields = Fields::parse(body)?;
    fields.refuse(UNSUPPORTED_COMPLETION)?;
    if fields.integer("best_of", 1..=1).is_err() {
        return Err(unsupported("best_of other than 1"));
    }
    let prompt = match fields.take("prompt") {
        Some(Value::String(prompt)) => prompt,
        Some(Value::Array(mut prompts)) => match (prompts.pop(), prompts.is_empty()) {
            (Some(Value::String(prompt)), true) => prompt,
            _ => return Err(unsupported("prompt of several texts or of tokens")),
        },
        _ => return Err(fields.invalid("prompt", "given, as a string")),
    };
    let input = match fields.text("suffix")?.filter(|suffix| !suffix.is_empty()) {
        None => generate::Input::Prompt(prompt),
        Some(suffix) => generate::Input::Infill(Infill { prefix: prompt, suffix }),
    };
    let demands = Demands::of_completion(&mut fields)?;
    rest(fields, input, None, demands)
}

fn rest(
    mut fields: Fields,
    input: generate::Input,
    newer_max: Option<u32>,
    demands: Demands,
) -> Result<(Asked, bool), Refusal> {
    fields.refuse(UNSUPPORTED)?;
    if fields.integer("n", 1..=1).is_err() {
        return Err(unsupported("n other than 1"));
    }
    let older = max_tokens(&mut fields, "max_tokens")?;
    let include_usage = match fields.object("stream_options")? {
        Some(mut options) => options.flag("include_usage")?.unwrap_or(false),
        None => false,
    };
    let asked = Asked {
        model: fields.needed_text("model")?,
        input,
        max_tokens: newer_max.or(older).unwrap_or(0),
        stop: stop(&mut fields)?,
        ignore_eos: fields.flag("ignore_eos")?.unwrap_or(false),
        cache_prompt: fields.flag("cache_prompt")?.unwrap_or(true),
        stream: fields.flag("stream")?.unwrap_or(false),
        chosen: Chosen::read(&mut fields)?,
        demands,
    };
    Ok((asked, include_usage))
}

#[cfg(test)]
mod tests {
    use croft_domain::code::Code;
    use serde_json::json;

    use super::*;

    fn code(body: &Value) -> Option<(Code, String)> {
        chat(body.to_string().as_bytes()).err().map(|refusal| (refusal.code, refusal.message))
    }

    fn base() -> Value {
        json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]})
    }

    #[test]
    fn a_full_request_is_read() {
        let mut body = base();
        for (name, value) in [
            ("max_tokens", json!(7)),
            ("max_completion_tokens", json!(9)),
            ("stream", json!(true)),
            ("stream_options", json!({"include_usage": true})),
            ("stop", json!(["x"])),
            ("n", json!(1)),
            ("tools", json!([])),
            ("tool_choice", json!("none")),
            ("response_format", json!({"type": "text"})),
            ("ignore_eos", json!(true)),
            ("cache_prompt", json!(false)),
            ("user", json!("somebody")),
            ("store", json!(false)),
            ("reasoning_effort", json!("none")),
        ] {
            body[name] = value;
        }
        let (asked, usage) = chat(body.to_string().as_bytes()).map_err(|r| r.message).expect("well formed");
        assert!(usage && asked.stream && asked.ignore_eos && !asked.cache_prompt);
        assert_eq!((asked.max_tokens, asked.stop), (9, vec!["x".to_owned()]));
    }

    #[test]
    fn what_is_not_there_is_refused_by_name() {
        for (name, value) in [
            ("functions", json!([{"name": "f"}])),
            ("response_format", json!({"type": "xml"})),
            ("n", json!(2)),
            ("modalities", json!(["text", "audio"])),
        ] {
            let mut body = base();
            body[name] = value;
            let (code, message) = code(&body).expect(name);
            assert_eq!(code, Code::RequestUnsupported, "{name}");
            assert!(message.contains(name), "{message}");
        }
        let suffix = json!({"model": "m", "prompt": "p", "suffix": "s"});
        let (asked, _) = completion(suffix.to_string().as_bytes()).map_err(|r| r.message).expect("infill");
        assert!(matches!(asked.input, generate::Input::Infill(infill) if infill.suffix == "s"));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (body, name) in [
            (json!({"messages": [{"role": "user", "content": "x"}]}), "model"),
            (json!({"model": "m"}), "messages"),
            (json!({"model": "m", "messages": []}), "messages"),
            (
                json!({"model": "m", "messages": [{"role": "user", "content": "x"}], "max_tokens": 0}),
                "max_tokens",
            ),
            (json!({"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": 1}), "stream"),
        ] {
            let (code, message) = code(&body).expect(name);
            assert_eq!(code, Code::RequestInvalid);
            assert!(message.contains(name), "{message}");
        }
    }

    type Reader = fn(&[u8]) -> Result<(Asked, bool), Refusal>;

    #[test]
    fn every_known_field_is_taken_or_refused_by_name() {
        let refused = |of: Reader, field: &str, value: &Value| {
            let mut body =
                json!({"model": "m", "prompt": "p", "messages": [{"role": "user", "content": "x"}]});
            body[field] = value.clone();
            of(body.to_string().as_bytes()).err().map(|refusal| (refusal.code, refusal.field))
        };
        // What OpenAI's reference lists, besides what other tests send.
        for (field, value) in [
            ("audio", json!({"voice": "a"})),
            ("function_call", json!("auto")),
            ("functions", json!([{"name": "f"}])),
            ("modalities", json!(["audio"])),
            ("n", json!(2)),
            ("prediction", json!({"type": "content"})),
            ("reasoning_effort", json!("high")),
            ("store", json!(true)),
            ("verbosity", json!("low")),
            ("web_search_options", json!({"a": 1})),
        ] {
            assert_eq!(
                refused(chat, field, &value),
                Some((Code::RequestUnsupported, Some(field.into()))),
                "{field}"
            );
        }
        for (field, value) in [("best_of", json!(2)), ("echo", json!(true)), ("n", json!(2))] {
            let found = refused(completion, field, &value);
            assert_eq!(found, Some((Code::RequestUnsupported, Some(field.into()))), "{field}");
        }
        // Labels that change no answer, and what nobody knows.
        for field in ["metadata", "prompt_cache_key", "safety_identifier", "service_tier", "user", "made_up"]
        {
            assert_eq!(refused(chat, field, &json!("x")), None, "{field}");
            assert_eq!(refused(completion, field, &json!("x")), None, "{field}");
        }
    }

    #[test]
    fn a_completion_takes_one_text() {
        let read = |prompt: Value| {
            let body = json!({"model": "m", "prompt": prompt});
            completion(body.to_string().as_bytes()).map(|(asked, _)| asked.input).map_err(|r| r.code)
        };
        assert_eq!(read(json!("p")), Ok(generate::Input::Prompt("p".into())));
        assert_eq!(read(json!(["p"])), Ok(generate::Input::Prompt("p".into())));
        assert_eq!(read(json!(["p", "q"])), Err(Code::RequestUnsupported));
        assert_eq!(read(json!([1, 2])), Err(Code::RequestUnsupported));
        assert_eq!(read(Value::Null), Err(Code::RequestInvalid));
    }
}
