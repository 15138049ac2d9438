//! A piece of an answer, and how pieces make a whole. What a worker says is distrusted: tool calls that are not the JSON
//! they should be are left out.

use croft_proto::frames::{Piece, TokenLogprob};
use serde_json::{Value, json};

/// Some text, calls of tools, thoughts and probabilities.
#[derive(Default)]
pub struct Fragment {
    /// Text.
    pub text: String,
    /// Deltas of tool calls, as OpenAI's stream has them.
    pub tool_calls: Vec<Value>,
    /// What the model thinks before it answers.
    pub reasoning: String,
    /// Of the tokens in here, where asked for.
    pub logprobs: Vec<TokenLogprob>,
}

impl Fragment {
    /// Of a worker's piece.
    #[must_use]
    pub fn of(piece: Piece) -> Self {
        let tool_calls = if piece.tool_calls_json.is_empty() {
            Vec::new()
        } else {
            serde_json::from_str(&piece.tool_calls_json).unwrap_or_default()
        };
        Self { text: piece.text, tool_calls, reasoning: piece.reasoning, logprobs: piece.logprobs }
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
            && self.tool_calls.is_empty()
            && self.reasoning.is_empty()
            && self.logprobs.is_empty()
    }

    /// Appends what came next.
    pub fn append(&mut self, next: Self) {
        self.text.push_str(&next.text);
        self.reasoning.push_str(&next.reasoning);
        self.logprobs.extend(next.logprobs);
        for delta in next.tool_calls {
            self.append_call(&delta);
        }
    }

    fn append_call(&mut self, delta: &Value) {
        let same = self.tool_calls.iter_mut().find(|call| call["index"] == delta["index"]);
        let arguments = delta["function"]["arguments"].as_str().unwrap_or_default();
        let Some(call) = same else {
            let function = json!({"name": delta["function"]["name"], "arguments": arguments});
            let whole =
                json!({"index": delta["index"], "id": delta["id"], "type": "function", "function": function});
            self.tool_calls.push(whole);
            return;
        };
        let so_far = call["function"]["arguments"].as_str().unwrap_or_default();
        call["function"]["arguments"] = json!(format!("{so_far}{arguments}"));
    }

    /// The calls without the stream's numbers.
    #[must_use]
    pub fn whole_calls(&self) -> Vec<Value> {
        let mut calls = self.tool_calls.clone();
        for call in calls.iter_mut().filter_map(Value::as_object_mut) {
            call.remove("index");
        }
        calls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(json: &str) -> Fragment {
        Fragment::of(Piece { tool_calls_json: json.into(), ..Piece::default() })
    }

    #[test]
    fn deltas_of_calls_are_put_together_by_their_number() {
        let mut whole = Fragment::default();
        for delta in [
            r#"[{"index":0,"id":"a","type":"function","function":{"name":"look","arguments":"{\"x\""}}]"#,
            r#"[{"index":1,"id":"b","type":"function","function":{"name":"go","arguments":""}}]"#,
            r#"[{"index":0,"function":{"arguments":":1}"}}]"#,
        ] {
            whole.append(piece(delta));
        }
        let calls = whole.whole_calls();
        assert_eq!(
            calls[0],
            json!({"id": "a", "type": "function", "function": {"name": "look", "arguments": "{\"x\":1}"}})
        );
        assert_eq!(calls[1]["function"]["name"], "go");
    }

    #[test]
    fn p1_what_is_no_list_of_calls_is_left_out() {
        assert!(piece("not JSON").is_empty() && piece("{}").is_empty());
    }
}
