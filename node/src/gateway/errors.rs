//! Refusals, and how each of the two APIs spells them. A refusal never carries what the caller wrote, except in the
//! response to that caller; it is never logged with its message.

use std::collections::BTreeSet;

use bytes::Bytes;
use croft_domain::code::Code;
use croft_domain::data_class::DataClass;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use super::body::{self, Body};
use super::limits::RETRY_AFTER_S;

/// Which API a request speaks, and therefore how it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `/v1/…`
    OpenAi,
    /// `/api/…`
    Ollama,
}

/// Why a request is not answered.
#[derive(Clone, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: StatusCode,
    /// Stable code.
    pub code: Code,
    /// For the caller, in one line.
    pub message: String,
    /// What to do next.
    pub hint: &'static str,
    /// The field at fault, where one is: OpenAI's `param`.
    pub field: Option<String>,
    /// The kinds of content that it is about, for counting.
    pub found: BTreeSet<DataClass>,
    /// After how many seconds another attempt may succeed, where that is known.
    pub retry_after_s: Option<u32>,
}

impl Refusal {
    /// A refusal with the code's own status and hint.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            status: status(code),
            code,
            message: message.into(),
            hint: code.hint(),
            field: None,
            found: BTreeSet::new(),
            retry_after_s: None,
        }
    }

    /// The same with another status.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// The same with another hint.
    #[must_use]
    pub const fn with_hint(mut self, hint: &'static str) -> Self {
        self.hint = hint;
        self
    }

    /// The same, worth another attempt after that many seconds.
    #[must_use]
    pub const fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// The same, for content of these kinds.
    #[must_use]
    pub fn for_content(mut self, found: impl IntoIterator<Item = DataClass>) -> Self {
        self.found = found.into_iter().collect();
        self
    }

    /// The same, blaming a field.
    #[must_use]
    pub fn about(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// The JSON of it.
    #[must_use]
    pub fn json(&self, dialect: Dialect) -> Value {
        let code = self.code.as_str();
        match dialect {
            Dialect::OpenAi => json!({"error": {
                "message": self.message, "type": kind(self.status), "param": self.field, "code": code, "hint": self.hint,
            }}),
            Dialect::Ollama => json!({"error": self.message, "code": code, "hint": self.hint}),
        }
    }

    /// The whole response.
    #[must_use]
    pub fn response(&self, dialect: Dialect) -> Response<Body> {
        let mut response = Response::new(body::full(Bytes::from(self.json(dialect).to_string())));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            headers
                .insert(header::RETRY_AFTER, HeaderValue::from(self.retry_after_s.unwrap_or(RETRY_AFTER_S)));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// The code that a text names, if it is one of ours.
#[must_use]
pub fn code_named(text: &str) -> Option<Code> {
    Code::ALL.iter().copied().find(|code| code.as_str() == text)
}

const fn status(code: Code) -> StatusCode {
    match code {
        Code::RequestInvalid | Code::RequestUnsupported | Code::ContextFull => StatusCode::BAD_REQUEST,
        Code::CallerUnknown => StatusCode::UNAUTHORIZED,
        Code::ModelUnknown | Code::NotFound => StatusCode::NOT_FOUND,
        Code::QueueFull | Code::QuotaSpent => StatusCode::TOO_MANY_REQUESTS,
        Code::WorkerCrashed | Code::MemoryPlan => StatusCode::SERVICE_UNAVAILABLE,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        // All else is the organization's or the fence's no.
        _ => StatusCode::FORBIDDEN,
    }
}

const fn kind(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        StatusCode::INTERNAL_SERVER_ERROR | StatusCode::SERVICE_UNAVAILABLE => "server_error",
        _ => "invalid_request_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_carry_code_and_hint() {
        let refusal =
            Refusal::new(Code::NotCompliant, "not compliant: disk-encryption failed; run `croft why`");
        let open_ai = refusal.json(Dialect::OpenAi);
        assert_eq!(open_ai["error"]["code"], "E-NOT-COMPLIANT");
        assert_eq!(open_ai["error"]["type"], "permission_error");
        assert_eq!(open_ai["error"]["hint"], Code::NotCompliant.hint());
        let ollama = refusal.json(Dialect::Ollama);
        assert_eq!(ollama["error"], refusal.message);
        assert_eq!(ollama["code"], "E-NOT-COMPLIANT");
        assert_eq!(refusal.status, StatusCode::FORBIDDEN);
    }

    #[test]
    fn only_known_codes_are_taken_over() {
        assert_eq!(code_named("E-CONTEXT-FULL"), Some(Code::ContextFull));
        assert_eq!(code_named("E-MADE-UP"), None);
    }
}
