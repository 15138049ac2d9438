//! The HTTP side of a chat.

use std::io::{BufReader, Read};

use croft_domain::code::Code;
use serde::{Deserialize, Serialize};

use super::event::{self, ErrorBody, Event};
use crate::failure::Failure;
use crate::limits::ERROR_BODY_LEN_MAX;

/// One turn of a conversation.
#[derive(Clone, Debug, Serialize)]
pub struct Turn {
    pub role: &'static str,
    pub content: String,
}

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    messages: &'a [Turn],
    stream: bool,
}

#[derive(Default, Deserialize)]
struct Refusal {
    #[serde(default)]
    error: ErrorBody,
}

/// The gateway of this machine.
pub struct Gateway {
    agent: ureq::Agent,
    url: String,
    key: String,
}

impl Gateway {
    /// The gateway at `base`, for example `http://127.0.0.1:11535`.
    ///
    /// # Errors
    /// A failure if that is not this machine's loopback address.
    pub fn new(base: &str, key: String) -> Result<Self, Failure> {
        if !is_loopback(base) {
            return Err(Failure::new(
                Code::Internal,
                format!("the gateway's address is not on this machine: {base}"),
            ));
        }
        let config = ureq::Agent::config_builder()
            // HTTP_PROXY must never see a prompt.
            .proxy(None)
            .max_redirects(0)
            .http_status_as_error(false)
            .build();
        Ok(Self {
            agent: config.into(),
            url: format!("{}/v1/chat/completions", base.trim_end_matches('/')),
            key,
        })
    }

    /// Asks, and hands over each piece of the answer as it comes.
    ///
    /// # Errors
    /// What the gateway refused with, or that the answer broke off.
    pub fn ask(&self, model: &str, turns: &[Turn], mut on_text: impl FnMut(&str)) -> Result<(), Failure> {
        let request = serde_json::to_string(&Request { model, messages: turns, stream: true })
            .map_err(|error| Failure::caused(Code::Internal, &error))?;
        let response = self
            .agent
            .post(&self.url)
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", "application/json")
            .send(request)
            .map_err(|error| {
                Failure::caused(Code::DaemonDown, &error).hint("croft status says whether it serves")
            })?;
        let status = response.status();
        let reader = response.into_body().into_reader();
        if !status.is_success() {
            return Err(refusal(status.as_u16(), reader));
        }
        let mut failed = None;
        event::read_all(BufReader::new(reader), |event| match event {
            Event::Text(text) => on_text(&text),
            Event::Failed { code, message } => failed = Some(known(&code, message)),
            Event::Done | Event::Nothing => {}
        })
        .map_err(|error| Failure::caused(Code::WorkerCrashed, &error))?;
        failed.map_or(Ok(()), Err)
    }
}

fn refusal(status: u16, body: impl Read) -> Failure {
    let mut bytes = Vec::new();
    // A body that cannot be read leaves the status to tell.
    let _ = body.take(ERROR_BODY_LEN_MAX).read_to_end(&mut bytes);
    let Refusal { error } = serde_json::from_slice(&bytes).unwrap_or_default();
    let message =
        if error.message.is_empty() { format!("the gateway answered {status}") } else { error.message };
    known(&error.code.unwrap_or_default(), message)
}

fn known(code: &str, message: String) -> Failure {
    let code = Code::ALL.iter().copied().find(|known| known.as_str() == code).unwrap_or(Code::Internal);
    Failure::new(code, message)
}

/// Whether a plain HTTP address names this machine's loopback and nothing else.
fn is_loopback(base: &str) -> bool {
    let Some(rest) = base.strip_prefix("http://") else { return false };
    let authority = rest.trim_end_matches('/');
    authority.parse::<std::net::SocketAddr>().is_ok_and(|address| address.ip().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p1_prompts_go_to_loopback_or_nowhere() {
        for good in ["http://127.0.0.1:11535", "http://127.0.0.1:11535/", "http://[::1]:80"] {
            assert!(is_loopback(good), "{good}");
        }
        for bad in [
            "",
            "https://127.0.0.1:11535",
            "http://10.0.0.1:11535",
            "http://127.0.0.1:80@evil.test:80",
            "http://localhost.evil.test:80",
            "http://127.0.0.1:80/v1/../x",
        ] {
            assert!(!is_loopback(bad), "{bad}");
        }
    }

    #[test]
    fn a_refusal_is_told_with_its_code() {
        let body = br#"{"error":{"code":"E-MODEL-UNKNOWN","message":"no model big","type":"invalid_request_error"}}"#;
        let failure = refusal(404, &body[..]);
        assert_eq!(failure.code(), Code::ModelUnknown);
        assert!(refusal(502, &b"<html>"[..]).lines().contains("the gateway answered 502"));
    }
}
