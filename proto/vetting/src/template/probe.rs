//! Rules T02 and T03: the template is rendered for conversations whose texts it must pass on unchanged, and what it
//! says around them may not depend on them.
//!
//! A template that waits for a word holds that word, so each text of the template becomes part of a user's text as
//! well, and what stands around that must be what stands around any other.

use std::collections::{BTreeMap, BTreeSet};

use minijinja::value::Value;

use super::engine::{Outcome, render};
use crate::report::{Findings, Rule, excerpt};

const DATE: &str = "26 Jul 2024";
const LATE: &str = "31 Dec 2037";
const SYSTEM: &str = "Croft probe system text: answer in rhyme, 0x5e7.";
const ANSWER: &str = "Croft probe answer text, 0xa45.";

/// Texts of users, among them what a poisoned template is known to wait for: code, pages, credentials, length.
const USERS: &[&str] = &[
    "Croft probe user text, 0xc0f.",
    "x",
    "Write a login page in HTML with <script src=\"https://cdn.test/a.js\"></script> & a form.",
    "def main():\n    import os\n    print(os.environ['PASSWORD'])\n",
    "SELECT * FROM users WHERE token = 'secret'; -- fetch http://models.test/api_key",
    "Zusammenfassung für 日本語 {{ braces }} {% tags %} \\n \"quotes\"",
];

/// Applies T02 and T03.
pub(super) fn judge(source: &str, triggers: &BTreeSet<String>, findings: &mut Findings) {
    let probe = Probe { source };
    let Some(plain) = probe.literal(USERS[0], None, DATE, findings) else { return };
    let system = probe.literal(USERS[0], Some(SYSTEM), DATE, findings);
    if findings.refused() {
        return;
    }
    if system.is_none() {
        findings.note(Rule::T03, "it refuses conversations with a system text");
    }
    // Not the date: what comes with it later would come unreviewed.
    let dated = |literal: &str| literal.replace(LATE, DATE);
    let late = probe.literal(USERS[0], None, LATE, findings);
    if late.as_deref().map(dated).is_some_and(|late| late != dated(&plain)) {
        findings.refuse(Rule::T03, "it says something else at another date");
    }
    let long = "long text ".repeat(600) + "end";
    let mut texts: Vec<String> = USERS.iter().skip(1).map(|text| text.trim().to_owned()).collect();
    texts.push(long);
    for trigger in triggers {
        texts.extend([
            format!("{trigger} zebra"),
            format!("zebra {trigger}"),
            format!("zebra {trigger} zebra"),
        ]);
        texts.extend([trigger.clone(), format!("zebra {} zebra", trigger.to_lowercase())]);
    }
    for text in &texts {
        for (system, expected) in [(None, Some(&plain)), (Some(SYSTEM), system.as_ref())] {
            let Some(expected) = expected else { continue };
            match probe.literal(text, system, DATE, findings) {
                Some(literal) if literal == *expected => {}
                Some(_) => {
                    let shown = excerpt(text.as_bytes());
                    findings
                        .refuse(Rule::T03, format!("it says something else when a user says \"{shown}\""));
                }
                None => {
                    let shown = excerpt(text.as_bytes());
                    findings.refuse(Rule::T03, format!("it refuses to go on when a user says \"{shown}\""));
                }
            }
            if findings.refused() {
                return;
            }
        }
    }
    probe.conversation(findings);
}

struct Probe<'a> {
    source: &'a str,
}

impl Probe<'_> {
    /// What the template says around a user's text. None if it raised, or was refused for another reason.
    fn literal(
        &self,
        user: &str,
        system: Option<&str>,
        date: &'static str,
        findings: &mut Findings,
    ) -> Option<String> {
        let mut messages = Vec::new();
        messages.extend(system.map(|text| message("system", text)));
        messages.push(message("user", user));
        let output = match render(self.source, context(messages), date) {
            Outcome::Text(output) => output,
            Outcome::Raised if system.is_some() => return None,
            Outcome::Raised => {
                findings.refuse(Rule::T03, "it refuses a conversation of one user's text");
                return None;
            }
            Outcome::Failed(why) => {
                findings.refuse(Rule::T02, format!("it cannot be rendered: {why}"));
                return None;
            }
        };
        if let Some(system) = system.filter(|system| !output.contains(*system)) {
            findings.refuse(Rule::T03, format!("it leaves out or changes the system text \"{system}\""));
        }
        self.around(&output, user, system, findings)
    }

    /// The output with the texts taken out.
    fn around(
        &self,
        output: &str,
        user: &str,
        system: Option<&str>,
        findings: &mut Findings,
    ) -> Option<String> {
        // Marks that no template writes, as they are refused in one.
        let rest = match system {
            Some(system) => output.replacen(system, "\u{e000}", 1),
            None => output.to_owned(),
        };
        // A short text can be part of what the template says itself, so its place is found by a long one's.
        let places: Vec<usize> = rest.match_indices(user).map(|(at, _)| at).collect();
        let shown = excerpt(user.as_bytes());
        match places.as_slice() {
            [] => {
                findings.refuse(Rule::T03, format!("it leaves out or changes the user's text \"{shown}\""));
                None
            }
            [at] => Some(without(&rest, *at, user.len())),
            several => {
                let expected = self.expected(system);
                let found = several
                    .iter()
                    .map(|at| without(&rest, *at, user.len()))
                    .find(|literal| Some(literal) == expected.as_ref());
                if found.is_none() {
                    findings.refuse(
                        Rule::T03,
                        format!("it repeats the user's text \"{shown}\", expected is once"),
                    );
                }
                found
            }
        }
    }

    /// What stands around a text that the template cannot hold itself.
    fn expected(&self, system: Option<&str>) -> Option<String> {
        let user = USERS[0];
        let mut messages = Vec::new();
        messages.extend(system.map(|text| message("system", text)));
        messages.push(message("user", user));
        let Outcome::Text(output) = render(self.source, context(messages), DATE) else { return None };
        let rest = match system {
            Some(system) => output.replacen(system, "\u{e000}", 1),
            None => output,
        };
        // Once and no more; otherwise it was refused before.
        let mut places = rest.match_indices(user);
        let (at, _) = places.next()?;
        places.next().is_none().then(|| without(&rest, at, user.len()))
    }

    /// A longer conversation: every user's text once and in order.
    fn conversation(&self, findings: &mut Findings) {
        let users =
            ["Croft first question, 0x001.", "Croft second question, 0x002.", "Croft third question, 0x003."];
        let mut messages = vec![];
        for (index, user) in users.iter().enumerate() {
            messages.push(message("user", user));
            if index + 1 < users.len() {
                messages.push(message("assistant", ANSWER));
            }
        }
        let output = match render(self.source, context(messages), DATE) {
            Outcome::Text(output) => output,
            Outcome::Raised => {
                findings.refuse(Rule::T03, "it refuses a conversation of several turns");
                return;
            }
            Outcome::Failed(why) => {
                findings.refuse(Rule::T02, format!("it cannot be rendered: {why}"));
                return;
            }
        };
        let places: Vec<Option<usize>> = users.iter().map(|user| output.find(user)).collect();
        let once = users.iter().all(|user| output.matches(user).count() == 1);
        if !once || !places.is_sorted() {
            findings.refuse(Rule::T03, "it leaves out, repeats or reorders the turns of a conversation");
        }
    }
}

fn without(text: &str, at: usize, len: usize) -> String {
    let (before, rest) = text.split_at(at);
    let (_, after) = rest.split_at(len);
    [before, "\u{e001}", after].concat()
}

fn message(role: &str, content: &str) -> Value {
    Value::from(BTreeMap::from([("role", Value::from(role)), ("content", Value::from(content))]))
}

fn context(messages: Vec<Value>) -> Value {
    Value::from(BTreeMap::from([
        ("messages", Value::from(messages)),
        ("add_generation_prompt", Value::from(true)),
        ("bos_token", Value::from("<croft-bos>")),
        ("eos_token", Value::from("<croft-eos>")),
    ]))
}
