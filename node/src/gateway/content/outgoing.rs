//! An answer, looked through while it comes. What might still become part of something forbidden waits: the last word,
//! groups of digits, an open private key. Everything before it goes on at once, so a stream is late by a word and not by
//! an answer.

use std::collections::BTreeSet;
use std::rc::Rc;

use croft_domain::code::Code;
use croft_domain::data_class::{DataAction, DataClass};

use super::super::errors::Refusal;
use super::super::limits::{CONTEXT_KEPT_LEN, HELD_LEN_MAX, KEY_HELD_LEN_MAX, NUMBER_HELD_LEN_MAX};
use super::{Finding, Rules, Scan};

/// One text of an answer on its way out. Deliberately no `Debug`.
pub struct Outgoing {
    rules: Rc<Rules>,
    /// The end of what went out, as the model wrote it: keywords stand before secrets.
    before: String,
    held: String,
    redacted: BTreeSet<DataClass>,
}

impl Outgoing {
    /// Nothing came yet.
    #[must_use]
    pub const fn new(rules: Rc<Rules>) -> Self {
        Self { rules, before: String::new(), held: String::new(), redacted: BTreeSet::new() }
    }

    /// Of which kinds something was replaced so far.
    #[must_use]
    pub const fn redacted(&self) -> &BTreeSet<DataClass> {
        &self.redacted
    }

    /// Takes what comes next; gives what may go out now.
    ///
    /// # Errors
    /// [`Code::DataBlocked`], naming the kind.
    pub fn push(&mut self, text: &str) -> Result<String, Refusal> {
        self.held.push_str(text);
        let whole = self.held.len();
        let cut = if self.is_key_open() {
            if whole > KEY_HELD_LEN_MAX { whole } else { 0 }
        } else if whole > HELD_LEN_MAX {
            whole
        } else {
            settled(&self.held)
        };
        self.release(cut)
    }

    /// Nothing comes any more; gives the rest.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn finish(&mut self) -> Result<String, Refusal> {
        self.release(self.held.len())
    }

    /// Whether a private key began, here or just before, and has not ended.
    fn is_key_open(&self) -> bool {
        if !self.rules.wants(DataClass::PrivateKeys) {
            return false;
        }
        // The mark of the beginning may lie across what went out and what waits.
        let all = [self.before.as_str(), self.held.as_str()].concat();
        all.rfind("PRIVATE KEY").is_some_and(|at| {
            let begins = all[..at].rfind("-----BEGIN").is_some_and(|begin| at - begin < 64);
            begins && !all[at..].contains("-----END")
        })
    }

    fn release(&mut self, cut: usize) -> Result<String, Refusal> {
        if cut == 0 {
            return Ok(String::new());
        }
        let window = [self.before.as_str(), self.held.as_str()].concat();
        let begin = self.before.len();
        let findings = Scan::new(&self.rules, &window).all();
        // What lies across the cut waits whole, unless it has waited long enough.
        let across = findings.iter().find(|f| f.start < begin + cut && f.end > begin + cut);
        let cut = across.map_or(begin + cut, |f| if cut < HELD_LEN_MAX { f.start.max(begin) } else { f.end });
        let (mut out, mut kept_to) = (String::new(), begin);
        for finding in findings.iter().filter(|f| f.end > begin && f.end <= cut) {
            if self.rules.action(finding.class) == DataAction::Block {
                return Err(refusal(finding));
            }
            out.push_str(&window[kept_to..finding.start.max(kept_to)]);
            out.push_str(&mark(finding));
            kept_to = finding.end;
            self.redacted.insert(finding.class);
        }
        out.push_str(&window[kept_to..cut]);
        let keep_from = window.floor_char_boundary(cut.saturating_sub(CONTEXT_KEPT_LEN));
        self.before = window[keep_from..cut].to_owned();
        self.held = window[cut..].to_owned();
        Ok(out)
    }
}

/// A whole text with everything replaced that is to be; says of which kinds that was.
///
/// # Errors
/// [`Code::DataBlocked`], naming the kind.
pub fn whole(rules: &Rc<Rules>, text: &str) -> Result<(String, BTreeSet<DataClass>), Refusal> {
    let mut outgoing = Outgoing::new(Rc::clone(rules));
    outgoing.held.push_str(text);
    let out = outgoing.finish()?;
    Ok((out, outgoing.redacted))
}

/// How much of a text no later text can make part of a finding: all but its last word, and the groups of digits that
/// may go on behind it.
fn settled(text: &str) -> usize {
    let is_boundary = |c: char| c.is_whitespace() || !c.is_ascii();
    let last = text.char_indices().rev().find(|(_, c)| is_boundary(*c));
    let mut cut = last.map_or(0, |(at, c)| at + c.len_utf8());
    let floor = cut.saturating_sub(NUMBER_HELD_LEN_MAX);
    // 4111 1111 1111 … and DE89 3704 0044 …: groups with a blank between them.
    while cut > floor {
        let Some(head) = text[..cut].strip_suffix(' ') else { break };
        let start = head
            .rfind(|c: char| !c.is_ascii_alphanumeric() && c != '-')
            .map_or(0, |at| at + head[at..].chars().next().map_or(1, char::len_utf8));
        let group = &head[start..];
        if group.is_empty() || !group.bytes().any(|byte| byte.is_ascii_digit()) {
            break;
        }
        cut = start;
    }
    cut
}

fn mark(finding: &Finding<'_>) -> String {
    format!("[redacted: {}]", finding.id)
}

fn refusal(finding: &Finding<'_>) -> Refusal {
    let (kind, class) = (finding.kind, finding.class.as_str());
    let message =
        format!("the answer held {kind} ({class}), which your organization keeps from answers; it ends here");
    Refusal::new(Code::DataBlocked, message)
        .with_hint("ask for an answer without it")
        .for_content([finding.class])
}

#[cfg(test)]
mod tests {
    use super::*;
    use croft_domain::data_class::DataClasses;

    fn rules(action: DataAction) -> Rc<Rules> {
        let classes: DataClasses = DataClass::ALL.iter().map(|class| (*class, action)).collect();
        Rc::new(Rules::new(&classes))
    }

    /// The answer in pieces of `len` bytes.
    fn streamed(text: &str, len: usize) -> Result<String, Code> {
        let mut outgoing = Outgoing::new(rules(DataAction::Redact));
        let mut out = String::new();
        let mut rest = text;
        while !rest.is_empty() {
            let at = rest.ceil_char_boundary(len.min(rest.len()));
            out.push_str(&outgoing.push(&rest[..at]).map_err(|refusal| refusal.code)?);
            rest = &rest[at..];
        }
        out.push_str(&outgoing.finish().map_err(|refusal| refusal.code)?);
        Ok(out)
    }

    #[test]
    fn what_is_forbidden_is_replaced_however_it_is_cut() {
        let key = format!(
            "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----",
            "MIIEpAIBAAKCAQEA7Zq9rT2v\nQ1w3e5r7t9y1u3i5o7p9a1s3d5f7\n".repeat(20)
        );
        for (text, secret, id) in [
            ("pay with 4111 1111 1111 1111 now", "4111", "payment-card"),
            ("mail jane.doe@acme.io, please", "jane", "email-address"),
            ("to DE89 3704 0044 0532 0130 00 today", "3704", "bank-account"),
            ("the key:\nAKIAQ3EGRZ5VMTL2PWXN\nends", "AKIAQ3", "aws-access-key-id"),
            (&format!("see\n{key}\nthere"), "MIIEpA", "pem-private-key"),
        ] {
            for len in [1, 2, 3, 5, 8, 13, 100_000] {
                let out = streamed(text, len).expect("redacted, not blocked");
                assert!(!out.contains(secret), "{len}: {out}");
                assert_eq!(out.matches("[redacted: ").count(), 1, "{id} at {len}: {out}");
            }
        }
    }

    #[test]
    fn what_is_harmless_comes_out_as_it_was_and_at_most_a_word_late() {
        let text = "fn add(a: i32, b: i32) -> i32 { a + b } // in 2024 we had 12 of them, größer — 漢字\n";
        for len in [1, 4, 7, 100] {
            assert_eq!(streamed(text, len).as_deref(), Ok(text), "{len}");
        }
        let mut outgoing = Outgoing::new(rules(DataAction::Redact));
        let mut waiting = 0;
        for piece in ["let", " total", " =", " items", ".iter()", "\n", "    .sum();"] {
            let out = outgoing.push(piece).map_err(|refusal| refusal.code).expect("harmless");
            waiting += piece.len();
            waiting -= out.len();
            assert!(waiting <= " items.iter()".len(), "{waiting} bytes wait after {piece:?}");
        }
    }

    #[test]
    fn a_text_without_any_gap_does_not_wait_for_ever() {
        let mut outgoing = Outgoing::new(rules(DataAction::Redact));
        let out: usize = (0..100).map(|_| outgoing.push(&"x.".repeat(100)).map_or(0, |out| out.len())).sum();
        assert!(20_000 - out <= HELD_LEN_MAX, "{out}");
    }

    #[test]
    fn what_is_blocked_ends_the_answer_without_quoting_it() {
        let mut outgoing = Outgoing::new(rules(DataAction::Block));
        let mut refused = None;
        for piece in ["pay with ", "4111 1111", " 1111 1111", " now", " please"] {
            match outgoing.push(piece) {
                Ok(out) => assert!(!out.contains("4111")),
                Err(refusal) => refused = Some(refusal),
            }
        }
        let refusal = refused.expect("blocked");
        assert_eq!(refusal.code, Code::DataBlocked);
        assert!(!refusal.message.contains("4111") && refusal.message.contains("payment card"));
    }
}
