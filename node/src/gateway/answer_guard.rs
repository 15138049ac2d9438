//! What answers may not hold, by the baseline. Calls of tools are kept until the end, because a secret in their
//! arguments may come in many pieces; text and thoughts go out as they settle.

use std::rc::Rc;

use croft_proto::frames::ServedModel;
use serde_json::{Value, json};

use super::content::{Outgoing, Rules, whole};
use super::control::Outbox;
use super::errors::Refusal;
use super::fragment::Fragment;

/// Looks through one answer.
pub struct AnswerGuard {
    rules: Rc<Rules>,
    text: Outgoing,
    reasoning: Outgoing,
    calls: Fragment,
    in_calls: u64,
    daemon: Rc<Outbox>,
    slot: u32,
}

impl AnswerGuard {
    /// For an answer of that model; none where nothing is forbidden.
    #[must_use]
    pub fn new(rules: Rc<Rules>, daemon: &Rc<Outbox>, model: &ServedModel) -> Option<Self> {
        (!rules.is_empty()).then(|| Self {
            text: Outgoing::new(Rc::clone(&rules)),
            reasoning: Outgoing::new(Rc::clone(&rules)),
            calls: Fragment::default(),
            in_calls: 0,
            daemon: Rc::clone(daemon),
            slot: model.slot,
            rules,
        })
    }

    /// What of a piece may go out now.
    ///
    /// # Errors
    /// `E-DATA-BLOCKED`.
    pub fn piece(&mut self, piece: Fragment) -> Result<Fragment, Refusal> {
        let Fragment { text, tool_calls, reasoning, logprobs: _ } = piece;
        self.calls.append(Fragment { tool_calls, ..Fragment::default() });
        let (text, reasoning) = (self.text.push(&text), self.reasoning.push(&reasoning));
        self.told(text, reasoning, Vec::new())
    }

    /// What is left at the end.
    ///
    /// # Errors
    /// `E-DATA-BLOCKED`.
    pub fn finish(&mut self) -> Result<Fragment, Refusal> {
        let (text, reasoning) = (self.text.finish(), self.reasoning.finish());
        let calls = std::mem::take(&mut self.calls.tool_calls);
        let calls: Result<Vec<Value>, Refusal> = calls.into_iter().map(|call| self.call(call)).collect();
        let calls = calls.inspect_err(|_| self.daemon.count_screened(self.slot, 0, 1))?;
        let rest = self.told(text, reasoning, calls)?;
        if self.text.redacted() + self.reasoning.redacted() + self.in_calls > 0 {
            self.daemon.count_screened(self.slot, 1, 0);
        }
        Ok(rest)
    }

    fn call(&mut self, mut call: Value) -> Result<Value, Refusal> {
        let arguments = call["function"]["arguments"].as_str().unwrap_or_default();
        let (arguments, redacted) = whole(&self.rules, arguments)?;
        self.in_calls += redacted;
        call["function"]["arguments"] = json!(arguments);
        Ok(call)
    }

    fn told(
        &self,
        text: Result<String, Refusal>,
        reasoning: Result<String, Refusal>,
        tool_calls: Vec<Value>,
    ) -> Result<Fragment, Refusal> {
        match (text, reasoning) {
            (Ok(text), Ok(reasoning)) => Ok(Fragment { text, tool_calls, reasoning, logprobs: Vec::new() }),
            (Err(refusal), _) | (_, Err(refusal)) => {
                self.daemon.count_screened(self.slot, 0, 1);
                Err(refusal)
            }
        }
    }
}
