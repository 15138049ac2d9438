//! `croft consent`.

use croft_proto::grpc::{CollectedItem, ConsentResponse};
use serde::Serialize;

use crate::output::one_line;

/// What is collected besides the minimum, and what waits.
#[derive(Debug, Serialize)]
pub struct ConsentView {
    /// The baseline that asks; empty if none is in force.
    pub baseline: String,
    pub items: Vec<ItemView>,
}

/// One item.
#[derive(Debug, Serialize)]
pub struct ItemView {
    pub name: String,
    pub meaning: String,
    /// `collected`, `waiting`, `not-asked` or `never`.
    pub state: String,
}

impl From<ConsentResponse> for ConsentView {
    fn from(wire: ConsentResponse) -> Self {
        let ConsentResponse { baseline, items } = wire;
        let item = |CollectedItem { name, meaning, state }| ItemView { name, meaning, state };
        Self { baseline, items: items.into_iter().map(item).collect() }
    }
}

impl ConsentView {
    pub fn is_waiting(&self) -> bool {
        self.items.iter().any(|item| item.state == "waiting")
    }

    pub fn render(&self) -> String {
        let baseline = if self.baseline.is_empty() { "none in force" } else { &self.baseline };
        let mut text = format!("baseline           {}\n", one_line(baseline));
        for ItemView { name, meaning, state } in &self.items {
            let state = match state.as_str() {
                "collected" => "collected",
                "waiting" => "WAITS FOR YOUR YES",
                "not-asked" => "not asked for",
                _ => "never on this machine",
            };
            text.push_str(&format!("{:<18} {state}\n{:19}{}\n", one_line(name), "", one_line(meaning)));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p10_what_waits_stands_out() {
        let item = |name: &str, state: &str| CollectedItem {
            name: name.to_owned(),
            meaning: "what it is".to_owned(),
            state: state.to_owned(),
        };
        let wire = ConsentResponse {
            baseline: "laptop@4".to_owned(),
            items: vec![item("fact-traces", "never"), item("census-models", "waiting")],
        };
        let view = ConsentView::from(wire);
        assert!(view.is_waiting());
        insta::assert_snapshot!(view.render(), @r"
        baseline           laptop@4
        fact-traces        never on this machine
                           what it is
        census-models      WAITS FOR YOUR YES
                           what it is
        ");
    }
}
