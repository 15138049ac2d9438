//! Rule T05: what llama.cpp makes of the template is what the reviewing engine makes of it.
//!
//! All other rules look at the template through one engine, and the model is told what another makes of it. A template
//! that shows each of them a different face would pass the review and poison the model. Conversations of texts alone
//! are compared; with tools the engines differ in how they write JSON, and only the digest binds what becomes of those.

use std::collections::BTreeMap;

use croft_domain::probe::{PROBE_DATE, PROBE_SET, PROBES, Probe};
use minijinja::value::Value;
use serde::{Deserialize, Serialize};

use super::engine::{Outcome, render};
use crate::report::{Findings, Format, Report, Rule, Verdict, excerpt};

/// What `croft-worker --render-probes` printed: llama.cpp's renderings, under the vocabulary of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Renderings {
    /// Version of the probe set.
    pub probe_set: u32,
    /// Text of the token that begins a text; empty if there is none.
    pub bos: String,
    /// Text of the token that ends one.
    pub eos: String,
    /// Whether the tokenizer adds the first by itself, and the renderer takes it away.
    pub bos_added: bool,
    /// The same of the last.
    pub eos_added: bool,
    /// In the order of the probes; none where the template refused.
    pub renderings: Vec<Option<String>>,
}

/// Holds the template `source` against what llama.cpp made of it. The report is about the source.
#[must_use]
pub fn agree(source: &str, shown: &Renderings) -> Report {
    let mut report = Report::new(Format::Template, source.len() as u64);
    let mut findings = Findings::default();
    if shown.probe_set != PROBE_SET || shown.renderings.len() != PROBES.len() {
        findings.refuse(Rule::T05, format!("the worker rendered another probe set than {PROBE_SET}"));
    } else {
        for (probe, theirs) in PROBES.iter().zip(&shown.renderings).filter(|(probe, _)| probe.is_plain()) {
            judge(source, shown, probe, theirs.as_deref(), &mut findings);
            if findings.refused() {
                // One difference is enough, and the same one shows in every probe.
                break;
            }
        }
        if shown.renderings.iter().all(Option::is_none) {
            findings.refuse(Rule::T05, "llama.cpp cannot read it");
        }
    }
    report.verdict = if findings.refused() { Verdict::Refuse } else { Verdict::Pass };
    report.findings = findings.into_vec();
    report
}

fn judge(source: &str, shown: &Renderings, probe: &Probe, theirs: Option<&str>, findings: &mut Findings) {
    let name = probe.name;
    let ours = match render(source, context(shown, probe), PROBE_DATE) {
        Outcome::Text(text) => text,
        // llama.cpp then lays the conversation out in a form that the template takes, which is what the digest binds.
        Outcome::Raised => return,
        Outcome::Failed(why) if theirs.is_some() => {
            findings.refuse(Rule::T05, format!("llama.cpp renders probe {name}, the review cannot: {why}"));
            return;
        }
        Outcome::Failed(_) => return,
    };
    let ours = stripped(&ours, shown);
    match theirs {
        // What is refused is not served.
        None => findings.note(Rule::T05, format!("llama.cpp refuses probe {name}")),
        Some(theirs) if theirs == ours => {}
        Some(theirs) => {
            let at = theirs.bytes().zip(ours.bytes()).take_while(|(a, b)| a == b).count();
            let after = |text: &str| excerpt(text.as_bytes().get(at..).unwrap_or_default());
            findings.refuse(
                Rule::T05,
                format!(
                    "in probe {name}, from byte {at}, llama.cpp says \"{}\", the review saw \"{}\"",
                    after(theirs),
                    after(ours)
                ),
            );
        }
    }
}

/// Without what the tokenizer adds.
fn stripped<'a>(text: &'a str, shown: &Renderings) -> &'a str {
    let mut rest = text;
    if shown.bos_added {
        rest = rest.strip_prefix(shown.bos.as_str()).unwrap_or(rest);
    }
    if shown.eos_added {
        rest = rest.strip_suffix(shown.eos.as_str()).unwrap_or(rest);
    }
    rest
}

/// What llama.cpp tells a template.
fn context(shown: &Renderings, probe: &Probe) -> Value {
    let message = |turn: &croft_domain::probe::Turn| {
        Value::from(BTreeMap::from([
            ("role", Value::from(turn.role)),
            ("content", Value::from(turn.content)),
        ]))
    };
    let messages: Vec<Value> = probe.turns.iter().map(message).collect();
    let mut context = BTreeMap::from([
        ("messages", Value::from(messages)),
        ("bos_token", Value::from(shown.bos.as_str())),
        ("eos_token", Value::from(shown.eos.as_str())),
        ("enable_thinking", Value::from(true)),
        ("datetime", Value::from(PROBE_DATE)),
        ("date_string", Value::from(PROBE_DATE)),
    ]);
    if probe.generate {
        context.insert("add_generation_prompt", Value::from(true));
    }
    Value::from(context)
}
