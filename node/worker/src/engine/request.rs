//! What a gateway may ask, checked field by field. The gateway faces the user; the worker distrusts it all the same.

use croft_domain::code::Code;
use croft_proto::frames::{Generate, Infill, LogitBias, Sampling, generate};

use crate::engine::grammar;
use crate::engine::talk::Talk;
use crate::limits::{BIASES_MAX, FORMAT_LEN_MAX, STOP_LEN_MAX, STOPS_MAX, TOP_LOGPROBS_MAX};

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
    pub const fn invalid(message: &'static str) -> Self {
        Self { code: Code::RequestInvalid, message }
    }

    /// What is asked for is not there.
    #[must_use]
    pub const fn unsupported(message: &'static str) -> Self {
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
    /// GBNF of the answer.
    pub grammar: Option<String>,
    /// How many alternatives of each token are to be told; none: no probabilities at all.
    pub logprobs: Option<usize>,
    /// Added to the logits of these tokens.
    pub biases: Vec<(i32, f32)>,
    /// A full context drops its older half.
    pub context_shift: bool,
    /// Whether tokens may be guessed ahead.
    pub speculation: bool,
}

/// What is to be continued.
#[derive(Clone, Debug)]
pub enum Input {
    /// Raw text.
    Text(String),
    /// A conversation, for the approved template.
    Chat(Talk),
    /// Two texts with a gap between them.
    Infill {
        /// Before the gap.
        prefix: String,
        /// After it.
        suffix: String,
    },
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
        let Generate {
            request,
            input,
            sampling,
            max_tokens,
            stop,
            ignore_eos,
            cache_partition,
            tools_json,
            tool_choice,
            parallel_tool_calls,
            format,
            logprobs,
            top_logprobs,
            logit_bias,
            context_shift,
            no_speculation,
        } = wire;
        if stop.len() > STOPS_MAX {
            return Err(Refusal::invalid("stop has more than 16 strings"));
        }
        if stop.iter().any(|text| text.is_empty() || text.len() > STOP_LEN_MAX) {
            return Err(Refusal::invalid("stop has a string that is empty or longer than 256 bytes"));
        }
        let is_chat = matches!(input, Some(generate::Input::Chat(_)));
        let tools_asked = !tools_json.is_empty() || !tool_choice.is_empty();
        if tools_asked && !is_chat {
            return Err(Refusal::unsupported("tools need messages, not a plain prompt"));
        }
        let input = match input {
            Some(generate::Input::Prompt(text)) => Input::Text(text),
            Some(generate::Input::Chat(wire)) => {
                Input::Chat(Talk::parse(wire, &tools_json, &tool_choice, parallel_tool_calls)?)
            }
            Some(generate::Input::Infill(Infill { prefix, suffix })) => Input::Infill { prefix, suffix },
            None => return Err(Refusal::invalid("neither prompt nor messages")),
        };
        let grammar = format_grammar(format)?;
        let callable = matches!(&input, Input::Chat(talk) if talk.callable());
        if grammar.is_some() && callable {
            return Err(Refusal::unsupported("response_format cannot be had together with tools"));
        }
        if ignore_eos && (grammar.is_some() || callable) {
            return Err(Refusal::unsupported("ignore_eos cannot be had together with a format or tools"));
        }
        Ok(Self {
            id: request,
            input,
            sampling: sampling.unwrap_or_default().try_into()?,
            max_tokens: (max_tokens > 0).then_some(max_tokens),
            stop,
            ignore_eos,
            cache_partition,
            grammar,
            logprobs: logprobs.then_some(top_logprobs).map(alternatives).transpose()?,
            biases: biases(&logit_bias)?,
            context_shift,
            speculation: !no_speculation,
        })
    }
}

fn alternatives(count: u32) -> Result<usize, Refusal> {
    let fits = usize::try_from(count).ok().filter(|count| *count <= TOP_LOGPROBS_MAX);
    fits.ok_or(Refusal::invalid("top_logprobs is more than 20"))
}

fn biases(wire: &[LogitBias]) -> Result<Vec<(i32, f32)>, Refusal> {
    if wire.len() > BIASES_MAX {
        return Err(Refusal::invalid("logit_bias has more than 1024 entries"));
    }
    let refused = Refusal::invalid("logit_bias is not between -100 and 100, of tokens that the model has");
    let bias = |LogitBias { token, bias }: &LogitBias| {
        let bias = if *bias <= -100.0 { f32::NEG_INFINITY } else { *bias };
        let token = i32::try_from(*token).ok()?;
        (bias <= 100.0).then_some((token, bias))
    };
    wire.iter().map(bias).collect::<Option<_>>().ok_or(refused)
}

const ENDLESS_GRAMMAR: Refusal =
    Refusal::invalid("grammar has too many parts that may be left out in a row, or repeats too much");
const ENDLESS_SCHEMA: Refusal = Refusal::invalid(
    "json_schema is too deep, has more than 512 properties, or a pattern that repeats too much",
);

/// The grammar of an answer's format.
fn format_grammar(format: Option<generate::Format>) -> Result<Option<String>, Refusal> {
    let schema = match format {
        None | Some(generate::Format::JsonObject(false)) => return Ok(None),
        Some(generate::Format::JsonObject(true)) => r#"{"type":"object"}"#.to_owned(),
        Some(generate::Format::JsonSchema(schema)) => schema,
        Some(generate::Format::Grammar(text)) if text.len() > FORMAT_LEN_MAX => {
            return Err(Refusal::invalid("grammar is longer than 64 KiB"));
        }
        Some(generate::Format::Grammar(text)) if !grammar::fits(&text) => return Err(ENDLESS_GRAMMAR),
        Some(generate::Format::Grammar(text)) => return Ok(Some(text)),
    };
    let refused = Refusal::invalid("json_schema is not a schema of at most 64 KiB that this runtime knows");
    if schema.len() > FORMAT_LEN_MAX {
        return Err(refused);
    }
    // Read here first: it bounds how deep the conversion recurses.
    let parsed: serde_json::Value = serde_json::from_str(&schema).map_err(|_| refused)?;
    if !parsed.is_object() {
        return Err(refused);
    }
    if !grammar::schema_fits(&parsed) {
        return Err(ENDLESS_SCHEMA);
    }
    llama_cpp_2::json_schema_to_grammar(&parsed.to_string()).map(Some).map_err(|_| refused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MESSAGES_MAX;
    use croft_proto::frames::{ChatMessage, Conversation};

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
