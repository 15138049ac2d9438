//! From a body to a request.

use croft_proto::frames::{ChatMessage, Conversation, Infill, generate as frame};
use serde_json::Value;

use super::super::demands::Demands;
use super::super::errors::Refusal;
use super::super::fields::{Fields, unsupported};
use super::super::job::{Asked, Chosen, max_tokens, messages, stop};
use super::duration::seconds;

/// What a body asks for.
pub enum Wanted {
    /// An answer.
    Answer(Box<Asked>),
    /// That the model be loaded (or unloaded, which only Croft decides): the body names a model and nothing to answer.
    Load(String),
}

const UNSUPPORTED: &[&str] = &["think", "images", "logprobs", "top_logprobs"];

/// `POST /api/chat`; says as well how many seconds the model should stay loaded.
///
/// # Errors
/// `E-REQUEST-INVALID` and `E-REQUEST-UNSUPPORTED`, naming the field.
pub fn chat(body: &[u8]) -> Result<(Wanted, Option<u64>), Refusal> {
    let mut fields = Fields::parse(body)?;
    let messages = messages(&mut fields)?;
    let empty = messages.is_empty();
    rest(fields, frame::Input::Chat(Conversation { messages }), empty)
}

/// `POST /api/generate`. Without `raw`, the prompt becomes a conversation of one message, under the approved template.
///
/// # Errors
/// As [`chat`].
pub fn generate(body: &[u8]) -> Result<(Wanted, Option<u64>), Refusal> {
    let mut fields = Fields::parse(body)?;
    fields.refuse(&["context", "template"])?;
    let prompt = fields.text("prompt")?.unwrap_or_default();
    let system = fields.text("system")?.filter(|system| !system.is_empty());
    let empty = prompt.is_empty();
    let suffix = fields.text("suffix")?.filter(|suffix| !suffix.is_empty());
    let raw = fields.flag("raw")?.unwrap_or(false);
    let input = if let Some(suffix) = suffix {
        if system.is_some() {
            return Err(unsupported("system together with suffix"));
        }
        frame::Input::Infill(Infill { prefix: prompt, suffix })
    } else if raw {
        if system.is_some() {
            return Err(unsupported("system together with raw"));
        }
        frame::Input::Prompt(prompt)
    } else {
        let message =
            |role: &str, content| ChatMessage { role: role.to_owned(), content, ..ChatMessage::default() };
        let system = system.map(|content| message("system", content));
        frame::Input::Chat(Conversation {
            messages: system.into_iter().chain([message("user", prompt)]).collect(),
        })
    };
    rest(fields, input, empty)
}

fn rest(mut fields: Fields, input: frame::Input, empty: bool) -> Result<(Wanted, Option<u64>), Refusal> {
    fields.refuse(UNSUPPORTED)?;
    let keep_alive_s = keep_alive(&mut fields)?;
    // The context's size is part of the approval, so num_ctx is among the options that are ignored.
    let mut options = match fields.object("options")? {
        Some(options) => options,
        None => Fields::of(Value::Object(serde_json::Map::new()), "options")?,
    };
    options.refuse(&["mirostat"])?;
    let max_tokens = max_tokens(&mut options, "num_predict")?.unwrap_or(0);
    let asked = Asked {
        model: fields.needed_text("model")?,
        input,
        max_tokens,
        stop: stop(&mut options)?,
        ignore_eos: options.flag("ignore_eos")?.unwrap_or(false),
        cache_prompt: true,
        stream: fields.flag("stream")?.unwrap_or(true),
        chosen: Chosen::read(&mut options)?,
        demands: Demands::of_ollama(&mut fields)?,
    };
    let wanted = if empty { Wanted::Load(asked.model) } else { Wanted::Answer(Box::new(asked)) };
    Ok((wanted, keep_alive_s))
}

/// How many seconds the model should stay loaded, before the policy cuts it.
///
/// # Errors
/// `E-REQUEST-INVALID`.
pub fn keep_alive(fields: &mut Fields) -> Result<Option<u64>, Refusal> {
    let Some(value) = fields.take("keep_alive") else { return Ok(None) };
    let seconds = seconds(&value);
    seconds.map(Some).ok_or_else(|| fields.invalid("keep_alive", "seconds, or a duration such as 5m"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(wanted: Result<(Wanted, Option<u64>), Refusal>) -> Asked {
        match wanted.map_err(|refusal| refusal.message).expect("well formed").0 {
            Wanted::Answer(asked) => *asked,
            Wanted::Load(_) => panic!("nothing to answer"),
        }
    }

    fn body(value: &Value) -> Vec<u8> {
        value.to_string().into_bytes()
    }

    #[test]
    fn what_zed_and_cline_send_is_taken() {
        let asked = answer(chat(&body(&json!({
            "model": "m", "messages": [{"role": "user", "content": "x", "images": null}], "keep_alive": -1,
            "options": {"num_ctx": 32768, "num_predict": 5, "stop": ["s"], "temperature": 0.1}, "tools": [],
            "think": false
        }))));
        assert!(asked.stream);
        assert_eq!((asked.max_tokens, asked.stop), (5, vec!["s".to_owned()]));
        let endless = chat(&body(&json!({"model": "m", "messages": [{"role": "user", "content": "x"}],
            "options": {"num_predict": -1}, "stream": false, "keep_alive": "30m"})));
        let asked = answer(endless);
        assert!(!asked.stream && asked.max_tokens == 0);
    }

    #[test]
    fn generate_is_raw_or_a_conversation() {
        let raw = answer(generate(&body(&json!({"model": "m", "prompt": "p", "raw": true}))));
        assert!(raw.input == frame::Input::Prompt("p".into()));
        let chat = answer(generate(&body(&json!({"model": "m", "prompt": "p", "system": "s"}))));
        let frame::Input::Chat(conversation) = chat.input else { panic!("a conversation") };
        let roles: Vec<_> = conversation.messages.iter().map(|message| message.role.as_str()).collect();
        assert_eq!(roles, ["system", "user"]);
    }

    #[test]
    fn nothing_to_answer_is_a_wish_to_load() {
        for wanted in [
            chat(&body(&json!({"model": "m", "messages": [], "keep_alive": 0}))),
            chat(&body(&json!({"model": "m"}))),
            generate(&body(&json!({"model": "m"}))),
        ] {
            assert!(matches!(wanted, Ok((Wanted::Load(model), _)) if model == "m"));
        }
    }

    #[test]
    fn what_is_not_there_is_refused_by_name() {
        for (name, value) in [
            ("template", json!("{{ .Prompt }}")),
            ("context", json!([1, 2])),
            ("images", json!(["aGk="])),
            ("think", json!(true)),
        ] {
            let mut request = json!({"model": "m", "prompt": "p"});
            request[name] = value;
            let refusal = generate(&body(&request)).err().expect(name);
            assert_eq!(refusal.message, format!("{name} is not supported"));
        }
        let mirostat = json!({"model": "m", "prompt": "p", "options": {"mirostat": 2}});
        assert!(generate(&body(&mirostat)).is_err_and(|r| r.message == "options.mirostat is not supported"));
        let hints =
            json!({"model": "m", "prompt": "p", "options": {"num_ctx": 1, "num_thread": 2, "mirostat": 0}});
        assert!(generate(&body(&hints)).is_ok(), "how the host does its work is the host's matter");
        let range = json!({"model": "m", "prompt": "p", "options": {"top_p": 2}});
        assert!(generate(&body(&range)).is_err_and(|r| r.message.starts_with("options.top_p must be")));
    }
}
