//! The engine as every review sets it up: what chat templates expect of Hugging Face's renderer, and no more.

use std::io::{self, Write};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior};

use crate::limits::{EXCERPT_CHARS_MAX, TEMPLATE_FUEL, TEMPLATE_OUTPUT_MAX};
use crate::report::excerpt;

/// How a template ended.
pub(super) enum Outcome {
    Text(String),
    /// The template itself said that it does not take this conversation.
    Raised,
    Failed(String),
}

pub(super) fn syntax() -> SyntaxConfig {
    let mut builder = SyntaxConfig::builder();
    builder.trim_blocks(true).lstrip_blocks(true);
    builder.build().unwrap_or_default()
}

/// Renders with the date that the template will be told.
pub(super) fn render(source: &str, context: Value, date: &'static str) -> Outcome {
    let mut environment = Environment::new();
    environment.set_syntax(syntax());
    environment.set_fuel(Some(TEMPLATE_FUEL));
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.set_unknown_method_callback(method);
    environment.add_function("raise_exception", |message: String| -> Result<String, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message).with_source(Raised))
    });
    environment.add_function("strftime_now", move |_format: String| date);
    let template = match environment.template_from_str(source) {
        Ok(template) => template,
        Err(error) => return Outcome::Failed(shown(&error)),
    };
    let mut output = Capped(Vec::new());
    match template.render_captured_to(context, &mut output) {
        Ok(_) => String::from_utf8(output.0).map_or_else(|e| Outcome::Failed(e.to_string()), Outcome::Text),
        Err(error)
            if std::error::Error::source(&error).is_some_and(<dyn std::error::Error>::is::<Raised>) =>
        {
            Outcome::Raised
        }
        Err(error) => Outcome::Failed(shown(&error)),
    }
}

/// An error of the engine for a message: one line, escaped and cut.
pub(super) fn shown(error: &Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    let cut: String = line.chars().take(EXCERPT_CHARS_MAX * 2).collect();
    let mut parts = Vec::new();
    for part in cut.as_bytes().chunks(EXCERPT_CHARS_MAX) {
        parts.push(excerpt(part));
    }
    parts.concat()
}

/// Marks a refusal that the template itself raised.
#[derive(Debug, thiserror::Error)]
#[error("raised by the template")]
struct Raised;

/// A writer that ends the rendering once it is too long.
struct Capped(Vec<u8>);

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > TEMPLATE_OUTPUT_MAX {
            return Err(io::Error::other("the rendering is longer than 1 MiB"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Python's methods of texts and mappings that templates call.
pub(super) const METHODS: &[&str] = &[
    "strip",
    "lstrip",
    "rstrip",
    "split",
    "startswith",
    "endswith",
    "lower",
    "upper",
    "capitalize",
    "title",
    "replace",
    "items",
    "keys",
    "values",
    "get",
];

fn method(_state: &mut State, value: &Value, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    let unknown = || Error::new(ErrorKind::UnknownMethod, name.to_owned());
    if let Some(text) = value.as_str() {
        return text_method(text, name, arguments).ok_or_else(unknown);
    }
    let keys = || -> Result<Vec<Value>, Error> { Ok(value.try_iter()?.collect()) };
    match (name, arguments) {
        ("keys", []) => Ok(Value::from(keys()?)),
        ("values", []) => {
            keys()?.iter().map(|key| value.get_item(key)).collect::<Result<Vec<_>, _>>().map(Value::from)
        }
        ("items", []) => keys()?
            .into_iter()
            .map(|key| value.get_item(&key).map(|item| Value::from(vec![key, item])))
            .collect::<Result<Vec<_>, _>>()
            .map(Value::from),
        ("get", [key]) => value.get_item(key),
        ("get", [key, default]) => {
            value.get_item(key).map(|found| if found.is_undefined() { default.clone() } else { found })
        }
        _ => Err(unknown()),
    }
}

fn text_method(text: &str, name: &str, arguments: &[Value]) -> Option<Value> {
    let argument = |index: usize| arguments.get(index).and_then(|value| value.as_str());
    // Without an argument Python strips whitespace, else any of the given characters.
    let is_stripped = |c: char| match argument(0) {
        Some(characters) => characters.contains(c),
        None => c.is_whitespace(),
    };
    Some(match (name, arguments.len()) {
        ("strip", 0 | 1) => Value::from(text.trim_matches(is_stripped)),
        ("lstrip", 0 | 1) => Value::from(text.trim_start_matches(is_stripped)),
        ("rstrip", 0 | 1) => Value::from(text.trim_end_matches(is_stripped)),
        ("split", 0) => Value::from(text.split_whitespace().map(Value::from).collect::<Vec<_>>()),
        ("split", 1) => Value::from(separated(text, argument(0)?, usize::MAX)),
        ("split", 2) => {
            let most = arguments.get(1)?.as_i64().and_then(|most| usize::try_from(most).ok());
            Value::from(separated(text, argument(0)?, most.map_or(usize::MAX, |most| most.saturating_add(1))))
        }
        ("startswith", 1) => Value::from(text.starts_with(argument(0)?)),
        ("endswith", 1) => Value::from(text.ends_with(argument(0)?)),
        ("lower", 0) => Value::from(text.to_lowercase()),
        ("upper", 0) => Value::from(text.to_uppercase()),
        ("capitalize" | "title", 0) => {
            let mut rest = text.chars();
            let first = rest.next().map(|c| c.to_uppercase().collect::<String>()).unwrap_or_default();
            Value::from(first + &rest.as_str().to_lowercase())
        }
        ("replace", 2) if !argument(0)?.is_empty() => Value::from(text.replace(argument(0)?, argument(1)?)),
        _ => return None,
    })
}

fn separated(text: &str, separator: &str, most: usize) -> Vec<Value> {
    if separator.is_empty() {
        return vec![Value::from(text)];
    }
    text.splitn(most, separator).map(Value::from).collect()
}
