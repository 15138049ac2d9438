//! From findings to what becomes of the request: refused, rewritten with marks, or passed on.

use std::collections::{BTreeMap, BTreeSet};

use croft_domain::code::Code;
use croft_domain::data_class::{DataAction, DataClass};

use super::super::errors::Refusal;
use super::super::limits::SCAN_STEP_LEN;
use super::{Rules, Scan};

/// What was replaced. Empty: nothing.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Screened {
    /// Rule by rule, how often.
    counts: BTreeMap<String, usize>,
    kinds: BTreeSet<DataClass>,
}

impl Screened {
    /// Whether anything was replaced.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        !self.counts.is_empty()
    }

    /// Of which kinds it was.
    #[must_use]
    pub const fn kinds(&self) -> &BTreeSet<DataClass> {
        &self.kinds
    }

    /// For the response's header: `github-token=1, email-address=2`.
    #[must_use]
    pub fn header(&self) -> String {
        let counts: Vec<_> = self.counts.iter().map(|(id, count)| format!("{id}={count}")).collect();
        counts.join(", ")
    }
}

/// Looks through all texts of a request, giving others their turn in between, and replaces what is to be redacted.
///
/// # Errors
/// [`Code::DataBlocked`], naming the kinds.
pub async fn screen(rules: &Rules, texts: Vec<&mut String>) -> Result<Screened, Refusal> {
    let mut screened = Screened::default();
    if rules.is_empty() {
        return Ok(screened);
    }
    let mut blocked: BTreeMap<String, DataClass> = BTreeMap::new();
    for text in texts {
        let mut scan = Scan::new(rules, text);
        while scan.step(SCAN_STEP_LEN) {
            tokio::task::yield_now().await;
        }
        let mut cleaned = String::new();
        let mut kept_to = 0;
        for finding in scan.findings() {
            if rules.action(finding.class) == DataAction::Block {
                blocked.insert(finding.kind.to_owned(), finding.class);
                continue;
            }
            cleaned.push_str(&text[kept_to..finding.start]);
            cleaned.push_str("[redacted: ");
            cleaned.push_str(finding.id);
            cleaned.push(']');
            kept_to = finding.end;
            *screened.counts.entry(finding.id.to_owned()).or_default() += 1;
            screened.kinds.insert(finding.class);
        }
        if kept_to > 0 {
            cleaned.push_str(&text[kept_to..]);
            *text = cleaned;
        }
    }
    if blocked.is_empty() { Ok(screened) } else { Err(refusal(&blocked)) }
}

fn refusal(blocked: &BTreeMap<String, DataClass>) -> Refusal {
    let kinds: Vec<_> = blocked.iter().map(|(kind, class)| format!("{kind} ({})", class.as_str())).collect();
    let kinds = kinds.join(", ");
    Refusal::new(
        Code::DataBlocked,
        format!(
            "the request holds {kinds}, which your organization keeps from models; nothing was sent to the model"
        ),
    )
    .for_content(blocked.values().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(rules: &[(DataClass, DataAction)], texts: &mut [String]) -> Result<Screened, Refusal> {
        let rules = Rules::new(&rules.iter().copied().collect());
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(screen(&rules, texts.iter_mut().collect()))
    }

    #[test]
    fn what_is_redacted_is_replaced_by_its_kind_and_counted() {
        let mut texts = ["é jane@acme.io, joe@acme.io é".to_owned(), "card 4111111111111111".to_owned()];
        let rules =
            [(DataClass::EmailAddresses, DataAction::Redact), (DataClass::PaymentCards, DataAction::Redact)];
        let screened = run(&rules, &mut texts).map_err(|refusal| refusal.message).expect("allowed");
        assert_eq!(texts[0], "é [redacted: email-address], [redacted: email-address] é");
        assert_eq!(texts[1], "card [redacted: payment-card]");
        assert_eq!(screened.header(), "email-address=2, payment-card=1");
        assert_eq!(*screened.kinds(), [DataClass::PaymentCards, DataClass::EmailAddresses].into());
    }

    #[test]
    fn a_block_names_kinds_and_quotes_nothing() {
        let mut texts = ["jane@acme.io pays with 4111 1111 1111 1111".to_owned()];
        let rules =
            [(DataClass::EmailAddresses, DataAction::Redact), (DataClass::PaymentCards, DataAction::Block)];
        let refusal = run(&rules, &mut texts).expect_err("a card");
        assert_eq!(refusal.code, Code::DataBlocked);
        assert_eq!(refusal.found, [DataClass::PaymentCards].into());
        assert!(refusal.message.contains("a payment card number (payment-cards)"), "{}", refusal.message);
        assert!(!refusal.message.contains("4111") && !refusal.message.contains("jane"));
    }

    #[test]
    fn what_no_baseline_names_passes_as_it_is() {
        let mut texts = ["4111 1111 1111 1111".to_owned()];
        assert_eq!(run(&[], &mut texts).ok(), Some(Screened::default()));
        assert_eq!(texts[0], "4111 1111 1111 1111");
    }
}
