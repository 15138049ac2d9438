//! A verdict as a tree for people: the one form in which `croft why` and `croftctl describe node` show it.
//!
//! The worst comes first. Each check says what it found, why, since when, by which method, what it serves in the
//! organization's catalogs and what to do about it. Commands of remedies come from this program's own table (P10).

use std::fmt::Write;

use crate::fact::{Attempt, Fact, Observation};
use crate::moment::{Exact, describe};
use crate::printable::one_line;
use crate::remedy::guide;
use crate::time::Timestamp;
use crate::verdict::{CheckResult, Effect, Status, Verdict};

/// Attempts of a self-test in one line.
const ATTEMPTS_PER_LINE: usize = 4;

/// Draws `verdict` at `now`. `facts` are those that it judges, as far as whoever asks has them: what a self-test tried is
/// shown from them, and the trace of what does not pass.
#[must_use]
pub fn tree(verdict: &Verdict, facts: &[Fact], now: Timestamp, exact: Exact) -> String {
    let when = describe(verdict.at, now, exact);
    let assurance = verdict.assurance.words();
    let mut text = format!("judged {when} by {}, evidence {assurance}\n", verdict.baseline);
    let mut checks: Vec<&CheckResult> = verdict.checks.iter().collect();
    // Stable: within one effect the baseline's order stays.
    checks.sort_by_key(|check| (std::cmp::Reverse(check.effect), check.status == Status::Pass));
    for (index, check) in checks.iter().enumerate() {
        // The commands for the root disk are those for home: once is enough.
        let above = checks[..index].iter().find(|other| is_mended_alike(other, check));
        let fact = facts.iter().find(|fact| fact.check == check.check && fact.subject == check.subject);
        let branch = if index + 1 == checks.len() { ("└─", "  ") } else { ("├─", "│ ") };
        draw((check, above.copied()), fact, branch, (now, exact), &mut text);
    }
    text
}

fn is_mended_alike(one: &CheckResult, other: &CheckResult) -> bool {
    let guide_of = |check: &CheckResult| guide(check.check.as_str(), &check.subject);
    one.remedy.is_some() && one.remedy == other.remedy && guide_of(one) == guide_of(other)
}

fn draw(
    (check, above): (&CheckResult, Option<&CheckResult>),
    fact: Option<&Fact>,
    (branch, stem): (&str, &str),
    (now, exact): (Timestamp, Exact),
    text: &mut String,
) {
    let effect = effect_words(check, now, exact);
    let (status, subject) = (status_word(check.status), one_line(&check.subject));
    let _ = writeln!(text, "{branch} {status:<7} {} {subject}{effect}", check.check);
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(text, "{stem}    {name:<7} {}", one_line(value));
    };
    row("reason", &check.reason);
    row("since", &describe(check.since, now, exact));
    // Flapping: its grace runs from the first failure and not from the last.
    if let Some(failing) = check.failing_since.filter(|failing| *failing != check.since) {
        row("failing", &format!("first {}", describe(failing, now, exact)));
    }
    row("method", &check.method);
    if !check.controls.is_empty() {
        row("serves", &check.controls.join(", "));
    }
    if let Some(above) = above {
        row("remedy", &format!("as for {} above", above.subject));
    } else if let Some(remedy) = &check.remedy {
        let back = if remedy.reversible { "yes" } else { "no" };
        row("remedy", &remedy.action);
        row("", &format!("effort: {}; risk: {}; reversible: {back}", remedy.effort, remedy.risk));
        let guide = guide(check.check.as_str(), &check.subject);
        guide.into_iter().flat_map(|guide| guide.commands).for_each(|line| row("fix", line));
    }
    let Some(fact) = fact else { return };
    if let Observation::SelfTest { attempts, layers } = &fact.observation {
        let layers: Vec<String> = layers.iter().map(ToString::to_string).collect();
        row("layers", &layers.join(", "));
        for line in attempts.chunks(ATTEMPTS_PER_LINE) {
            let words: Vec<String> = line.iter().map(attempt_words).collect();
            row("tried", &words.join(", "));
        }
    }
    if check.status != Status::Pass {
        fact.trace.iter().for_each(|line| row("trace", line));
    }
}

fn attempt_words(attempt: &Attempt) -> String {
    let Attempt { name, errno } = attempt;
    format!("{name} {}", errno.as_deref().unwrap_or("NOT REFUSED"))
}

const fn status_word(status: Status) -> &'static str {
    match status {
        Status::Pass => "pass",
        Status::Fail => "fail",
        Status::Unknown => "unknown",
        Status::NotApplicable => "n/a",
        Status::Waived => "waived",
    }
}

fn effect_words(check: &CheckResult, now: Timestamp, exact: Exact) -> String {
    match (check.effect, check.blocks_at) {
        (_, Some(at)) if check.status == Status::Waived => {
            format!(": excepted by a signed waiver, blocks {}", describe(at, now, exact))
        }
        (Effect::Block, _) => ": blocks serving".to_owned(),
        (Effect::Warn, Some(at)) => format!(": blocks {}", describe(at, now, exact)),
        (Effect::Warn, None) => ": warns".to_owned(),
        (Effect::Notify, _) => ": only reported, and told here".to_owned(),
        (Effect::Report, _) => ": only reported".to_owned(),
        (Effect::None, _) => String::new(),
    }
}
