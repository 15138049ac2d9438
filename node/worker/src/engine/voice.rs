//! Reads an answer as it grows, and says what is new in it: text, thoughts, calls of tools.

use croft_domain::code::Code;
use serde_json::{Value, json};

use crate::engine::jinja::{Message, Reader};
use crate::engine::request::Refusal;

/// The reading of one answer.
#[derive(Debug)]
pub struct Voice {
    reader: Reader,
    declared: Vec<String>,
    request: u64,
    text: String,
    said: Message,
}

/// What is new.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Of the text that the user sees.
    pub text: String,
    /// Of the thoughts.
    pub reasoning: String,
    /// Of the calls: a JSON array as in OpenAI's stream, or empty.
    pub calls: String,
}

impl Voice {
    /// Reads with `reader`; only `declared` functions are called.
    #[must_use]
    pub fn new(reader: Reader, declared: Vec<String>, request: u64) -> Self {
        Self { reader, declared, request, text: String::new(), said: Message::default() }
    }

    /// Takes more of the answer. `last`: it is complete.
    ///
    /// # Errors
    /// A refusal if the complete answer has not the form that the template promises.
    pub fn hear(&mut self, more: &str, last: bool) -> Result<News, Refusal> {
        self.text.push_str(more);
        if more.is_empty() && !last {
            return Ok(News::default());
        }
        // What was cut off by a limit is read as far as it goes.
        let read = if last { self.reader.read(&self.text, false) } else { None };
        match read.or_else(|| self.reader.read(&self.text, true)) {
            Some(message) => Ok(self.news(message)),
            None if last => Err(Refusal {
                code: Code::RequestUnsupported,
                message: "the model's answer has not the form that its template describes",
            }),
            None => Ok(News::default()),
        }
    }

    /// Whether any function was called.
    #[must_use]
    pub fn called(&self) -> bool {
        !self.said.calls.is_empty()
    }

    /// What a message says beyond what was said. Something that contradicts it waits until it does no more.
    fn news(&mut self, mut message: Message) -> News {
        // A function that nobody declared is not called, whatever the model writes.
        message.calls.retain(|call| self.declared.contains(&call.name));
        let more = |said: &mut String, now: &str| match now.strip_prefix(said.as_str()) {
            Some(more) => {
                let more = more.to_owned();
                said.push_str(&more);
                more
            }
            None => String::new(),
        };
        let text = more(&mut self.said.content, &message.content);
        let reasoning = more(&mut self.said.reasoning, &message.reasoning);
        let mut deltas: Vec<Value> = Vec::new();
        for (index, call) in message.calls.into_iter().enumerate() {
            let Some(said) = self.said.calls.get_mut(index) else {
                deltas.push(json!({
                    "index": index,
                    "id": format!("call_{:016x}{index:02x}", self.request),
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }));
                self.said.calls.push(call);
                continue;
            };
            let arguments = more(&mut said.arguments, &call.arguments);
            if !arguments.is_empty() {
                deltas.push(json!({"index": index, "function": {"arguments": arguments}}));
            }
        }
        let calls = if deltas.is_empty() { String::new() } else { Value::from(deltas).to_string() };
        News { text, reasoning, calls }
    }
}
