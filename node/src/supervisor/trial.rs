//! What a worker must show before its model serves: that its runtime makes of the template what was approved, and that
//! the model answers its check prompts. The worker asks the checks; whether the renderings are the approved ones is
//! judged here, where the signed manifest is.

use croft_domain::bundle::{CheckPrompt, Rendered};
use croft_domain::code::Code;
use croft_domain::probe::{PROBE_SET, transcript};
use croft_proto::frames::{self, Check, Measure, Rendering, Trial, WorkerReady};
use croft_trust::digest::sha256;
use prost::Message as _;

use super::LoadOrder;
use crate::failure::Failure;

/// The checks as the worker reads them, and what it is to measure if it is not to serve.
#[must_use]
pub fn encode(checks: &[CheckPrompt], measure: Option<Measure>) -> Vec<u8> {
    let check =
        |check: &CheckPrompt| Check { prompt: check.prompt.clone(), contains: check.contains.clone() };
    Trial { checks: checks.iter().map(check).collect(), measure }.encode_to_vec()
}

/// What one worker has shown so far.
#[derive(Debug)]
pub struct Shown {
    approved: Option<Rendered>,
    checks: usize,
    has_template: bool,
    is_rendered: bool,
}

impl Shown {
    /// Nothing yet.
    #[must_use]
    pub fn of(order: &LoadOrder) -> Self {
        let has_template = !order.template.is_empty();
        Self { approved: order.rendered, checks: order.checks.len(), has_template, is_rendered: false }
    }

    /// Holds what the runtime makes of the template against what was approved.
    ///
    /// # Errors
    /// `E-TEMPLATE-DIFFERS`, saying in which way.
    pub fn compare(&mut self, rendered: frames::Rendered) -> Result<(), Failure> {
        let differs = |message: String| Err(Failure::new(Code::TemplateDiffers, message));
        let frames::Rendered { probe_set, renderings } = rendered;
        let Some(approved) = self.approved else {
            return differs("the manifest does not say what the template renders".to_owned());
        };
        if approved.probe_set != PROBE_SET || probe_set != PROBE_SET {
            return differs(format!(
                "approved with probe set {}, this worker has {probe_set}, this node {PROBE_SET}",
                approved.probe_set
            ));
        }
        let text = |rendering: Rendering| (!rendering.refused).then_some(rendering.text);
        let renderings: Vec<Option<String>> = renderings.into_iter().map(text).collect();
        let found = transcript(&renderings).map(|bytes| sha256(&bytes));
        if found != Some(approved.sha256) {
            let found = found.map_or_else(|| "an incomplete set".to_owned(), |digest| digest.to_string());
            return differs(format!("the template renders to {found}, approved is {}", approved.sha256));
        }
        self.is_rendered = true;
        Ok(())
    }

    /// Whether nothing is missing. A worker that left something out is not believed.
    ///
    /// # Errors
    /// `E-TEMPLATE-DIFFERS` or `E-CHECK-FAILED`.
    pub fn is_complete(&self, ready: &WorkerReady) -> Result<(), Failure> {
        if self.has_template && !self.is_rendered {
            return Err(Failure::new(
                Code::TemplateDiffers,
                "the worker did not show what the template renders",
            ));
        }
        if usize::try_from(ready.checks_passed).ok() != Some(self.checks) {
            let message = format!("{} of {} check prompts were answered", ready.checks_passed, self.checks);
            return Err(Failure::new(Code::CheckFailed, message));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use croft_domain::digest::Sha256Digest;
    use croft_domain::probe::PROBES;

    fn shown(approved: Option<Rendered>, checks: usize) -> Shown {
        Shown { approved, checks, has_template: true, is_rendered: false }
    }

    fn renderings(text: &str) -> frames::Rendered {
        let one = Rendering { refused: false, text: text.to_owned() };
        frames::Rendered { probe_set: PROBE_SET, renderings: vec![one; PROBES.len()] }
    }

    fn approved(text: &str) -> Rendered {
        let bytes = transcript(&vec![Some(text.to_owned()); PROBES.len()]).expect("complete");
        Rendered { probe_set: PROBE_SET, sha256: sha256(&bytes) }
    }

    fn code(result: Result<(), Failure>) -> Option<Code> {
        result.err().map(|failure| failure.code())
    }

    #[test]
    fn p3_what_is_rendered_must_be_what_was_approved() {
        assert_eq!(code(shown(Some(approved("a")), 0).compare(renderings("a"))), None);
        assert_eq!(code(shown(Some(approved("a")), 0).compare(renderings("b"))), Some(Code::TemplateDiffers));
        let wrong = Rendered { sha256: Sha256Digest([7; 32]), ..approved("a") };
        assert_eq!(code(shown(Some(wrong), 0).compare(renderings("a"))), Some(Code::TemplateDiffers));
        assert_eq!(code(shown(None, 0).compare(renderings("a"))), Some(Code::TemplateDiffers));
        let other_set = Rendered { probe_set: PROBE_SET + 1, ..approved("a") };
        assert_eq!(code(shown(Some(other_set), 0).compare(renderings("a"))), Some(Code::TemplateDiffers));
        let mut fewer = renderings("a");
        fewer.renderings.pop();
        assert_eq!(code(shown(Some(approved("a")), 0).compare(fewer)), Some(Code::TemplateDiffers));
    }

    #[test]
    fn p3_a_worker_that_leaves_something_out_is_not_believed() {
        let ready = |checks_passed| WorkerReady { checks_passed, ..WorkerReady::default() };
        let mut one = shown(Some(approved("a")), 2);
        assert_eq!(code(one.is_complete(&ready(2))), Some(Code::TemplateDiffers));
        one.compare(renderings("a")).expect("the same");
        assert_eq!(code(one.is_complete(&ready(1))), Some(Code::CheckFailed));
        assert_eq!(code(one.is_complete(&ready(2))), None);
        let bare = Shown { approved: None, checks: 0, has_template: false, is_rendered: false };
        assert_eq!(code(bare.is_complete(&ready(0))), None, "an embedding model has no template");
    }
}
