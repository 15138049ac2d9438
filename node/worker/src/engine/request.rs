//! What a gateway may ask, checked field by field. The gateway faces the user; the worker distrusts it all the same.

use croft_domain::code::Code;
use croft_proto::frames::{Conversation, Generate, Sampling, generate};

use crate::limits::{MESSAGES_MAX, STOP_LEN_MAX, STOPS_MAX};

/// Why a request is not answered. The message is a constant: it cannot carry prompt text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The stable code.
    pub code: Code,
    /// What is wrong.
    pub message: &'static str,
}

impl Refusal {
    /// The field that the message names is wrong.
    #[must_use]
    pub fn invalid(message: &'static str) -> Self {
        Self { code: Code::RequestInvalid, message }
    }

    /// What is asked for is not there.
    #[must_use]
    pub fn unsupported(message: &'static str) -> Self {
        Self { code: Code::RequestUnsupported, message }
    }
}

/// A checked request.
#[derive(Clone, Debug)]
pub struct Request {
    /// The gateway's number for it.
    pub id: u64,
    /// What is to be continued.
    pub input: Input,
    /// How tokens are chosen.
    pub sampling: Settings,
    /// Most tokens of the answer; none means what fits.
    pub max_tokens: Option<u32>,
    /// Texts that end the answer, none of them empty.
    pub stop: Vec<String>,
    /// Never end by the model's own choice.
    pub ignore_eos: bool,
    /// Whose prefix cache it may use.
    pub cache_partition: u64,
}

/// What is to be continued.
#[derive(Clone, Debug)]
pub enum Input {
    /// Raw text.
    Text(String),
    /// A conversation, for the approved template.
    Chat(Vec<Turn>),
}

/// One message of a conversation.
#[derive(Clone, Debug)]
pub struct Turn {
    /// Who speaks.
    pub role: Role,
    /// What they say.
    pub content: String,
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

/// How tokens are chosen; every number finite and in its range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// 0 is greedy.
    pub temperature: f32,
    /// Mass of the candidates; none is off.
    pub top_p: Option<f32>,
    /// Number of candidates; none is off.
    pub top_k: Option<u32>,
    /// Least probability relative to the likeliest; none is off.
    pub min_p: Option<f32>,
    /// Seed; 0 means that any will do.
    pub seed: u64,
    /// Subtracted per earlier occurrence.
    pub frequency_penalty: f32,
    /// Subtracted once for a token that occurred.
    pub presence_penalty: f32,
    /// Divides the logits of tokens that occurred; 1 is off.
    pub repeat_penalty: f32,
}

impl Settings {
    /// Whether any penalty is on.
    #[must_use]
    pub fn penalizes(&self) -> bool {
        self.frequency_penalty != 0.0 || self.presence_penalty != 0.0 || self.repeat_penalty != 1.0
    }
}

impl TryFrom<Sampling> for Settings {
    type Error = Refusal;

    fn try_from(wire: Sampling) -> Result<Self, Refusal> {
        let Sampling {
            temperature,
            top_p,
            top_k,
            min_p,
            seed,
            frequency_penalty,
            presence_penalty,
            repeat_penalty,
        } = wire;
        let within = |value: f32, low: f32, high: f32, message| {
            // A NaN is within nothing.
            if (low..=high).contains(&value) { Ok(value) } else { Err(Refusal::invalid(message)) }
        };
        let top_p = within(top_p, 0.0, 1.0, "top_p is not between 0 and 1")?;
        let min_p = within(min_p, 0.0, 1.0, "min_p is not between 0 and 1")?;
        let repeat_penalty = within(repeat_penalty, 0.0, 10.0, "repeat_penalty is not between 0 and 10")?;
        Ok(Self {
            temperature: within(temperature, 0.0, 5.0, "temperature is not between 0 and 5")?,
            top_p: (top_p > 0.0 && top_p < 1.0).then_some(top_p),
            top_k: (top_k > 0).then_some(top_k),
            min_p: (min_p > 0.0).then_some(min_p),
            seed,
            frequency_penalty: within(
                frequency_penalty,
                -2.0,
                2.0,
                "frequency_penalty is not between -2 and 2",
            )?,
            presence_penalty: within(
                presence_penalty,
                -2.0,
                2.0,
                "presence_penalty is not between -2 and 2",
            )?,
            repeat_penalty: if repeat_penalty == 0.0 { 1.0 } else { repeat_penalty },
        })
    }
}

impl TryFrom<Generate> for Request {
    type Error = Refusal;

    fn try_from(wire: Generate) -> Result<Self, Refusal> {
        let plain = Generate {
            request: wire.request,
            input: None,
            sampling: None,
            max_tokens: wire.max_tokens,
            stop: Vec::new(),
            ignore_eos: wire.ignore_eos,
            cache_partition: wire.cache_partition,
            no_speculation: wire.no_speculation,
            ..Generate::default()
        };
        let Generate { request, input, sampling, max_tokens, stop, ignore_eos, cache_partition, .. } =
            wire.clone();
        if (Generate { input: None, sampling: None, stop: Vec::new(), ..wire }) != plain {
            return Err(Refusal::unsupported("this runtime does not support a field of the request yet"));
        }
        if stop.len() > STOPS_MAX {
            return Err(Refusal::invalid("stop has more than 16 strings"));
        }
        if stop.iter().any(|text| text.is_empty() || text.len() > STOP_LEN_MAX) {
            return Err(Refusal::invalid("stop has a string that is empty or longer than 256 bytes"));
        }
        let input = match input {
            Some(generate::Input::Prompt(text)) => Input::Text(text),
            Some(generate::Input::Chat(conversation)) => Input::Chat(turns(conversation)?),
            Some(generate::Input::Infill(_)) => {
                return Err(Refusal::unsupported("this runtime fills nothing in yet"));
            }
            None => return Err(Refusal::invalid("neither prompt nor messages")),
        };
        Ok(Self {
            id: request,
            input,
            sampling: sampling.unwrap_or_default().try_into()?,
            max_tokens: (max_tokens > 0).then_some(max_tokens),
            stop,
            ignore_eos,
            cache_partition,
        })
    }
}

fn turns(wire: Conversation) -> Result<Vec<Turn>, Refusal> {
    let Conversation { messages } = wire;
    if messages.is_empty() {
        return Err(Refusal::invalid("messages is empty"));
    }
    if messages.len() > MESSAGES_MAX {
        return Err(Refusal::invalid("messages has more than 2048 entries"));
    }
    messages.into_iter().map(|m| Ok(Turn { role: Role::parse(&m.role)?, content: m.content })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use croft_proto::frames::ChatMessage;

    fn sampling(change: impl FnOnce(&mut Sampling)) -> Result<Settings, Refusal> {
        let mut wire = Sampling::default();
        change(&mut wire);
        wire.try_into()
    }

    #[test]
    fn zeros_are_greedy_with_everything_off() {
        let settings = sampling(|_| {}).expect("valid");
        assert_eq!((settings.top_p, settings.top_k, settings.min_p), (None, None, None));
        assert!(!settings.penalizes());
    }

    #[test]
    fn numbers_that_are_none_or_out_of_range_are_refused() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -3.0, 11.0] {
            for refused in [
                sampling(|s| s.temperature = bad),
                sampling(|s| s.top_p = bad),
                sampling(|s| s.min_p = bad),
                sampling(|s| s.frequency_penalty = bad),
                sampling(|s| s.presence_penalty = bad),
                sampling(|s| s.repeat_penalty = bad),
            ] {
                assert_eq!(refused.map_err(|r| r.code), Err(Code::RequestInvalid), "{bad}");
            }
        }
    }

    #[test]
    fn texts_and_counts_are_bounded() {
        let ask = |change: &dyn Fn(&mut Generate)| {
            let mut wire =
                Generate { input: Some(generate::Input::Prompt("x".into())), ..Generate::default() };
            change(&mut wire);
            Request::try_from(wire).map(|_| ()).map_err(|r| r.code)
        };
        let chat = |role: &str, count: usize| {
            let message = ChatMessage { role: role.into(), ..ChatMessage::default() };
            Some(generate::Input::Chat(Conversation { messages: vec![message; count] }))
        };
        assert_eq!(ask(&|g| g.stop = vec!["s".repeat(STOP_LEN_MAX); STOPS_MAX]), Ok(()));
        assert_eq!(ask(&|g| g.stop = vec!["s".into(); STOPS_MAX + 1]), Err(Code::RequestInvalid));
        assert_eq!(ask(&|g| g.stop = vec!["s".repeat(STOP_LEN_MAX + 1)]), Err(Code::RequestInvalid));
        assert_eq!(ask(&|g| g.stop = vec![String::new()]), Err(Code::RequestInvalid));
        assert_eq!(ask(&|g| g.input = None), Err(Code::RequestInvalid));
        assert_eq!(ask(&|g| g.input = chat("user", MESSAGES_MAX)), Ok(()));
        assert_eq!(ask(&|g| g.input = chat("user", MESSAGES_MAX + 1)), Err(Code::RequestInvalid));
        assert_eq!(ask(&|g| g.input = chat("user", 0)), Err(Code::RequestInvalid));
        assert_eq!(ask(&|g| g.input = chat("<|im_end|>", 1)), Err(Code::RequestInvalid));
    }
}
