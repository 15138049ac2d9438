//! One text, looked through from its beginning in steps, so that others get their turn between them.

use std::ops::Range;

use croft_domain::data_class::DataClass;

use super::numbers;
use super::rules::Rules;

/// Something found: where, and of what kind. What it was is not in here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding<'a> {
    /// First byte.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
    /// The rule.
    pub id: &'a str,
    /// For people.
    pub kind: &'a str,
    /// The class.
    pub class: DataClass,
}

/// The state of a look through one text.
pub struct Scan<'a> {
    rules: &'a Rules,
    bytes: &'a [u8],
    at: usize,
    /// For each rule, where it has looked already.
    done: Vec<usize>,
    runs_done: usize,
    findings: Vec<Finding<'a>>,
}

impl<'a> Scan<'a> {
    /// Begins.
    #[must_use]
    pub fn new(rules: &'a Rules, text: &'a str) -> Self {
        let done = vec![0; rules.all().len()];
        Self { rules, bytes: text.as_bytes(), at: 0, done, runs_done: 0, findings: Vec::new() }
    }

    /// Looks at the next `len` bytes; says whether more are left.
    pub fn step(&mut self, len: usize) -> bool {
        let range = self.at..self.at.saturating_add(len).min(self.bytes.len());
        self.look_for_keywords(range.clone());
        self.look_for_numbers(range.clone());
        if self.rules.wants(DataClass::EmailAddresses) {
            self.look_for_addresses(range.clone());
        }
        self.at = range.end;
        self.at < self.bytes.len()
    }

    /// What was found, in order and without overlaps: of two that overlap, the one that begins first, and longest.
    #[must_use]
    pub fn findings(mut self) -> Vec<Finding<'a>> {
        self.findings.sort_by_key(|finding| (finding.start, std::cmp::Reverse(finding.end)));
        let mut end = 0;
        self.findings.retain(|finding| {
            let is_new = finding.start >= end;
            if is_new {
                end = finding.end;
            }
            is_new
        });
        self.findings
    }

    /// Looks through all of it at once.
    #[must_use]
    pub fn all(mut self) -> Vec<Finding<'a>> {
        self.step(usize::MAX);
        self.findings()
    }

    fn look_for_keywords(&mut self, range: Range<usize>) {
        let (rules, bytes) = (self.rules, self.bytes);
        // A keyword may span the beginning of the step.
        let start = range.start.saturating_sub(rules.keyword_len_max().saturating_sub(1));
        for (index, hit) in rules.hits(&bytes[start..range.end]) {
            let rule = &rules.all()[index];
            let (before, reach) = rule.window();
            let hit = hit.start + start..hit.end + start;
            let window_end = hit.end.saturating_add(reach).min(bytes.len());
            while self.done[index] <= hit.start {
                let from = self.done[index].max(hit.start.saturating_sub(before));
                let Some(found) = rule.find(&bytes[..window_end], from) else { break };
                self.done[index] = found.whole_end.max(from + 1);
                if found.is_secret {
                    let Range { start, end } = found.secret;
                    let (id, kind, class) = (rule.id(), rule.kind(), rule.class());
                    self.findings.push(Finding { start, end, id, kind, class });
                }
            }
        }
    }

    fn look_for_numbers(&mut self, range: Range<usize>) {
        type Find = fn(&[u8], &Range<usize>) -> Option<Range<usize>>;
        const FINDS: &[(DataClass, &str, &str, Find)] = &[
            (DataClass::PaymentCards, "payment-card", "a payment card number", numbers::card),
            (DataClass::BankAccounts, "bank-account", "a bank account number", numbers::iban),
            (
                DataClass::NationalIds,
                "social-security-number",
                "a social security number",
                numbers::social_security,
            ),
        ];
        if !FINDS.iter().any(|(class, ..)| self.rules.wants(*class)) {
            return;
        }
        for run in numbers::runs(self.bytes, range, self.runs_done) {
            self.runs_done = run.end;
            for (class, id, kind, find) in FINDS.iter().filter(|(class, ..)| self.rules.wants(*class)) {
                if let Some(Range { start, end }) = find(self.bytes, &run) {
                    self.findings.push(Finding { start, end, id, kind, class: *class });
                }
            }
        }
    }

    fn look_for_addresses(&mut self, range: Range<usize>) {
        let ats = self.bytes[range.clone()].iter().enumerate().filter(|(_, byte)| **byte == b'@');
        for (at, _) in ats {
            if let Some(Range { start, end }) = numbers::email(self.bytes, range.start + at) {
                let (id, kind) = ("email-address", "an e-mail address");
                self.findings.push(Finding { start, end, id, kind, class: DataClass::EmailAddresses });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use croft_domain::data_class::DataAction;
    use proptest::prelude::*;

    use super::*;

    fn rules() -> Rules {
        Rules::new(&DataClass::ALL.iter().map(|class| (*class, DataAction::Redact)).collect())
    }

    #[test]
    fn only_named_classes_are_looked_for() {
        let cards = Rules::new(&[(DataClass::PaymentCards, DataAction::Block)].into());
        let text = "4111 1111 1111 1111 and jane@acme.io";
        let found: Vec<_> = Scan::new(&cards, text).all().iter().map(|finding| finding.class).collect();
        assert_eq!(found, [DataClass::PaymentCards]);
        let allowed = Rules::new(&[(DataClass::PaymentCards, DataAction::Allow)].into());
        assert!(allowed.is_empty() && Scan::new(&allowed, text).all().is_empty());
    }

    proptest! {
        #[test]
        fn any_text_is_looked_through_alike_whatever_the_steps(
            parts in prop::collection::vec("[ -~é]{0,40}|jane@acme\\.io|4111111111111111|123-45-6789|postgres://a:s3cr3t1@h", 0..12),
            step in 1_usize..50,
        ) {
            let rules = rules();
            let text = parts.join(" ");
            let mut scan = Scan::new(&rules, &text);
            while scan.step(step) {}
            let found = scan.findings();
            prop_assert_eq!(&found, &Scan::new(&rules, &text).all());
            for finding in found {
                prop_assert!(text.is_char_boundary(finding.start) && text.is_char_boundary(finding.end));
            }
        }
    }
}
