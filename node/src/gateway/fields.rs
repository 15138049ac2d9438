//! Reading a request field by field. Each refusal names the field and what was expected, never what was sent; fields
//! nobody takes are ignored, as clients send many; known ones that are not supported are refused by name, because to
//! ignore them would give another answer than was asked for.

use std::ops::RangeInclusive;

use croft_domain::code::Code;
use serde_json::{Map, Value};

use super::errors::Refusal;

/// The fields of a JSON object.
pub struct Fields {
    map: Map<String, Value>,
    path: String,
}

impl Fields {
    /// Parses a body.
    ///
    /// # Errors
    /// [`Code::RequestInvalid`], naming the position, if it is not a JSON object.
    pub fn parse(body: &[u8]) -> Result<Self, Refusal> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(map)) => Ok(Self { map, path: String::new() }),
            Ok(_) => Err(Refusal::new(Code::RequestInvalid, "the body must be a JSON object")),
            // serde_json says what it expected and where; it does not quote.
            Err(error) => Err(Refusal::new(Code::RequestInvalid, format!("malformed JSON: {error}"))
                .with_hint("correct the body at the named position")),
        }
    }

    /// The fields of a value that must be an object, found at `path`.
    ///
    /// # Errors
    /// [`Code::RequestInvalid`].
    pub fn of(value: Value, path: &str) -> Result<Self, Refusal> {
        match value {
            Value::Object(map) => Ok(Self { map, path: format!("{path}.") }),
            _ => Err(Refusal::new(Code::RequestInvalid, format!("{path} must be an object"))),
        }
    }

    /// A field, unless it is absent or null.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name).filter(|value| !value.is_null())
    }

    /// The refusal of a field that is not as expected.
    #[must_use]
    pub fn invalid(&self, name: &str, expected: &str) -> Refusal {
        let field = format!("{}{name}", self.path);
        Refusal::new(Code::RequestInvalid, format!("{field} must be {expected}")).about(field)
    }

    /// The refusal of a field that asks for what is not there.
    #[must_use]
    pub fn unsupported(&self, name: &str) -> Refusal {
        unsupported(&format!("{}{name}", self.path))
    }

    /// A text.
    ///
    /// # Errors
    /// [`Code::RequestInvalid`], as all of these.
    pub fn text(&mut self, name: &str) -> Result<Option<String>, Refusal> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.invalid(name, "a string")),
        }
    }

    /// A text that must be there.
    ///
    /// # Errors
    /// [`Code::RequestInvalid`].
    pub fn needed_text(&mut self, name: &str) -> Result<String, Refusal> {
        self.text(name)?.ok_or_else(|| self.invalid(name, "given, as a string"))
    }

    /// A yes or no.
    ///
    /// # Errors
    /// [`Code::RequestInvalid`].
    pub fn flag(&mut self, name: &str) -> Result<Option<bool>, Refusal> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(self.invalid(name, "true or false")),
        }
    }

    /// A number within a range.
    ///
    /// # Errors
    /// [`Code::RequestInvalid`].
    pub fn number(&mut self, name: &str, range: RangeInclusive<f32>) -> Result<Option<f32>, Refusal> {
        let Some(value) = self.take(name) else { return Ok(None) };
        #[allow(clippy::cast_possible_truncation)]
        let number = value.as_f64().map(|number| number as f32).filter(|number| range.contains(number));
        let expected = || format!("a number from {} to {}", range.start(), range.end());
        number.map(Some).ok_or_else(|| self.invalid(name, &expected()))
    }

    /// A whole number within a range.
    ///
    /// # Errors
    /// [`Code::RequestInvalid`].
    pub fn integer(&mut self, name: &str, range: RangeInclusive<i64>) -> Result<Option<i64>, Refusal> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let whole = |number: f64| {
            #[allow(clippy::cast_possible_truncation)]
            (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
        };
        let number = value.as_i64().or_else(|| value.as_f64().and_then(whole)).filter(|n| range.contains(n));
        let expected = || format!("a whole number from {} to {}", range.start(), range.end());
        number.map(Some).ok_or_else(|| self.invalid(name, &expected()))
    }

    /// An object.
    ///
    /// # Errors
    /// [`Code::RequestInvalid`].
    pub fn object(&mut self, name: &str) -> Result<Option<Self>, Refusal> {
        let path = format!("{}{name}", self.path);
        self.take(name).map(|value| Self::of(value, &path)).transpose()
    }

    /// Refuses the named fields, unless they ask for nothing.
    ///
    /// # Errors
    /// [`Code::RequestUnsupported`], naming the first that asks for something.
    pub fn refuse(&mut self, names: &[&str]) -> Result<(), Refusal> {
        match names.iter().find(|name| self.map.get(**name).is_some_and(|value| !asks_nothing(value))) {
            None => Ok(()),
            Some(name) => Err(self.unsupported(name)),
        }
    }
}

/// The refusal of something that is not there; `what` begins with the field's name.
#[must_use]
pub fn unsupported(what: &str) -> Refusal {
    let field = what.split(' ').next().unwrap_or(what);
    Refusal::new(Code::RequestUnsupported, format!("{what} is not supported")).about(field)
}

fn asks_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Fields {
        Fields::parse(text.as_bytes()).map_err(|refusal| refusal.message).expect("an object")
    }

    #[test]
    fn malformed_json_names_its_position_and_quotes_nothing() {
        let refusal = Fields::parse(b"{\"a\": 1,\n \"prompt\": SECRET}").err().expect("malformed");
        assert_eq!(refusal.code, Code::RequestInvalid);
        assert!(refusal.message.contains("line 2 column 12"), "{}", refusal.message);
        assert!(!refusal.message.contains("SECRET"));
        assert!(Fields::parse(b"[1]").is_err());
        assert!(Fields::parse(&b"[".repeat(100_000)).is_err());
    }

    #[test]
    fn types_and_ranges_are_held_and_named() {
        let mut f = fields(r#"{"t": "x", "n": 0.5, "i": 7.0, "big": 1e300, "b": true, "nothing": null}"#);
        assert!(f.number("t", 0.0..=1.0).is_err_and(|r| r.message == "t must be a number from 0 to 1"));
        assert_eq!(f.number("n", 0.0..=1.0).ok(), Some(Some(0.5)));
        assert_eq!(f.integer("i", 0..=7).ok(), Some(Some(7)));
        assert!(f.integer("big", 0..=7).is_err());
        assert!(f.text("b").is_err());
        assert_eq!(f.text("nothing").ok(), Some(None));
        let mut inner =
            fields(r#"{"options": {"n": []}}"#).object("options").ok().flatten().expect("an object");
        assert!(inner.number("n", 0.0..=1.0).is_err_and(|r| r.message.starts_with("options.n must")));
    }

    #[test]
    fn what_asks_for_nothing_is_not_refused() {
        let mut f =
            fields(r#"{"tools": [], "logprobs": false, "suffix": "", "top_logprobs": 0, "images": null}"#);
        assert!(f.refuse(&["tools", "logprobs", "suffix", "top_logprobs", "images", "absent"]).is_ok());
        let refusal = fields(r#"{"tools": [1]}"#).refuse(&["images", "tools"]).expect_err("asks for tools");
        assert_eq!(
            (refusal.code, refusal.message.as_str()),
            (Code::RequestUnsupported, "tools is not supported")
        );
    }
}
