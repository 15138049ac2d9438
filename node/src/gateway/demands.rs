//! What a request demands of an answer beyond text: tools it may call, a format it must keep, probabilities to tell.
//! Checked here for shape and size; the worker, which renders and enforces it, checks again.

use croft_domain::code::Code;
use croft_proto::frames::{Generate, LogitBias, generate::Format};
use serde_json::{Value, json};

use super::errors::Refusal;
use super::fields::{Fields, unsupported};
use super::limits::{FORMAT_LEN_MAX, LOGIT_BIAS_MAX, TOOLS_LEN_MAX, TOP_LOGPROBS_MAX};

/// What is demanded. Deliberately no `Debug`: descriptions of tools are a user's text.
#[derive(Default)]
pub struct Demands {
    /// The JSON array of tools; empty: none.
    pub tools_json: String,
    tool_choice: String,
    parallel_tool_calls: bool,
    format: Option<Format>,
    logprobs: Option<u32>,
    logit_bias: Vec<LogitBias>,
    context_shift: bool,
}

impl Demands {
    /// Of `/v1/chat/completions`.
    ///
    /// # Errors
    /// [`Code::RequestInvalid`] and [`Code::RequestUnsupported`], naming the field.
    pub fn of_chat(fields: &mut Fields) -> Result<Self, Refusal> {
        let mut demands = Self::of_text(fields)?;
        demands.take_tools(fields)?;
        if let Some(mut format) = fields.object("response_format")? {
            demands.format = response_format(&mut format)?;
        }
        let count = fields.integer("top_logprobs", 0..=i64::from(TOP_LOGPROBS_MAX))?.unwrap_or(0);
        if fields.flag("logprobs")?.unwrap_or(false) {
            demands.logprobs = u32::try_from(count).ok();
        }
        demands.check()
    }

    /// Of `/v1/completions`, where `logprobs` is a number.
    ///
    /// # Errors
    /// As [`Self::of_chat`].
    pub fn of_completion(fields: &mut Fields) -> Result<Self, Refusal> {
        let mut demands = Self::of_text(fields)?;
        let count = fields.integer("logprobs", 0..=i64::from(TOP_LOGPROBS_MAX))?;
        demands.logprobs = count.and_then(|count| u32::try_from(count).ok());
        demands.check()
    }

    /// Of `/api/chat` and `/api/generate`.
    ///
    /// # Errors
    /// As [`Self::of_chat`].
    pub fn of_ollama(fields: &mut Fields) -> Result<Self, Refusal> {
        let mut demands = Self::default();
        demands.take_tools(fields)?;
        demands.format = match fields.take("format") {
            None => None,
            Some(Value::String(name)) if name.is_empty() => None,
            Some(Value::String(name)) if name == "json" => Some(Format::JsonObject(true)),
            Some(Value::Object(schema)) => Some(schema_format(&Value::Object(schema), "format")?),
            Some(_) => return Err(fields.invalid("format", "\"json\" or a JSON schema")),
        };
        demands.check()
    }

    fn of_text(fields: &mut Fields) -> Result<Self, Refusal> {
        let format =
            match (fields.text("grammar")?.filter(|text| !text.is_empty()), fields.take("json_schema")) {
                (Some(_), Some(_)) => return Err(unsupported("grammar together with json_schema")),
                (Some(grammar), None) if grammar.len() > FORMAT_LEN_MAX => {
                    return Err(fields.invalid("grammar", &format!("at most {FORMAT_LEN_MAX} bytes")));
                }
                (Some(grammar), None) => Some(Format::Grammar(grammar)),
                (None, Some(schema)) => Some(schema_format(&schema, "json_schema")?),
                (None, None) => None,
            };
        let logit_bias = logit_bias(fields)?;
        let context_shift = fields.flag("context_shift")?.unwrap_or(false);
        Ok(Self { format, logit_bias, context_shift, ..Self::default() })
    }

    fn take_tools(&mut self, fields: &mut Fields) -> Result<(), Refusal> {
        let tools = match fields.take("tools") {
            None => Vec::new(),
            Some(Value::Array(tools)) => tools,
            Some(_) => return Err(fields.invalid("tools", "a list")),
        };
        let names: Option<Vec<String>> = tools.iter().map(function_name).collect();
        let Some(names) = names else {
            return Err(fields.invalid("tools", "a list of functions, each with a name"));
        };
        self.tool_choice = tool_choice(fields, &names)?;
        let parallel = fields.flag("parallel_tool_calls")?;
        if names.is_empty() {
            return Ok(());
        }
        self.parallel_tool_calls = parallel.unwrap_or(true);
        self.tools_json = Value::Array(tools).to_string();
        if self.tools_json.len() > TOOLS_LEN_MAX {
            return Err(fields.invalid("tools", &format!("at most {TOOLS_LEN_MAX} bytes")));
        }
        Ok(())
    }

    fn check(self) -> Result<Self, Refusal> {
        let may_call = !self.tools_json.is_empty() && self.tool_choice != "none";
        if may_call && self.format.is_some() {
            return Err(unsupported("response_format together with tools"));
        }
        Ok(self)
    }

    /// Puts it into the worker's frame.
    #[must_use]
    pub fn demand(self, generate: Generate) -> Generate {
        Generate {
            tools_json: self.tools_json,
            tool_choice: self.tool_choice,
            parallel_tool_calls: self.parallel_tool_calls,
            format: self.format,
            logprobs: self.logprobs.is_some(),
            top_logprobs: self.logprobs.unwrap_or(0),
            logit_bias: self.logit_bias,
            context_shift: self.context_shift,
            ..generate
        }
    }
}

fn function_name(tool: &Value) -> Option<String> {
    let is_function = tool["type"].as_str().is_none_or(|kind| kind == "function");
    tool["function"]["name"].as_str().filter(|name| is_function && !name.is_empty()).map(str::to_owned)
}

fn tool_choice(fields: &mut Fields, names: &[String]) -> Result<String, Refusal> {
    let choice = match fields.take("tool_choice") {
        None => return Ok(String::new()),
        Some(Value::String(choice)) if matches!(choice.as_str(), "auto" | "none" | "required") => choice,
        Some(named @ Value::Object(_)) => function_name(&named)
            .filter(|name| names.contains(name))
            .ok_or_else(|| fields.invalid("tool_choice", "the name of a declared function"))?,
        Some(_) => return Err(fields.invalid("tool_choice", "auto, none, required or a function")),
    };
    match (names.is_empty(), choice.as_str()) {
        (true, "auto" | "none") => Ok(String::new()),
        (true, _) => Err(fields.invalid("tool_choice", "auto or none where there are no tools")),
        (false, _) => Ok(choice),
    }
}

fn response_format(format: &mut Fields) -> Result<Option<Format>, Refusal> {
    match format.needed_text("type")?.as_str() {
        "text" => Ok(None),
        "json_object" => Ok(Some(Format::JsonObject(true))),
        "json_schema" => {
            let Some(mut named) = format.object("json_schema")? else {
                return Err(format.invalid("json_schema", "given, as an object"));
            };
            let schema = named.take("schema").unwrap_or_else(|| json!({}));
            schema_format(&schema, "response_format.json_schema.schema").map(Some)
        }
        _ => Err(unsupported("response_format of another type than text, json_object or json_schema")),
    }
}

fn schema_format(schema: &Value, field: &str) -> Result<Format, Refusal> {
    let text = schema.to_string();
    if !schema.is_object() || text.len() > FORMAT_LEN_MAX {
        let message = format!("{field} must be an object of at most {FORMAT_LEN_MAX} bytes");
        return Err(Refusal::new(Code::RequestInvalid, message).about(field));
    }
    Ok(Format::JsonSchema(text))
}

fn logit_bias(fields: &mut Fields) -> Result<Vec<LogitBias>, Refusal> {
    let expected = "an object of up to 1024 token numbers, each with a number from -100 to 100";
    let map = match fields.take("logit_bias") {
        None => return Ok(Vec::new()),
        Some(Value::Object(map)) if map.len() <= LOGIT_BIAS_MAX => map,
        Some(_) => return Err(fields.invalid("logit_bias", expected)),
    };
    let biases: Option<Vec<LogitBias>> = map
        .iter()
        .map(|(token, bias)| {
            #[allow(clippy::cast_possible_truncation)]
            let bias = bias.as_f64().filter(|bias| (-100.0..=100.0).contains(bias))? as f32;
            Some(LogitBias { token: token.parse().ok()?, bias })
        })
        .collect();
    biases.ok_or_else(|| fields.invalid("logit_bias", expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(body: &Value) -> Result<Generate, String> {
        let mut fields = Fields::parse(body.to_string().as_bytes()).map_err(|refusal| refusal.message)?;
        let demands = Demands::of_chat(&mut fields).map_err(|refusal| refusal.message)?;
        Ok(demands.demand(Generate::default()))
    }

    #[test]
    fn tools_and_choices_reach_the_worker() {
        let tool = json!({"type": "function", "function": {"name": "look", "parameters": {}}});
        let asked = chat(&json!({"tools": [tool], "tool_choice": "required"})).expect("well formed");
        assert_eq!((asked.tool_choice.as_str(), asked.parallel_tool_calls), ("required", true));
        assert!(asked.tools_json.starts_with('[') && asked.tools_json.contains("look"));
        let named = json!({"type": "function", "function": {"name": "look"}});
        assert_eq!(
            chat(&json!({"tools": [tool], "tool_choice": named})).map(|g| g.tool_choice),
            Ok("look".into())
        );
        let plain = chat(&json!({"tools": [], "tool_choice": "auto", "parallel_tool_calls": true}));
        assert_eq!(plain, Ok(Generate::default()));
        for (body, field) in [
            (json!({"tools": [{"type": "web_search"}]}), "tools"),
            (json!({"tool_choice": "required"}), "tool_choice"),
            (
                json!({"tools": [tool], "tool_choice": {"type": "function", "function": {"name": "x"}}}),
                "tool_choice",
            ),
            (json!({"tools": [tool], "response_format": {"type": "json_object"}}), "response_format"),
        ] {
            assert!(chat(&body).expect_err(field).starts_with(field));
        }
    }

    #[test]
    fn formats_reach_the_worker() {
        let format = |value: Value| chat(&json!({"response_format": value})).map(|asked| asked.format);
        assert_eq!(format(json!({"type": "text"})), Ok(None));
        assert_eq!(format(json!({"type": "json_object"})), Ok(Some(Format::JsonObject(true))));
        let schema =
            json!({"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}});
        assert_eq!(format(schema), Ok(Some(Format::JsonSchema(r#"{"type":"object"}"#.into()))));
        assert!(format(json!({"type": "xml"})).is_err());
        assert!(format(json!({"type": "json_schema"})).is_err());
        let long =
            json!({"type": "json_schema", "json_schema": {"schema": {"x": "y".repeat(FORMAT_LEN_MAX)}}});
        assert!(format(long).is_err());
    }

    #[test]
    fn probabilities_and_biases_are_bounded() {
        let asked = chat(&json!({"logprobs": true, "top_logprobs": 3, "logit_bias": {"5": -100}}))
            .expect("in bounds");
        assert_eq!((asked.logprobs, asked.top_logprobs), (true, 3));
        assert_eq!(asked.logit_bias, [LogitBias { token: 5, bias: -100.0 }]);
        assert!(chat(&json!({"logprobs": true, "top_logprobs": 21})).is_err());
        assert!(chat(&json!({"logit_bias": {"x": 1}})).is_err());
        assert!(chat(&json!({"logit_bias": {"1": 101}})).is_err());
    }
}
