//! What both APIs have in common: sampling, stop texts and messages, and how they become a worker's frame. Deliberately
//! no `Debug` here: these values hold prompts.

use croft_domain::code::Code;
use croft_proto::frames::{ChatMessage, Generate, Sampling, ServedModel, generate};
use serde_json::{Value, json};

use super::demands::Demands;
use super::errors::Refusal;
use super::fields::{Fields, unsupported};
use super::limits::{MESSAGES_MAX, STOP_LEN_MAX, STOP_MAX};

/// Sampling where neither the request nor the model says otherwise: what llama.cpp's own server does.
const TOP_K: u32 = 40;
const TOP_P: f32 = 0.95;
const MIN_P: f32 = 0.05;

/// Sampling as asked for.
#[derive(Default)]
pub struct Chosen {
    temperature: Option<f32>,
    top_p: Option<f32>,
    top_k: Option<u32>,
    min_p: Option<f32>,
    seed: Option<u64>,
    frequency_penalty: f32,
    presence_penalty: f32,
    repeat_penalty: f32,
}

impl Chosen {
    /// Reads it. The names are the same in both APIs.
    ///
    /// # Errors
    /// [`Code::RequestInvalid`].
    pub fn read(fields: &mut Fields) -> Result<Self, Refusal> {
        Ok(Self {
            temperature: fields.number("temperature", 0.0..=5.0)?,
            top_p: fields.number("top_p", 0.0..=1.0)?,
            // Negative: off, as in llama.cpp and Ollama.
            top_k: fields.integer("top_k", -1..=1_000_000)?.map(|k| u32::try_from(k).unwrap_or(0)),
            min_p: fields.number("min_p", 0.0..=1.0)?,
            // Negative: any.
            seed: fields.integer("seed", i64::MIN..=i64::MAX)?.and_then(|seed| u64::try_from(seed).ok()),
            frequency_penalty: fields.number("frequency_penalty", -2.0..=2.0)?.unwrap_or(0.0),
            presence_penalty: fields.number("presence_penalty", -2.0..=2.0)?.unwrap_or(0.0),
            repeat_penalty: fields.number("repeat_penalty", 0.0..=10.0)?.unwrap_or(0.0),
        })
    }

    fn sampling(&self, model: &ServedModel, random: u64) -> Sampling {
        Sampling {
            temperature: self.temperature.unwrap_or(model.temperature),
            top_p: self.top_p.map_or(TOP_P, |p| if p >= 1.0 { 0.0 } else { p }),
            top_k: self.top_k.unwrap_or(TOP_K),
            min_p: self.min_p.unwrap_or(MIN_P),
            seed: self.seed.unwrap_or(random),
            frequency_penalty: self.frequency_penalty,
            presence_penalty: self.presence_penalty,
            repeat_penalty: self.repeat_penalty,
        }
    }
}

/// A request, parsed.
pub struct Asked {
    /// As the caller wrote it.
    pub model: String,
    /// Prompt or conversation.
    pub input: generate::Input,
    /// How to choose tokens.
    pub chosen: Chosen,
    /// Most tokens; 0: what fits.
    pub max_tokens: u32,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// For benchmarks.
    pub ignore_eos: bool,
    /// Whether earlier work on the same prefix may be reused.
    pub cache_prompt: bool,
    /// Whether the answer is sent as it comes.
    pub stream: bool,
    /// What is demanded beyond text.
    pub demands: Demands,
}

impl Asked {
    /// Every text in it that a model would read.
    pub fn texts(&mut self) -> Vec<&mut String> {
        let tools = &mut self.demands.tools_json;
        let mut texts = match &mut self.input {
            generate::Input::Prompt(prompt) => vec![prompt],
            generate::Input::Chat(chat) => chat
                .messages
                .iter_mut()
                .flat_map(|message| [&mut message.content, &mut message.tool_calls_json])
                .collect(),
            generate::Input::Infill(infill) => vec![&mut infill.prefix, &mut infill.suffix],
        };
        texts.push(tools);
        texts
    }

    /// The worker's frame.
    #[must_use]
    pub fn generate(self, model: &ServedModel, partition: u64, random: u64) -> Generate {
        let plain = Generate {
            request: 0,
            sampling: Some(self.chosen.sampling(model, random)),
            input: Some(self.input),
            max_tokens: self.max_tokens,
            stop: self.stop,
            ignore_eos: self.ignore_eos,
            // A partition of its own shares nothing.
            cache_partition: if self.cache_prompt { partition } else { random },
            ..Generate::default()
        };
        self.demands.demand(plain)
    }
}

/// The bound on answer tokens: negative numbers say "what fits" in llama.cpp and Ollama.
///
/// # Errors
/// [`Code::RequestInvalid`].
pub fn max_tokens(fields: &mut Fields, name: &str) -> Result<Option<u32>, Refusal> {
    match fields.integer(name, -2..=i64::from(u32::MAX))? {
        Some(0) => Err(fields.invalid(name, "at least 1")),
        tokens => Ok(tokens.map(|tokens| u32::try_from(tokens).unwrap_or(0))),
    }
}

/// Stop texts: one, or several.
///
/// # Errors
/// [`Code::RequestInvalid`].
pub fn stop(fields: &mut Fields) -> Result<Vec<String>, Refusal> {
    let expected = || format!("a string or up to {STOP_MAX} strings, each of 1 to {STOP_LEN_MAX} bytes");
    let texts = match fields.take("stop") {
        None => return Ok(Vec::new()),
        Some(Value::String(text)) => vec![Value::String(text)],
        Some(Value::Array(texts)) if texts.len() <= STOP_MAX => texts,
        Some(_) => return Err(fields.invalid("stop", &expected())),
    };
    let texts: Option<Vec<String>> = texts
        .into_iter()
        .map(|text| match text {
            Value::String(text) if (1..=STOP_LEN_MAX).contains(&text.len()) => Some(text),
            _ => None,
        })
        .collect();
    texts.ok_or_else(|| fields.invalid("stop", &expected()))
}

/// The messages of a conversation, without a bound from below.
///
/// # Errors
/// [`Code::RequestInvalid`], or [`Code::RequestUnsupported`] for roles and parts that no model here understands.
pub fn messages(fields: &mut Fields) -> Result<Vec<ChatMessage>, Refusal> {
    let items = match fields.take("messages") {
        Some(Value::Array(items)) if items.len() <= MESSAGES_MAX => items,
        Some(_) => {
            return Err(fields.invalid("messages", &format!("a list of at most {MESSAGES_MAX} messages")));
        }
        None => return Ok(Vec::new()),
    };
    items.into_iter().enumerate().map(|(index, item)| message(item, &format!("messages[{index}]"))).collect()
}

fn message(item: Value, path: &str) -> Result<ChatMessage, Refusal> {
    let mut fields = Fields::of(item, path)?;
    fields.refuse(&["function_call", "images", "audio"])?;
    let role = match fields.needed_text("role")?.as_str() {
        "system" | "developer" => "system",
        "user" => "user",
        "assistant" => "assistant",
        "tool" => "tool",
        "function" => return Err(unsupported(&format!("{path}.role of a function"))),
        _ => return Err(fields.invalid("role", "system, user, assistant or tool")),
    };
    let content = match fields.take("content") {
        Some(Value::String(text)) => text,
        Some(Value::Array(parts)) => text_of_parts(parts, path)?,
        None if role == "assistant" => String::new(),
        _ => return Err(fields.invalid("content", "a string or a list of text parts")),
    };
    let is_tool = role == "tool";
    // Ollama names the function only.
    let tool_name = fields.text("tool_name")?;
    let name = tool_name.or(fields.text("name")?).filter(|_| is_tool).unwrap_or_default();
    let tool_call_id = fields.text("tool_call_id")?.filter(|_| is_tool).unwrap_or_default();
    let tool_calls_json = match fields.take("tool_calls") {
        Some(Value::Array(calls)) if role == "assistant" && !calls.is_empty() => tool_calls(calls, path)?,
        _ => String::new(),
    };
    Ok(ChatMessage { role: role.to_owned(), content, tool_calls_json, tool_call_id, name })
}

/// Calls in OpenAI's shape: Ollama has arguments as an object, and no numbers.
fn tool_calls(calls: Vec<Value>, path: &str) -> Result<String, Refusal> {
    let calls: Result<Vec<Value>, Refusal> = calls
        .into_iter()
        .enumerate()
        .map(|(index, call)| {
            let path = format!("{path}.tool_calls[{index}]");
            let mut call = Fields::of(call, &path)?;
            let id = call.text("id")?.unwrap_or_else(|| format!("call_{index}"));
            let Some(mut function) = call.object("function")? else {
                return Err(call.invalid("function", "given, as an object"));
            };
            let name = function.needed_text("name")?;
            let arguments = match function.take("arguments") {
                None => "{}".to_owned(),
                Some(Value::String(text)) => text,
                Some(value) => value.to_string(),
            };
            Ok(json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}))
        })
        .collect();
    Ok(Value::Array(calls?).to_string())
}

fn text_of_parts(parts: Vec<Value>, path: &str) -> Result<String, Refusal> {
    let mut whole = String::new();
    for (index, part) in parts.into_iter().enumerate() {
        let path = format!("{path}.content[{index}]");
        let mut fields = Fields::of(part, &path)?;
        if fields.needed_text("type")? != "text" {
            return Err(unsupported(&format!("{path} of another type than text")));
        }
        whole.push_str(&fields.needed_text("text")?);
    }
    Ok(whole)
}

/// Refuses an empty conversation.
///
/// # Errors
/// [`Code::RequestInvalid`].
pub fn not_empty(messages: Vec<ChatMessage>) -> Result<Vec<ChatMessage>, Refusal> {
    if messages.is_empty() {
        return Err(Refusal::new(Code::RequestInvalid, "messages must hold at least one message"));
    }
    Ok(messages)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Fields {
        Fields::parse(text.as_bytes()).map_err(|refusal| refusal.message).expect("an object")
    }

    #[test]
    fn messages_take_text_and_text_parts_only() {
        let read =
            |text: &str| messages(&mut fields(text)).map_err(|refusal| (refusal.code, refusal.message));
        let two = r#"{"messages": [{"role": "developer", "content": "a", "name": "x"},
            {"role": "user", "content": [{"type": "text", "text": "b"}, {"type": "text", "text": "c"}]},
            {"role": "assistant", "content": null}]}"#;
        let got = read(two).expect("well formed");
        let got: Vec<_> = got.iter().map(|m| (m.role.as_str(), m.content.as_str())).collect();
        assert_eq!(got, [("system", "a"), ("user", "bc"), ("assistant", "")]);
        let image =
            r#"{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}"#;
        let (code, message) = read(image).expect_err("an image");
        assert_eq!(code, Code::RequestUnsupported);
        assert!(message.starts_with("messages[0].content[0]"), "{message}");
        for bad in [
            r#"{"messages": "x"}"#,
            r#"{"messages": ["x"]}"#,
            r#"{"messages": [{"role": "user"}]}"#,
            r#"{"messages": [{"role": "king", "content": "x"}]}"#,
            r#"{"messages": [{"content": "x"}]}"#,
        ] {
            assert_eq!(read(bad).expect_err(bad).0, Code::RequestInvalid);
        }
        assert!(read(r#"{"messages": [{"role": "function", "content": "x"}]}"#).is_err());
        assert!(read(r#"{"messages": [{"role": "assistant", "tool_calls": [{}]}]}"#).is_err());
    }

    #[test]
    fn calls_of_tools_and_their_answers_are_taken_in_both_spellings() {
        let read =
            |text: &str| messages(&mut fields(text)).map_err(|refusal| refusal.message).expect("well formed");
        let open_ai = read(
            r#"{"messages": [{"role": "assistant", "content": null, "tool_calls": [{"id": "a", "type": "function",
            "function": {"name": "f", "arguments": "{}"}}]}, {"role": "tool", "tool_call_id": "a", "content": "x"}]}"#,
        );
        let call = r#"[{"function":{"arguments":"{}","name":"f"},"id":"a","type":"function"}]"#;
        assert_eq!(open_ai[0].tool_calls_json, call);
        assert_eq!((open_ai[1].role.as_str(), open_ai[1].tool_call_id.as_str()), ("tool", "a"));
        let ollama = read(
            r#"{"messages": [{"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f",
            "arguments": {"x": 1}}}]}, {"role": "tool", "tool_name": "f", "content": "x"}]}"#,
        );
        assert!(
            ollama[0].tool_calls_json.contains(r#""arguments":"{\"x\":1}""#),
            "{}",
            ollama[0].tool_calls_json
        );
        assert_eq!(ollama[1].name, "f");
    }

    #[test]
    fn stop_texts_are_bounded_on_both_sides() {
        let read = |text: &str| stop(&mut fields(text)).map_err(|refusal| refusal.code);
        assert_eq!(read(r#"{"stop": "x"}"#), Ok(vec!["x".to_owned()]));
        assert_eq!(read("{}"), Ok(vec![]));
        assert_eq!(read(r#"{"stop": ""}"#), Err(Code::RequestInvalid));
        let many = |n: usize, len: usize| format!(r#"{{"stop": {:?}}}"#, vec!["y".repeat(len); n]);
        assert!(read(&many(STOP_MAX, STOP_LEN_MAX)).is_ok());
        assert!(read(&many(STOP_MAX + 1, 1)).is_err());
        assert!(read(&many(1, STOP_LEN_MAX + 1)).is_err());
    }

    #[test]
    fn sampling_is_the_requests_then_the_models_then_ours() {
        let model = ServedModel { temperature: 0.3, ..ServedModel::default() };
        let sampling = |text: &str| {
            let chosen =
                Chosen::read(&mut fields(text)).map_err(|refusal| refusal.message).expect("in range");
            chosen.sampling(&model, 99)
        };
        let ours = sampling("{}");
        assert_eq!((ours.temperature, ours.top_k, ours.seed), (0.3, TOP_K, 99));
        let asked = sampling(r#"{"temperature": 0, "top_p": 1, "top_k": -1, "seed": 5}"#);
        assert_eq!((asked.temperature, asked.top_p, asked.top_k, asked.seed), (0.0, 0.0, 0, 5));
        assert_eq!(sampling(r#"{"seed": -1}"#).seed, 99);
        assert!(Chosen::read(&mut fields(r#"{"temperature": -0.1}"#)).is_err());
    }

    #[test]
    fn token_bounds() {
        let read = |text: &str| max_tokens(&mut fields(text), "n").ok();
        assert_eq!(read(r#"{"n": 5}"#), Some(Some(5)));
        assert_eq!(read(r#"{"n": -1}"#), Some(Some(0)));
        assert_eq!(read(r#"{"n": 0}"#), None);
    }
}
