//! Probabilities of tokens, in the two shapes that OpenAI has for them.

use croft_proto::frames::{TokenLogprob, TopLogprob};
use serde_json::{Map, Value, json};

use super::Shape;

/// Of these tokens; null where none were asked for.
#[must_use]
pub fn of(shape: Shape, tokens: &[TokenLogprob]) -> Value {
    if tokens.is_empty() {
        return Value::Null;
    }
    match shape {
        Shape::Chat => {
            let content: Vec<Value> = tokens.iter().map(chat_token).collect();
            json!({"content": content, "refusal": null})
        }
        Shape::Text => {
            let texts: Vec<_> = tokens.iter().map(|token| text(&token.text)).collect();
            let own: Vec<f32> = tokens.iter().map(|token| token.logprob).collect();
            let top: Vec<Map<String, Value>> = tokens
                .iter()
                .map(|token| token.top.iter().map(|top| (text(&top.text), json!(top.logprob))).collect())
                .collect();
            let offsets: Vec<usize> = tokens
                .iter()
                .scan(0, |end, token| {
                    let start = *end;
                    *end += token.text.len();
                    Some(start)
                })
                .collect();
            json!({"tokens": texts, "token_logprobs": own, "top_logprobs": top, "text_offset": offsets})
        }
    }
}

fn chat_token(token: &TokenLogprob) -> Value {
    let top: Vec<Value> =
        token.top.iter().map(|TopLogprob { text: bytes, logprob }| entry(bytes, *logprob)).collect();
    let mut token = entry(&token.text, token.logprob);
    token["top_logprobs"] = json!(top);
    token
}

fn entry(bytes: &[u8], logprob: f32) -> Value {
    json!({"token": text(bytes), "logprob": logprob, "bytes": bytes})
}

/// A token may be a part of a character: then the text shows a mark, and the bytes tell.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_shapes_hold_what_clients_read() {
        let top = vec![TopLogprob { text: b"a".to_vec(), logprob: -0.5 }];
        let tokens = [
            TokenLogprob { text: b"ab".to_vec(), logprob: -0.5, top: top.clone() },
            TokenLogprob { text: vec![0xc3], logprob: -1.0, top },
        ];
        let chat = of(Shape::Chat, &tokens);
        assert_eq!(chat["content"][0]["top_logprobs"][0]["token"], "a");
        assert_eq!(chat["content"][1]["bytes"], json!([0xc3]));
        let plain = of(Shape::Text, &tokens);
        assert_eq!((&plain["tokens"][0], &plain["text_offset"][1]), (&json!("ab"), &json!(2)));
        assert_eq!(of(Shape::Chat, &[]), Value::Null);
    }
}
