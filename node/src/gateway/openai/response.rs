//! From a worker's pieces to OpenAI's words. `timings` is an extra that llama.cpp's own server has as well.

use croft_proto::frames::{Finished, ServedModel};
use serde_json::{Value, json};

use super::super::answer::Voice;
use super::super::errors::{Dialect, Refusal};
use super::super::fragment::Fragment;
use super::super::policy::Policy;
use super::logprobs;

/// Which of the two completions.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `/v1/chat/completions`
    Chat,
    /// `/v1/completions`
    Text,
}

/// Words an answer.
pub struct OpenAiVoice {
    shape: Shape,
    id: String,
    created_s: u64,
    model: String,
    include_usage: bool,
    begun: bool,
}

impl OpenAiVoice {
    /// `nonce` makes the id, `created_s` is in Unix seconds.
    #[must_use]
    pub fn new(shape: Shape, nonce: u64, created_s: u64, model: String, include_usage: bool) -> Self {
        let prefix = if shape == Shape::Chat { "chatcmpl" } else { "cmpl" };
        let id = format!("{prefix}-{nonce:016x}");
        Self { shape, id, created_s, model, include_usage, begun: false }
    }

    fn chunk(&self, choices: &Value) -> Value {
        let object = match self.shape {
            Shape::Chat => "chat.completion.chunk",
            Shape::Text => "text_completion",
        };
        let mut chunk = self.envelope(object, choices);
        if self.include_usage {
            chunk["usage"] = Value::Null;
        }
        chunk
    }

    fn envelope(&self, object: &str, choices: &Value) -> Value {
        json!({"id": self.id, "object": object, "created": self.created_s, "model": self.model, "choices": choices})
    }

    fn choice(&mut self, piece: Option<&Fragment>, reason: Option<&str>) -> Value {
        let logprobs = piece.map_or(Value::Null, |piece| logprobs::of(self.shape, &piece.logprobs));
        match self.shape {
            Shape::Text => {
                let text = piece.map_or("", |piece| piece.text.as_str());
                json!([{"index": 0, "text": text, "logprobs": logprobs, "finish_reason": reason}])
            }
            Shape::Chat => {
                let mut delta = json!({});
                if !std::mem::replace(&mut self.begun, true) {
                    delta["role"] = json!("assistant");
                }
                if let Some(piece) = piece {
                    if !piece.text.is_empty() {
                        delta["content"] = json!(piece.text);
                    }
                    if !piece.reasoning.is_empty() {
                        delta["reasoning_content"] = json!(piece.reasoning);
                    }
                    if !piece.tool_calls.is_empty() {
                        delta["tool_calls"] = json!(piece.tool_calls);
                    }
                }
                json!([{"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": reason}])
            }
        }
    }
}

impl Voice for OpenAiVoice {
    fn stream_type(&self) -> &'static str {
        "text/event-stream"
    }

    fn piece(&mut self, piece: Fragment) -> String {
        let choices = self.choice(Some(&piece), None);
        event(&self.chunk(&choices))
    }

    fn finish(&mut self, finished: &Finished) -> String {
        let choices = self.choice(None, Some(reason(finished)));
        let mut last = self.chunk(&choices);
        last["timings"] = timings(finished);
        let mut out = event(&last);
        if self.include_usage {
            let mut chunk = self.chunk(&json!([]));
            chunk["usage"] = usage(finished);
            out.push_str(&event(&chunk));
        }
        out.push_str("data: [DONE]\n\n");
        out
    }

    fn failure(&self, refusal: &Refusal) -> String {
        event(&refusal.json(Dialect::OpenAi))
    }

    fn patience(&self) -> &'static str {
        ": working\n\n"
    }

    fn whole(&self, whole: &Fragment, finished: &Finished) -> Value {
        let reason = reason(finished);
        let logprobs = logprobs::of(self.shape, &whole.logprobs);
        let (object, choices) = match self.shape {
            Shape::Chat => (
                "chat.completion",
                json!([{"index": 0, "message": message(whole), "logprobs": logprobs, "finish_reason": reason}]),
            ),
            Shape::Text => (
                "text_completion",
                json!([{"index": 0, "text": whole.text, "logprobs": logprobs, "finish_reason": reason}]),
            ),
        };
        let mut whole = self.envelope(object, &choices);
        whole["usage"] = usage(finished);
        whole["timings"] = timings(finished);
        whole
    }
}

fn event(value: &Value) -> String {
    format!("data: {value}\n\n")
}

fn message(whole: &Fragment) -> Value {
    let mut message = json!({"role": "assistant", "content": whole.text});
    if !whole.tool_calls.is_empty() {
        message["tool_calls"] = json!(whole.whole_calls());
        if whole.text.is_empty() {
            message["content"] = Value::Null;
        }
    }
    if !whole.reasoning.is_empty() {
        message["reasoning_content"] = json!(whole.reasoning);
    }
    message
}

/// A worker's word for the end, in OpenAI's three.
fn reason(finished: &Finished) -> &'static str {
    match finished.reason.as_str() {
        "length" => "length",
        "tool_calls" => "tool_calls",
        _ => "stop",
    }
}

fn usage(finished: &Finished) -> Value {
    json!({
        "prompt_tokens": finished.prompt_tokens,
        "completion_tokens": finished.completion_tokens,
        "total_tokens": u64::from(finished.prompt_tokens) + u64::from(finished.completion_tokens),
        "prompt_tokens_details": {"cached_tokens": finished.cached_tokens},
    })
}

/// How long what took, as llama.cpp's own server says it.
pub fn timings(finished: &Finished) -> Value {
    let evaluated = finished.prompt_tokens.saturating_sub(finished.cached_tokens);
    #[allow(clippy::cast_precision_loss)]
    let (prefill_ms, decode_ms) = (finished.prefill_us as f64 / 1000.0, finished.decode_us as f64 / 1000.0);
    let rate = |tokens: u32, ms: f64| if ms > 0.0 { f64::from(tokens) * 1000.0 / ms } else { 0.0 };
    json!({
        "cache_n": finished.cached_tokens,
        "prompt_n": evaluated,
        "prompt_ms": prefill_ms,
        "prompt_per_second": rate(evaluated, prefill_ms),
        "predicted_n": finished.completion_tokens,
        "predicted_ms": decode_ms,
        "predicted_per_second": rate(finished.completion_tokens, decode_ms),
    })
}

/// `GET /v1/models`: names, then their aliases.
#[must_use]
pub fn models(policy: Option<&Policy>) -> Value {
    let mut data = Vec::new();
    for model in policy.map_or(&[][..], Policy::models) {
        for id in std::iter::once(&model.name).chain(&model.aliases) {
            data.push(entry(id, model, policy.map_or(0, Policy::received_at_s)));
        }
    }
    json!({"object": "list", "data": data})
}

/// `GET /v1/models/NAME`.
///
/// # Errors
/// `E-MODEL-UNKNOWN`.
pub fn model(name: &str, policy: &Policy) -> Result<Value, Refusal> {
    Ok(entry(name, policy.model(name)?, policy.received_at_s()))
}

fn entry(id: &str, model: &ServedModel, created_s: u64) -> Value {
    json!({
        "id": id,
        "object": "model",
        "created": created_s,
        "owned_by": "croft",
        "max_model_len": model.context_tokens,
        "meta": {"n_ctx": model.context_tokens, "size": model.len_bytes, "digest": model.digest,
            "bundle": model.bundle},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Fragment {
        Fragment { text: text.into(), ..Fragment::default() }
    }

    fn finished() -> Finished {
        Finished {
            reason: "length".into(),
            prompt_tokens: 10,
            cached_tokens: 4,
            completion_tokens: 2,
            prefill_us: 3_000,
            decode_us: 4_000,
        }
    }

    fn events(text: &str) -> Vec<Value> {
        text.split("\n\n")
            .filter_map(|event| event.strip_prefix("data: "))
            .filter(|data| *data != "[DONE]")
            .map(|data| serde_json::from_str(data).expect("JSON"))
            .collect()
    }

    #[test]
    fn a_chat_stream_begins_with_the_role_and_ends_with_usage_and_done() {
        let mut voice = OpenAiVoice::new(Shape::Chat, 1, 5, "m".into(), true);
        let stream = [voice.piece(text("a")), voice.piece(text("b")), voice.finish(&finished())].concat();
        let events = events(&stream);
        assert_eq!(events[0]["choices"][0]["delta"], json!({"role": "assistant", "content": "a"}));
        assert_eq!(events[1]["choices"][0]["delta"], json!({"content": "b"}));
        assert_eq!(events[1]["usage"], Value::Null);
        assert_eq!(events[2]["choices"][0]["finish_reason"], "length");
        assert_eq!(events[2]["timings"]["prompt_n"], 6);
        assert_eq!(events[2]["timings"]["prompt_per_second"], 2000.0);
        assert_eq!(events[3]["choices"], json!([]));
        assert_eq!(events[3]["usage"]["total_tokens"], 12);
        assert_eq!(events[3]["usage"]["prompt_tokens_details"]["cached_tokens"], 4);
        assert!(stream.ends_with("data: [DONE]\n\n"));
    }

    #[test]
    fn usage_is_not_sent_unasked() {
        let mut voice = OpenAiVoice::new(Shape::Text, 1, 5, "m".into(), false);
        let events = events(&[voice.piece(text("a")), voice.finish(&finished())].concat());
        assert_eq!(events.len(), 2);
        assert!(events.iter().all(|event| event.get("usage").is_none()));
        assert_eq!(events[0]["choices"][0]["text"], "a");
    }

    #[test]
    fn a_whole_answer_has_everything() {
        let voice = OpenAiVoice::new(Shape::Chat, 1, 5, "m".into(), false);
        let whole = voice.whole(&text("text"), &finished());
        assert_eq!(whole["choices"][0]["message"]["content"], "text");
        assert_eq!(whole["usage"]["completion_tokens"], 2);
        assert_eq!(whole["object"], "chat.completion");
    }
}
