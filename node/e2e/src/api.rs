//! The local API as an HTTP client sees it.

use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use ureq::http::Response;
use ureq::{Agent, Body};

use crate::E2eError;

/// An answer with its status.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// JSON body; a string if it is none.
    pub body: Value,
}

/// A finished stream.
#[derive(Clone, Debug)]
pub struct Streamed {
    /// The text, put together.
    pub text: String,
    /// Until the first piece of text.
    pub first: Duration,
    /// Until the end.
    pub total: Duration,
    /// Usage, if the stream told it.
    pub usage: Value,
    /// An error within the stream.
    pub error: Option<Value>,
}

/// A client of one gateway.
#[derive(Clone, Debug)]
pub struct Api {
    base: String,
    key: Option<String>,
    agent: Agent,
}

impl Api {
    /// A client that shows `key`, or none.
    #[must_use]
    pub fn new(base: &str, key: Option<&str>) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(120)))
            .build();
        Self { base: base.to_owned(), key: key.map(str::to_owned), agent: config.into() }
    }

    /// GET.
    ///
    /// # Errors
    /// If nobody answers.
    pub fn get(&self, path: &str) -> Result<Answer, E2eError> {
        let url = format!("{}{path}", self.base);
        let mut request = self.agent.get(&url);
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        answer(request.call().map_err(|e| E2eError::Http { url, source: Box::new(e) })?)
    }

    /// POST of JSON.
    ///
    /// # Errors
    /// If nobody answers.
    pub fn post(&self, path: &str, body: &Value) -> Result<Answer, E2eError> {
        answer(self.send(path, body)?)
    }

    /// POST, the answer to be read as it comes. Dropping it closes the connection.
    ///
    /// # Errors
    /// If nobody answers.
    pub fn stream(&self, path: &str, body: &Value) -> Result<impl std::io::Read + use<>, E2eError> {
        Ok(self.send(path, body)?.into_body().into_reader())
    }

    fn send(&self, path: &str, body: &Value) -> Result<Response<Body>, E2eError> {
        let url = format!("{}{path}", self.base);
        let mut request = self.agent.post(&url).header("content-type", "application/json");
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        request.send(body.to_string()).map_err(|e| E2eError::Http { url, source: Box::new(e) })
    }

    /// One question, answered greedily as a whole.
    ///
    /// # Errors
    /// If nobody answers.
    pub fn ask(&self, question: &str) -> Result<Answer, E2eError> {
        self.post("/v1/chat/completions", &question_body(question, false))
    }

    /// One question, answered as a stream.
    ///
    /// # Errors
    /// If nobody answers, or the status is not 200.
    pub fn ask_streaming(&self, question: &str) -> Result<Streamed, E2eError> {
        let start = Instant::now();
        let response = self.send("/v1/chat/completions", &question_body(question, true))?;
        if response.status() != 200 {
            let refused = answer(response)?;
            return Err(E2eError::unexpected("status 200", format!("{} {}", refused.status, refused.body)));
        }
        let mut streamed = Streamed {
            text: String::new(),
            first: Duration::ZERO,
            total: Duration::ZERO,
            usage: Value::Null,
            error: None,
        };
        for line in BufReader::new(response.into_body().into_reader()).lines() {
            let line = line.map_err(E2eError::io("read the stream"))?;
            let Some(data) = line.strip_prefix("data: ") else { continue };
            let Ok(event) = serde_json::from_str::<Value>(data) else { continue };
            let text = event["choices"][0]["delta"]["content"].as_str().unwrap_or_default();
            if !text.is_empty() && streamed.text.is_empty() {
                streamed.first = start.elapsed();
            }
            streamed.text.push_str(text);
            if !event["usage"].is_null() {
                streamed.usage = event["usage"].clone();
            }
            if !event["error"].is_null() {
                streamed.error = Some(event["error"].clone());
            }
        }
        streamed.total = start.elapsed();
        Ok(streamed)
    }
}

fn question_body(question: &str, stream: bool) -> Value {
    let mut body = json!({
        "model": "chat",
        "temperature": 0,
        "max_tokens": 96,
        "messages": [{"role": "user", "content": question}],
    });
    if stream {
        body["stream"] = json!(true);
        body["stream_options"] = json!({"include_usage": true});
    }
    body
}

fn answer(mut response: Response<Body>) -> Result<Answer, E2eError> {
    let status = response.status().as_u16();
    let text = response.body_mut().read_to_string().map_err(|e| E2eError::unexpected("a body", e))?;
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Ok(Answer { status, body })
}

/// The text of a whole chat answer.
#[must_use]
pub fn text_of(answer: &Answer) -> String {
    answer.body["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned()
}
