//! Review of a chat template, rules T01 to T03 and T05.
//!
//! A template decides what the model is told, so a poisoned one speaks in the user's name. It is parsed with one fixed
//! engine, held to an allow-list of what chat templates need, and rendered for a set of conversations whose texts it
//! must pass on unchanged. That what was reviewed is what is served, T04, is the manifest's
//! digest; the lint shows further templates in a file under the same rule.
//!
//! The review belongs into a confined process: fuel bounds its steps and the caps its output, but a template that
//! doubles a text in a loop can ask for more memory than the process may have, and then the process ends.

mod agree;
mod allow;
mod engine;
mod probe;
mod tokens;

pub use agree::{Renderings, agree};

use std::io::Read;

use crate::limits::TEMPLATE_LEN_MAX;
use crate::report::{Findings, Format, Report, Rule, Verdict};

/// Reviews the template that `reader` yields, of `len_bytes` bytes.
pub fn review<R: Read>(reader: R, len_bytes: u64) -> Report {
    let mut report = Report::new(Format::Template, len_bytes);
    let mut findings = Findings::default();
    let mut bytes = Vec::new();
    // One byte more than allowed shows that there is more.
    if let Err(error) = reader.take(TEMPLATE_LEN_MAX + 1).read_to_end(&mut bytes) {
        findings.warn(Rule::F02, format!("reading failed: {error}"));
        report.findings = findings.into_vec();
        return report;
    }
    if bytes.len() as u64 != len_bytes || len_bytes > TEMPLATE_LEN_MAX {
        let message =
            format!("the template is longer than {TEMPLATE_LEN_MAX} bytes or not as long as stated");
        findings.refuse(Rule::T01, message);
    } else {
        match std::str::from_utf8(&bytes) {
            Ok(source) => judge(source, &mut findings),
            Err(error) => findings.refuse_at(Rule::T01, Some(error.valid_up_to() as u64), "not UTF-8"),
        }
    }
    report.verdict = if findings.refused() { Verdict::Refuse } else { Verdict::Pass };
    report.findings = findings.into_vec();
    report
}

/// Reviews a template.
#[must_use]
pub fn review_text(source: &str) -> Report {
    review(source.as_bytes(), source.len() as u64)
}

fn judge(source: &str, findings: &mut Findings) {
    if let Some(bad) = crate::gguf::first_forbidden(source) {
        findings.refuse(Rule::T01, format!("the template holds {}", bad.escape_unicode()));
        return;
    }
    // Each step relies on what the ones before it have ruled out.
    if !tokens::judge(source, findings) {
        return;
    }
    let walked = allow::judge(source, findings);
    if let Some(walked) = walked.filter(|_| !findings.refused()) {
        probe::judge(source, &walked.triggers, findings);
    }
}

/// Where a template reaches for the objects of the language that renders it, and how. Such a template harms other tools
/// than Croft, too, which never renders the one inside a model. Nothing is rendered to find out.
pub(crate) fn escape(source: &str) -> Option<(u64, String)> {
    // What does not parse here may still be rendered elsewhere.
    let plainly = || {
        let found = PYTHON.iter().filter_map(|name| source.find(name).map(|at| (at, name))).min();
        found.map(|(at, name)| (at as u64, format!("name {name} is not allowed")))
    };
    let mut findings = Findings::default();
    if source.len() as u64 > TEMPLATE_LEN_MAX || !tokens::judge(source, &mut findings) {
        return plainly();
    }
    allow::judge(source, &mut findings).map_or_else(plainly, |walked| walked.escape)
}

/// Names by which templates have reached Python's own objects.
const PYTHON: &[&str] = &[
    "__class__",
    "__globals__",
    "__import__",
    "__builtins__",
    "__init__",
    "__mro__",
    "__subclasses__",
    "__base__",
    "__getattribute__",
    "os.system",
    "popen",
    "subprocess",
    "|attr(",
    "| attr(",
];
