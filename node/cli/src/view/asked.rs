//! `croft request --list`.

use croft_proto::grpc::{AskedLine as WireLine, ListAskedResponse};
use serde::Serialize;

use crate::moment;
use crate::output::one_line;

/// What was asked for, newest first.
#[derive(Debug, Serialize)]
pub struct AskedView {
    pub asked: Vec<AskedLine>,
}

/// One request.
#[derive(Debug, Serialize)]
pub struct AskedLine {
    pub source: String,
    /// Unix seconds.
    pub at: u64,
    /// `pending`, `approved` or `denied`.
    pub outcome: String,
    /// What the admin says.
    pub note: String,
    /// Unix seconds; none while it is pending.
    pub answered_at: Option<u64>,
}

impl From<ListAskedResponse> for AskedView {
    fn from(wire: ListAskedResponse) -> Self {
        let line = |WireLine { source, at, outcome, note, answered_at }| AskedLine {
            source,
            at,
            outcome,
            note,
            answered_at: (answered_at > 0).then_some(answered_at),
        };
        Self { asked: wire.asked.into_iter().map(line).collect() }
    }
}

impl AskedView {
    pub fn render(&self) -> String {
        if self.asked.is_empty() {
            return "Nothing was asked for from this machine: croft request URL --why TEXT\n".to_owned();
        }
        let line = |AskedLine { source, at, outcome, note, answered_at }: &AskedLine| {
            let mut text = format!("{:<9} {}\n", one_line(outcome), one_line(source));
            text.push_str(&format!("{:10}asked {}", "", moment::exact(*at)));
            if let Some(answered_at) = answered_at {
                text.push_str(&format!(", answered {}", moment::exact(*answered_at)));
            }
            if !note.is_empty() {
                text.push_str(&format!("\n{:10}{}", "", one_line(note)));
            }
            text + "\n"
        };
        self.asked.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_shows_its_outcome_and_the_admins_words_and_no_control_characters() {
        let asked = |outcome: &str, note: &str, answered_at| WireLine {
            source: "https://x.test/m".to_owned(),
            at: 86_400,
            outcome: outcome.to_owned(),
            note: note.to_owned(),
            answered_at,
        };
        let asked = vec![asked("approved", "next\u{1b}[31m week", 90_000), asked("pending", "", 0)];
        let text = AskedView::from(ListAskedResponse { asked }).render();
        assert!(text.starts_with("approved  https://x.test/m\n"), "{text}");
        assert!(text.contains("answered") && text.contains("week") && !text.contains('\u{1b}'), "{text}");
        assert!(text.contains("pending   https://x.test/m\n"), "{text}");
    }
}
