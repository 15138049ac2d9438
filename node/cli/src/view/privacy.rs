//! `croft privacy`.

use croft_domain::time::Timestamp;
use croft_proto::grpc::{PrivacyResponse, SentMessage};
use serde::Serialize;

use crate::moment::describe;
use crate::output::{one_line, printable};

/// Everything in the ring of sent messages, oldest first as the daemon gives it.
#[derive(Debug, Serialize)]
pub struct PrivacyView {
    pub sent: Vec<SentView>,
}

/// One message.
#[derive(Debug, Serialize)]
pub struct SentView {
    pub at: u64,
    pub kind: String,
    pub reason: String,
    pub content: Content,
}

/// The exact bytes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// They are text.
    Text(String),
    /// They are not: hexadecimal for programs, escaped for people, who then can read the text within.
    #[serde(serialize_with = "as_hex")]
    Hex(Vec<u8>),
}

fn as_hex<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex::encode(bytes))
}

impl From<PrivacyResponse> for PrivacyView {
    fn from(wire: PrivacyResponse) -> Self {
        let sent = |SentMessage { at, kind, reason, content }| {
            let content = String::from_utf8(content)
                .map_or_else(|error| Content::Hex(error.into_bytes()), Content::Text);
            SentView { at, kind, reason, content }
        };
        Self { sent: wire.sent.into_iter().map(sent).collect() }
    }
}

impl PrivacyView {
    pub fn render(&self, now: Timestamp) -> String {
        if self.sent.is_empty() {
            return "Nothing was sent.\n".to_owned();
        }
        let mut text = String::new();
        for SentView { at, kind, reason, content } in &self.sent {
            let (len, shown) = match content {
                Content::Text(content) => (content.len(), printable(content)),
                Content::Hex(content) => (content.len(), content.escape_ascii().to_string()),
            };
            text.push_str(&format!("── {}, {len} bytes, {}\n", one_line(kind), describe(*at, now)));
            text.push_str(&format!("   why: {}\n{shown}\n\n", one_line(reason)));
        }
        text.push_str(&format!(
            "{} messages. No prompt, answer or file content is ever among them.\n",
            self.sent.len()
        ));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p6_every_byte_that_left_is_shown() {
        let message = |kind: &str, content: &[u8]| SentMessage {
            at: 1_795_208_400,
            kind: kind.to_owned(),
            reason: "the controller asked for evidence".to_owned(),
            content: content.to_vec(),
        };
        let sent = vec![message("evidence", b"{\"node\":\"00\"}"), message("csr", b"\x30\xff{}\n")];
        let view = PrivacyView::from(PrivacyResponse { sent });
        insta::assert_snapshot!(view.render(Timestamp(1_795_208_460)), @r#"
    ── evidence, 13 bytes, 1 minute ago (2026-11-20T21:00:00Z)
       why: the controller asked for evidence
    {"node":"00"}

    ── csr, 5 bytes, 1 minute ago (2026-11-20T21:00:00Z)
       why: the controller asked for evidence
    0\xff{}\n

    2 messages. No prompt, answer or file content is ever among them.
    "#);
        let json = serde_json::to_string(&view).expect("json");
        assert!(json.contains(r#""content":{"text":"{\"node\":\"00\"}"}"#), "{json}");
        assert!(json.contains(r#""content":{"hex":"30ff7b7d0a"}"#), "{json}");
        assert_eq!(PrivacyView { sent: vec![] }.render(Timestamp(0)), "Nothing was sent.\n");
    }
}
