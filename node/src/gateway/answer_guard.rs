//! What answers may not hold, by the baseline. Calls of tools are kept until the end, because a secret in their
//! arguments may come in many pieces; text and thoughts go out as they settle.

use std::collections::BTreeSet;
use std::rc::Rc;

use croft_domain::data_class::DataClass;
use croft_domain::usage::Sensitivity;
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
    in_calls: BTreeSet<DataClass>,
    daemon: Rc<Outbox>,
    slot: u32,
    class: Sensitivity,
}

impl AnswerGuard {
    /// For an answer of that model to a request for data of a class; none where nothing is forbidden.
    #[must_use]
    pub fn new(
        rules: Rc<Rules>,
        daemon: &Rc<Outbox>,
        model: &ServedModel,
        class: Sensitivity,
    ) -> Option<Self> {
        (!rules.is_empty()).then(|| Self {
            text: Outgoing::new(Rc::clone(&rules)),
            reasoning: Outgoing::new(Rc::clone(&rules)),
            calls: Fragment::default(),
            in_calls: BTreeSet::new(),
            daemon: Rc::clone(daemon),
            slot: model.slot,
            class,
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
        let calls =
            calls.inspect_err(|refusal| self.daemon.blocked(self.slot, self.class, &refusal.found))?;
        let rest = self.told(text, reasoning, calls)?;
        let mut kinds = std::mem::take(&mut self.in_calls);
        kinds.extend(self.text.redacted().iter().chain(self.reasoning.redacted()));
        if !kinds.is_empty() {
            self.daemon.redacted(self.slot, self.class, &kinds);
        }
        Ok(rest)
    }

    fn call(&mut self, mut call: Value) -> Result<Value, Refusal> {
        let arguments = call["function"]["arguments"].as_str().unwrap_or_default();
        let (arguments, redacted) = whole(&self.rules, arguments)?;
        self.in_calls.extend(redacted);
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
                self.daemon.blocked(self.slot, self.class, &refusal.found);
                Err(refusal)
            }
        }
    }
}
