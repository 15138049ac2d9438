//! A conversation as a gateway sends it, with tools: checked, and as the JSON that templates are rendered from.

use croft_proto::frames::{ChatMessage, Conversation};
use serde_json::{Value, json};

use crate::engine::grammar;
use crate::engine::request::Refusal;
use crate::limits::{MESSAGES_MAX, TOOLS_LEN_MAX, TOOLS_MAX};

/// A conversation that the model goes on with.
#[derive(Clone, Debug, Default)]
pub struct Talk {
    /// What was said.
    pub turns: Vec<Turn>,
    /// Functions that the model may call: OpenAI's array.
    pub tools: Vec<Value>,
    /// Whether it may, or must.
    pub choice: Choice,
    /// Whether it may call several at once.
    pub parallel: bool,
}

/// One message of a conversation.
#[derive(Clone, Debug)]
pub struct Turn {
    /// Who speaks.
    pub role: Role,
    /// What they say.
    pub content: String,
    /// Calls that the model made in this turn: OpenAI's array.
    pub calls: Vec<Value>,
    /// The call that a tool answers.
    pub call_id: String,
    /// The tool's name.
    pub name: String,
}

/// Who speaks. A closed set: a role's name is written into the template's literal part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Instructions.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// A tool's result.
    Tool,
}

/// Whether tools are called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// As the model likes.
    #[default]
    Auto,
    /// Not at all.
    None,
    /// At least one.
    Required,
}

impl Role {
    /// The name that templates know.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }

    fn parse(text: &str) -> Result<Self, Refusal> {
        match text {
            "system" | "developer" => Ok(Self::System),
            "user" => Ok(Self::User),
            "assistant" => Ok(Self::Assistant),
            "tool" => Ok(Self::Tool),
            _ => Err(Refusal::invalid("messages.role is none of system, user, assistant, tool")),
        }
    }
}

impl Talk {
    /// Checks a conversation and its tools.
    ///
    /// # Errors
    /// A refusal that names the field.
    pub fn parse(wire: Conversation, tools: &str, choice: &str, parallel: bool) -> Result<Self, Refusal> {
        let Conversation { messages } = wire;
        if messages.is_empty() {
            return Err(Refusal::invalid("messages is empty"));
        }
        if messages.len() > MESSAGES_MAX {
            return Err(Refusal::invalid("messages has more than 2048 entries"));
        }
        let turns = messages.into_iter().map(turn).collect::<Result<Vec<_>, _>>()?;
        let mut tools = declared(tools)?;
        let choice = match choice {
            "" | "auto" => Choice::Auto,
            "none" => Choice::None,
            "required" => Choice::Required,
            name => {
                tools.retain(|tool| tool["function"]["name"] == name);
                Choice::Required
            }
        };
        if tools.is_empty() && choice == Choice::Required {
            return Err(Refusal::invalid("tool_choice asks for a function that tools does not declare"));
        }
        Ok(Self { turns, tools, choice, parallel })
    }

    /// Whether the answer can be a call.
    #[must_use]
    pub fn callable(&self) -> bool {
        !self.tools.is_empty() && self.choice != Choice::None
    }

    /// Names of the declared functions.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let name = |tool: &Value| tool["function"]["name"].as_str().map(str::to_owned);
        self.tools.iter().filter_map(name).collect()
    }

    /// The request for the template's renderer. Every text that a caller wrote goes through `text`, which hears
    /// whether it is a message's content, and of which message.
    pub fn request(&self, plain: bool, text: &mut dyn FnMut(Option<usize>, &str) -> String) -> Value {
        let mut messages = Vec::with_capacity(self.turns.len());
        for (index, turn) in self.turns.iter().enumerate() {
            let mut message =
                json!({"role": turn.role.as_str(), "content": text(Some(index), &turn.content)});
            if !turn.calls.is_empty() {
                let calls: Vec<Value> =
                    turn.calls.iter().map(|call| map(call, &mut |part| text(None, part))).collect();
                message["tool_calls"] = calls.into();
            }
            for (key, value) in [("tool_call_id", &turn.call_id), ("name", &turn.name)] {
                if !value.is_empty() {
                    message[key] = text(None, value).into();
                }
            }
            messages.push(message);
        }
        let mut request = json!({"messages": messages, "plain": plain, "parallel": self.parallel});
        if !self.tools.is_empty() {
            let tools: Vec<Value> =
                self.tools.iter().map(|tool| map(tool, &mut |part| text(None, part))).collect();
            request["tools"] = tools.into();
            request["tool_choice"] = match self.choice {
                Choice::Auto => "auto",
                Choice::None => "none",
                Choice::Required => "required",
            }
            .into();
        }
        request
    }
}

/// Every text in a JSON value, keys too, put through `change`.
fn map(value: &Value, change: &mut dyn FnMut(&str) -> String) -> Value {
    match value {
        Value::String(text) => change(text).into(),
        Value::Array(values) => values.iter().map(|value| map(value, change)).collect(),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(key, value)| (change(key), map(value, change)));
            Value::Object(fields.collect())
        }
        other => other.clone(),
    }
}

fn turn(wire: ChatMessage) -> Result<Turn, Refusal> {
    let ChatMessage { role, content, tool_calls_json, tool_call_id, name } = wire;
    let role = Role::parse(&role)?;
    let calls = if tool_calls_json.is_empty() { Vec::new() } else { calls(&tool_calls_json)? };
    if !calls.is_empty() && role != Role::Assistant {
        return Err(Refusal::invalid("messages.tool_calls belongs to assistant messages"));
    }
    Ok(Turn { role, content, calls, call_id: tool_call_id, name })
}

fn calls(text: &str) -> Result<Vec<Value>, Refusal> {
    let refused = Refusal::invalid("messages.tool_calls is not an array of function calls");
    if text.len() > TOOLS_LEN_MAX {
        return Err(refused);
    }
    let Ok(Value::Array(calls)) = serde_json::from_str(text) else { return Err(refused) };
    let function = |call: &Value| {
        let name = call["function"]["name"].as_str()?;
        // Most templates want the arguments as an object; the renderer makes one of the text.
        let arguments = match &call["function"]["arguments"] {
            Value::String(text) => text.clone(),
            Value::Null => "{}".to_owned(),
            other => other.to_string(),
        };
        serde_json::from_str::<Value>(&arguments).ok()?;
        let mut out = json!({"type": "function", "function": {"name": name, "arguments": arguments}});
        if let Some(id) = call["id"].as_str() {
            out["id"] = id.into();
        }
        Some(out)
    };
    if calls.len() > TOOLS_MAX {
        return Err(refused);
    }
    calls.iter().map(function).collect::<Option<_>>().ok_or(refused)
}

fn declared(text: &str) -> Result<Vec<Value>, Refusal> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    if text.len() > TOOLS_LEN_MAX {
        return Err(Refusal::invalid("tools is longer than 256 KiB"));
    }
    let refused = Refusal::invalid(
        "tools is not an array of at most 128 functions with distinct names, and schemas that can be followed",
    );
    let Ok(Value::Array(tools)) = serde_json::from_str(text) else { return Err(refused) };
    let mut names = std::collections::BTreeSet::new();
    let fits = tools.len() <= TOOLS_MAX
        && tools.iter().all(|tool| {
            let function = &tool["function"];
            let name = function["name"].as_str().unwrap_or_default();
            let parameters = &function["parameters"];
            tool["type"] == "function"
                && is_name(name)
                && names.insert(name.to_owned())
                && (parameters.is_null() || (parameters.is_object() && grammar::schema_fits(parameters)))
                && (function["description"].is_null() || function["description"].is_string())
        });
    if !fits {
        return Err(refused);
    }
    let known = |tool: Value| {
        let function = &tool["function"];
        let mut out = json!({"name": function["name"]});
        for key in ["description", "parameters"] {
            if !function[key].is_null() {
                out[key] = function[key].clone();
            }
        }
        json!({"type": "function", "function": out})
    };
    Ok(tools.into_iter().map(known).collect())
}

/// OpenAI's own rule; also, names go into grammars.
fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOLS: &str = r#"[{"type":"function","function":{"name":"find","description":"d","strict":true,
        "parameters":{"type":"object","properties":{"x":{"type":"string"}}}}}]"#;

    fn talk(tools: &str, choice: &str) -> Result<Talk, Refusal> {
        let message = ChatMessage { role: "user".into(), content: "hi".into(), ..ChatMessage::default() };
        Talk::parse(Conversation { messages: vec![message] }, tools, choice, false)
    }

    #[test]
    fn tools_are_checked() {
        assert_eq!(talk(TOOLS, "").expect("fits").names(), ["find"]);
        assert_eq!(talk(TOOLS, "find").expect("fits").choice, Choice::Required);
        assert!(!talk(TOOLS, "none").expect("fits").callable());
        assert!(talk(TOOLS, "other").is_err());
        assert!(talk("", "required").is_err());
        for bad in ["{}", "[1]", r#"[{"type":"function","function":{"name":"a b"}}]"#, "[[[["] {
            assert!(talk(bad, "").is_err(), "{bad}");
        }
        assert!(
            talk(&format!("[{}]", [r#"{"type":"function","function":{"name":"a"}}"#; 2].join(",")), "")
                .is_err()
        );
    }

    #[test]
    fn every_text_of_a_caller_is_seen() {
        let calls =
            r#"[{"id":"1","type":"function","function":{"name":"find","arguments":"{\"x\":\"y\"}"}}]"#;
        let mut one = talk(TOOLS, "").expect("fits");
        one.turns[0].calls = super::calls(calls).expect("fits");
        let mut seen = Vec::new();
        let request = one.request(false, &mut |content, text| {
            seen.push((content, text.to_owned()));
            text.to_uppercase()
        });
        assert!(seen.contains(&(Some(0), "hi".into())) && seen.contains(&(None, "d".into())), "{seen:?}");
        assert_eq!(request["messages"][0]["content"], "HI");
        assert_eq!(request["messages"][0]["tool_calls"][0]["FUNCTION"]["NAME"], "FIND");
    }
}
