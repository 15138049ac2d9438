//! From a worker's pieces to Ollama's words: one JSON object a line, durations in nanoseconds.

use croft_proto::frames::Finished;
use serde_json::{Value, json};

use super::super::answer::Voice;
use super::super::clock;
use super::super::errors::{Dialect, Refusal};
use super::super::fragment::Fragment;

/// Which of the two endpoints.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `/api/chat`
    Chat,
    /// `/api/generate`
    Generate,
}

/// Words an answer.
pub struct OllamaVoice {
    shape: Shape,
    model: String,
    begun_ns: u64,
    /// Ollama sends calls whole, so they are kept until the end.
    calls: Fragment,
}

impl OllamaVoice {
    /// `begun_ns` is the request's beginning on the monotonic clock.
    #[must_use]
    pub fn new(shape: Shape, model: String, begun_ns: u64) -> Self {
        Self { shape, model, begun_ns, calls: Fragment::default() }
    }

    fn object(&self, text: &str) -> Value {
        object(self.shape, &self.model, text)
    }

    fn with_calls(&self, mut object: Value, calls: &Fragment) -> Value {
        if self.shape == Shape::Chat && !calls.tool_calls.is_empty() {
            object["message"]["tool_calls"] = calls.tool_calls.iter().map(call).collect();
        }
        object
    }

    fn end(&self, text: &str, finished: &Finished) -> Value {
        let mut end = self.object(text);
        let total_ns = clock::monotonic_ns().saturating_sub(self.begun_ns);
        let (prefill_ns, decode_ns) =
            (finished.prefill_us.saturating_mul(1000), finished.decode_us.saturating_mul(1000));
        for (name, value) in [
            ("done", json!(true)),
            ("done_reason", json!(if finished.reason == "length" { "length" } else { "stop" })),
            ("total_duration", json!(total_ns)),
            // What neither reading nor writing took: waiting for a turn, mostly.
            ("load_duration", json!(total_ns.saturating_sub(prefill_ns).saturating_sub(decode_ns))),
            ("prompt_eval_count", json!(finished.prompt_tokens)),
            ("prompt_eval_duration", json!(prefill_ns)),
            ("eval_count", json!(finished.completion_tokens)),
            ("eval_duration", json!(decode_ns)),
        ] {
            end[name] = value;
        }
        end
    }
}

impl Voice for OllamaVoice {
    fn stream_type(&self) -> &'static str {
        "application/x-ndjson"
    }

    fn piece(&mut self, piece: Fragment) -> String {
        let Fragment { text, reasoning, tool_calls, .. } = piece;
        self.calls.append(Fragment { tool_calls, ..Fragment::default() });
        if text.is_empty() && reasoning.is_empty() {
            return String::new();
        }
        line(&thinking(self.shape, self.object(&text), &reasoning))
    }

    fn finish(&mut self, finished: &Finished) -> String {
        line(&self.with_calls(self.end("", finished), &self.calls))
    }

    fn failure(&self, refusal: &Refusal) -> String {
        line(&refusal.json(Dialect::Ollama))
    }

    fn patience(&self) -> &'static str {
        ""
    }

    fn whole(&self, whole: &Fragment, finished: &Finished) -> Value {
        let end = thinking(self.shape, self.end(&whole.text, finished), &whole.reasoning);
        self.with_calls(end, whole)
    }
}

/// A call as Ollama has it: arguments are an object.
fn call(call: &Value) -> Value {
    let arguments = call["function"]["arguments"].as_str().unwrap_or_default();
    let arguments: Value = serde_json::from_str(arguments).unwrap_or_else(|_| json!({}));
    json!({"function": {"name": call["function"]["name"], "arguments": arguments}})
}

fn thinking(shape: Shape, mut object: Value, reasoning: &str) -> Value {
    if !reasoning.is_empty() {
        match shape {
            Shape::Chat => object["message"]["thinking"] = json!(reasoning),
            Shape::Generate => object["thinking"] = json!(reasoning),
        }
    }
    object
}

fn line(value: &Value) -> String {
    format!("{value}\n")
}

fn object(shape: Shape, model: &str, text: &str) -> Value {
    let mut object = json!({"model": model, "created_at": clock::rfc3339_now(), "done": false});
    match shape {
        Shape::Chat => object["message"] = json!({"role": "assistant", "content": text}),
        Shape::Generate => object["response"] = json!(text),
    }
    object
}

/// The answer to a wish to load or unload, which `reason` names.
#[must_use]
pub fn loaded(shape: Shape, model: &str, reason: &str) -> Value {
    let mut object = object(shape, model, "");
    object["done"] = json!(true);
    object["done_reason"] = json!(reason);
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_editors_read_them() {
        let mut voice = OllamaVoice::new(Shape::Chat, "m".into(), 0);
        let piece: Value =
            serde_json::from_str(&voice.piece(Fragment { text: "hi\n".into(), ..Fragment::default() }))
                .expect("JSON");
        assert_eq!(piece["message"], json!({"role": "assistant", "content": "hi\n"}));
        assert_eq!(piece["done"], false);
        let finished = Finished { completion_tokens: 3, decode_us: 7, ..Finished::default() };
        let text = voice.finish(&finished);
        assert!(text.ends_with("}\n") && text.matches('\n').count() == 1);
        let end: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(
            (&end["done_reason"], &end["eval_count"], &end["eval_duration"]),
            (&json!("stop"), &json!(3), &json!(7000))
        );
        let whole = OllamaVoice::new(Shape::Generate, "m".into(), 0)
            .whole(&Fragment { text: "text".into(), ..Fragment::default() }, &finished);
        assert_eq!((&whole["response"], &whole["done"]), (&json!("text"), &json!(true)));
    }
}
