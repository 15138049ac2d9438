//! One streamed completion with the moment of each piece of text.

use std::io::{BufRead, BufReader};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use croft_e2e::E2eError;
use serde_json::{Value, json};
use ureq::Agent;

/// Where a side answers.
#[derive(Clone)]
pub struct Endpoint {
    /// Base URL.
    pub base: String,
    /// API key, if it wants one.
    pub key: Option<String>,
    /// What goes into `model`.
    pub model: String,
}

/// A finished stream.
pub struct Stream {
    /// When the request was sent.
    pub sent: Instant,
    /// When each piece of text came.
    pub pieces: Vec<Instant>,
    /// When the stream ended.
    pub ended: Instant,
    /// Tokens made, by the server's own count where it gives one.
    pub tokens: f64,
}

impl Stream {
    /// Until the first piece of text, in milliseconds.
    pub fn first_ms(&self) -> f64 {
        self.pieces.first().map_or(f64::NAN, |first| (*first - self.sent).as_secs_f64() * 1e3)
    }

    /// Tokens per second after the first.
    pub fn decode(&self) -> f64 {
        let (Some(first), Some(last)) = (self.pieces.first(), self.pieces.last()) else { return f64::NAN };
        (self.tokens - 1.0) / (*last - *first).as_secs_f64()
    }
}

impl Endpoint {
    /// Asks for `tokens` tokens after `prompt`, greedily, past any end of text.
    ///
    /// `first` hears of the first piece of text.
    ///
    /// # Errors
    /// If the answer is not a stream with status 200.
    pub fn complete(
        &self,
        prompt: &str,
        tokens: u32,
        first: Option<&Sender<()>>,
    ) -> Result<Stream, E2eError> {
        let config = Agent::config_builder().timeout_global(Some(Duration::from_secs(300)));
        let agent: Agent = config.http_status_as_error(false).build().into();
        let url = format!("{}/v1/completions", self.base);
        let body = json!({
            "model": self.model, "prompt": prompt, "max_tokens": tokens, "temperature": 0, "stream": true,
            "stream_options": {"include_usage": true}, "ignore_eos": true, "cache_prompt": true,
        });
        let mut request = agent.post(&url).header("content-type", "application/json");
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let sent = Instant::now();
        let mut answer =
            request.send(body.to_string()).map_err(|e| E2eError::Http { url, source: Box::new(e) })?;
        if answer.status() != 200 {
            let text = answer.body_mut().read_to_string().unwrap_or_default();
            return Err(E2eError::unexpected("status 200", format!("{} {text}", answer.status())));
        }
        let (mut pieces, mut counted) = (Vec::new(), None);
        for line in BufReader::new(answer.into_body().into_reader()).lines() {
            let line = line.map_err(E2eError::io("read the stream"))?;
            let now = Instant::now();
            let Some(event) = line.strip_prefix("data:").and_then(|d| serde_json::from_str::<Value>(d).ok())
            else {
                continue;
            };
            if event["choices"][0]["text"].as_str().is_some_and(|text| !text.is_empty()) {
                if let (true, Some(first)) = (pieces.is_empty(), first) {
                    let _ = first.send(());
                }
                pieces.push(now);
            }
            counted = event["usage"]["completion_tokens"].as_f64().or(counted);
        }
        let tokens = counted.unwrap_or(pieces.len() as f64);
        Ok(Stream { sent, pieces, ended: Instant::now(), tokens })
    }

    /// Several at once, each with its own prompt.
    ///
    /// # Errors
    /// Whatever one of them ends with.
    pub fn complete_all(&self, prompts: &[String], tokens: u32) -> Result<Vec<Stream>, E2eError> {
        std::thread::scope(|scope| {
            let running: Vec<_> =
                prompts.iter().map(|prompt| scope.spawn(|| self.complete(prompt, tokens, None))).collect();
            running.into_iter().map(joined).collect()
        })
    }
}

/// What a measuring thread came to.
pub fn joined(
    thread: std::thread::ScopedJoinHandle<'_, Result<Stream, E2eError>>,
) -> Result<Stream, E2eError> {
    thread.join().map_err(|_| E2eError::unexpected("a stream", "a panic"))?
}

/// Tokens per second of several streams together, from the first request to the last end.
pub fn aggregate(streams: &[Stream]) -> f64 {
    let tokens: f64 = streams.iter().map(|s| s.tokens).sum();
    let from = streams.iter().map(|s| s.sent).min();
    let to = streams.iter().map(|s| s.ended).max();
    from.zip(to).map_or(f64::NAN, |(from, to)| tokens / (to - from).as_secs_f64())
}
