//! Appraisal: the pure function from baseline, waivers, evidence, history and time to a verdict.
//!
//! It runs on both sides. The node's own answer can only make it stricter with itself; the controller's is what
//! a lease follows from.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::baseline::{Baseline, CheckMode, CheckPolicy, WaiverPolicy};
use crate::evidence::{Evidence, Ownership};
use crate::fact::{Confidence, DiskState, Fact, Observation};
use crate::hardware::{self, BootState};
use crate::id::{CheckName, GroupName, NodeId};
use crate::remedy;
use crate::time::Timestamp;
use crate::verdict::{Assurance, CheckResult, Effect, Status, Verdict};
use crate::waiver::Waiver;

/// Since when each check has had its present answer, so that grace runs from the first failure and not from the last.
pub type History = BTreeMap<(CheckName, String), Remembered>;

/// What is remembered of one check on one subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remembered {
    /// Its answer.
    pub status: Status,
    /// Since when it has had it.
    pub since: Timestamp,
    /// When it first failed in the episode that is not over yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Timestamp>,
}

impl Remembered {
    fn began(&self) -> Option<Timestamp> {
        self.failing_since.or((!is_holding(self.status)).then_some(self.since))
    }
}

/// Whom the verdict is about, besides what the evidence says.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// The node's group.
    pub group: &'a GroupName,
    /// How far the evidence's signature is rooted.
    pub assurance: Assurance,
    /// What its TPM quoted together with the evidence, verified.
    pub boot: Option<&'a BootState>,
}

impl<'a> Subject<'a> {
    /// A node of which nothing is known but its own word.
    #[must_use]
    pub const fn self_reported(group: &'a GroupName) -> Self {
        Self { group, assurance: Assurance::SelfReported, boot: None }
    }
}

/// Judges evidence by a baseline.
///
/// `evidence` must have passed [`Evidence::check_bounds`] and its signature must have been verified. A check that the
/// baseline names and the evidence does not is *unknown*, and unknown never passes.
#[must_use]
pub fn appraise(
    baseline: &Baseline,
    waivers: &[Waiver],
    evidence: &Evidence,
    history: &History,
    subject: &Subject<'_>,
    now: Timestamp,
) -> Verdict {
    let mut checks = Vec::new();
    for (name, policy) in &baseline.checks {
        let found = if name.as_str() == hardware::CHECK {
            hardware::findings(&baseline.tpm, policy, subject)
        } else {
            findings(name, policy, evidence, baseline)
        };
        let gone = gone_since(history, name, &found);
        for mut finding in found {
            if finding.status == Status::Pass && subject.assurance < policy.assurance {
                finding.status = Status::Unknown;
                finding.reason = format!(
                    "{}, but the evidence is rooted less deep than the baseline asks for",
                    finding.reason
                );
            }
            let holds = is_holding(finding.status);
            let waived_until = waived_until(name, policy, waivers, evidence.node, subject.group, now);
            let waived_until = waived_until.filter(|_| !holds);
            let status = if waived_until.is_some() { Status::Waived } else { finding.status };
            let key = (name.clone(), finding.subject);
            let since = match history.get(&key) {
                Some(before) if is_holding(before.status) == is_holding(status) => before.since.min(now),
                _ => now,
            };
            let began = history.get(&key).map_or(gone, Remembered::began);
            let failing_since = episode(began, is_holding(status), since, policy, now);
            let clock = failing_since.unwrap_or(since);
            let (effect, blocks_at) = effect(policy, status, clock, waived_until, now);
            let (effect, blocks_at) = if is_capped(name, baseline, evidence) {
                (effect.min(Effect::Warn), None)
            } else {
                (effect, blocks_at)
            };
            let guide = remedy::guide(name.as_str(), &key.1).filter(|_| effect > Effect::None);
            checks.push(CheckResult {
                check: key.0,
                subject: key.1,
                status,
                effect,
                reason: finding.reason,
                remedy: guide.map(remedy::Guide::remedy),
                since,
                failing_since,
                blocks_at,
                method: finding.method,
                controls: policy.controls.clone(),
            });
        }
    }
    checks.extend(of_tomorrow(baseline, evidence, now));
    Verdict { baseline: baseline.reference(), at: now, assurance: subject.assurance, checks }
}

/// What else runs on somebody's own machine is at most warned of below tier 3, whatever a baseline says.
fn is_capped(check: &CheckName, baseline: &Baseline, evidence: &Evidence) -> bool {
    check.as_str() == "census-conformity" && evidence.ownership == Ownership::Personal && baseline.tier < 3
}

/// Facts for checks that this side does not know: kept, shown, and never a pass. They lead to nothing.
fn of_tomorrow(baseline: &Baseline, evidence: &Evidence, now: Timestamp) -> Vec<CheckResult> {
    let is_new = |fact: &&Fact| !remedy::is_known(&fact.check) && !baseline.checks.contains_key(&fact.check);
    let shown = evidence.facts.iter().filter(is_new).map(|fact| CheckResult {
        check: fact.check.clone(),
        subject: fact.subject.clone(),
        status: Status::Unknown,
        effect: Effect::None,
        reason: "the node sent a fact for a check that neither the baseline nor this version knows"
            .to_owned(),
        remedy: None,
        since: now,
        failing_since: None,
        blocks_at: None,
        method: fact.method.clone(),
        controls: Vec::new(),
    });
    shown.collect()
}

/// The history after `verdict`, to be kept for the next appraisal.
#[must_use]
pub fn history_of(verdict: &Verdict) -> History {
    let remembered =
        |c: &CheckResult| Remembered { status: c.status, since: c.since, failing_since: c.failing_since };
    verdict.checks.iter().map(|c| ((c.check.clone(), c.subject.clone()), remembered(c))).collect()
}

// Fail and unknown run on one clock: else a node could restart its grace by hiding a fact now and then.
const fn is_holding(status: Status) -> bool {
    matches!(status, Status::Pass | Status::NotApplicable)
}

/// Longest that a check must hold again before its failure is over, in seconds (seven days).
const SETTLE_MAX_S: u64 = 7 * 86_400;

/// When the failing began that still counts. A check that flips within its grace does not restart it: a failure is over
/// only when the check has held for as long as its grace, and at most for [`SETTLE_MAX_S`].
fn episode(
    began: Option<Timestamp>,
    holds: bool,
    since: Timestamp,
    policy: &CheckPolicy,
    now: Timestamp,
) -> Option<Timestamp> {
    if holds {
        return began.filter(|_| now.since(since) < policy.grace_s.min(SETTLE_MAX_S));
    }
    Some(began.unwrap_or(now).min(now))
}

/// The earliest clock among subjects of a check that were remembered and are not told of any more: what takes their place
/// goes on from there, so that renaming or hiding a subject restarts nothing.
fn gone_since(history: &History, check: &CheckName, found: &[Answer]) -> Option<Timestamp> {
    let is_gone = |subject: &str| found.iter().all(|answer| answer.subject != subject);
    let of_check = history.iter().filter(|((name, subject), _)| name == check && is_gone(subject));
    of_check.filter_map(|(_, remembered)| remembered.began()).min()
}

/// Until when the longest waiver in force covers this check here; none where the baseline allows no waivers.
fn waived_until(
    check: &CheckName,
    policy: &CheckPolicy,
    waivers: &[Waiver],
    node: NodeId,
    group: &GroupName,
    now: Timestamp,
) -> Option<Timestamp> {
    if policy.waivers == WaiverPolicy::Never {
        return None;
    }
    waivers.iter().filter(|w| w.covers(check, node, group, now)).map(Waiver::ends_at).max()
}

fn effect(
    policy: &CheckPolicy,
    status: Status,
    since: Timestamp,
    waived_until: Option<Timestamp>,
    now: Timestamp,
) -> (Effect, Option<Timestamp>) {
    if matches!(status, Status::Pass | Status::NotApplicable) {
        return (Effect::None, None);
    }
    if let Some(until) = waived_until {
        // Grace runs on below a waiver: when the waiver ends, only what is left of the grace is left.
        return match policy.mode {
            CheckMode::Report | CheckMode::Notify => (Effect::Report, None),
            CheckMode::Block => (Effect::Report, Some(until)),
            CheckMode::Warn => (Effect::Report, Some(until.max(since.plus(policy.grace_s)))),
        };
    }
    match policy.mode {
        CheckMode::Report => (Effect::Report, None),
        CheckMode::Notify => (Effect::Notify, None),
        CheckMode::Block => (Effect::Block, None),
        CheckMode::Warn => {
            let at = since.plus(policy.grace_s);
            (if now >= at { Effect::Block } else { Effect::Warn }, Some(at))
        }
    }
}

pub(crate) struct Answer {
    pub(crate) subject: String,
    pub(crate) status: Status,
    pub(crate) reason: String,
    pub(crate) method: String,
}

impl Answer {
    /// Of a check that this version does not know, and of which the baseline names no subjects: what else should have been
    /// told cannot be known, so nothing of it passes.
    fn of_a_strange_check(self) -> Self {
        if !is_holding(self.status) {
            return self;
        }
        let reason = "this version does not know the check; the baseline must name its subjects".to_owned();
        Self { status: Status::Unknown, reason, ..self }
    }
}

fn findings(name: &CheckName, policy: &CheckPolicy, evidence: &Evidence, baseline: &Baseline) -> Vec<Answer> {
    let facts: Vec<&Fact> = evidence.facts.iter().filter(|fact| fact.check == *name).collect();
    let missing = |subject: &str| Answer {
        subject: subject.to_owned(),
        status: Status::Unknown,
        reason: "the node sent nothing about it".to_owned(),
        method: "none".to_owned(),
    };
    let wanted = wanted(name, policy, baseline);
    let mut answers = Vec::new();
    for subject in &wanted {
        // One subject can have parts, as swap has its areas; each is judged. The whole is told besides, so that a part that is
        // left out hides nothing.
        let about: Vec<&&Fact> = facts.iter().filter(|fact| is_about(fact, subject)).collect();
        let is_told = |fact: &&&Fact| fact.subject == **subject;
        if !about.iter().any(is_told) {
            answers.push(missing(subject));
        }
        answers.extend(about.into_iter().map(|fact| judge(policy, fact)));
    }
    if !policy.paths.is_empty() || !policy.subjects.is_empty() {
        return answers;
    }
    let is_other = |fact: &&&Fact| !wanted.iter().any(|subject| is_about(fact, subject));
    let others = facts.iter().filter(is_other).map(|fact| judge(policy, fact));
    if wanted.is_empty() {
        answers.extend(others.map(Answer::of_a_strange_check));
        if answers.is_empty() {
            answers.push(missing("node"));
        }
    } else {
        answers.extend(others);
    }
    answers
}

/// The subjects that must be told about: those that the baseline names, else those that a node tells in any case.
fn wanted<'a>(name: &CheckName, policy: &'a CheckPolicy, baseline: &Baseline) -> Vec<Cow<'a, str>> {
    if !policy.paths.is_empty() {
        return policy.paths.iter().map(Cow::from).collect();
    }
    if !policy.subjects.is_empty() {
        return policy.subjects.iter().map(Cow::from).collect();
    }
    if name.as_str() == "policy-acceptance" {
        // Having accepted another text, or another version, is not having accepted this one.
        return baseline.policy.iter().map(|policy| Cow::from(policy.to_string())).collect();
    }
    remedy::told(name).iter().copied().map(Cow::from).collect()
}

fn is_about(fact: &Fact, path: &str) -> bool {
    fact.subject == path || fact.subject.strip_prefix(path).is_some_and(|rest| rest.starts_with(':'))
}

fn judge(policy: &CheckPolicy, fact: &Fact) -> Answer {
    let (mut status, mut reason) = match &fact.observation {
        Observation::Disk { state } => disk(*state, &fact.subject),
        Observation::SelfTest { attempts, layers } => {
            let open: Vec<&str> =
                attempts.iter().filter(|a| a.errno.is_none()).map(|a| a.name.as_str()).collect();
            let has_seccomp = layers.iter().any(|layer| layer.as_str() == "seccomp");
            if attempts.is_empty() || !has_seccomp {
                (Status::Unknown, "no self-test under seccomp was made".to_owned())
            } else if open.is_empty() {
                (Status::Pass, format!("the kernel refused all {} attempts to break out", attempts.len()))
            } else {
                (Status::Fail, format!("the kernel did not refuse: {}", open.join(", ")))
            }
        }
        Observation::Listen { port, loopback_only: true } => {
            (Status::Pass, format!("port {port} listens on loopback only"))
        }
        Observation::Listen { port, loopback_only: false } => {
            (Status::Fail, format!("port {port} can be reached from other machines"))
        }
        Observation::Count { count: 0 } => (Status::Pass, "none found".to_owned()),
        Observation::Count { count } => (Status::Fail, format!("{count} found")),
        Observation::Flag { value: true } => (Status::Pass, flag_words(fact, true).to_owned()),
        Observation::Flag { value: false } => (Status::Fail, flag_words(fact, false).to_owned()),
        Observation::Unavailable { reason } => (Status::Unknown, reason.clone()),
    };
    let is_disk = matches!(fact.observation, Observation::Disk { .. });
    if status == Status::Pass && is_disk && fact.confidence < policy.confidence {
        status = Status::Unknown;
        reason = format!("{reason}, but with less confidence than the baseline asks for");
    }
    if status == Status::Pass && fact.confidence == Confidence::None {
        status = Status::Unknown;
        reason = "claimed without any observation".to_owned();
    }
    Answer { subject: fact.subject.clone(), status, reason, method: fact.method.clone() }
}

/// What yes and no mean, for whoever reads only this line.
fn flag_words(fact: &Fact, value: bool) -> &'static str {
    match (fact.check.as_str(), fact.subject.as_str(), value) {
        ("disk-encryption", "swap", true) => "there is no swap area",
        ("policy-acceptance", _, true) => "it was accepted here",
        ("policy-acceptance", _, false) => "nobody accepted it here",
        ("patch-level", _, true) => "as new as the baseline asks for",
        ("patch-level", _, false) => "older than the baseline asks for",
        ("endpoint", "patches", true) => "no patch waits for a restart",
        ("endpoint", "patches", false) => "a patch waits for a restart",
        ("endpoint", "time-sync", true) => "the clock is kept by a time service",
        ("endpoint", "time-sync", false) => "no time service keeps the clock",
        ("endpoint", _, true) => "it is on",
        ("endpoint", _, false) => "it is off",
        (_, _, true) => "yes",
        (_, _, false) => "no",
    }
}

fn disk(state: DiskState, subject: &str) -> (Status, String) {
    match state {
        DiskState::Encrypted => (Status::Pass, format!("{subject} is encrypted")),
        DiskState::Volatile => (Status::Pass, format!("{subject} is in memory only")),
        DiskState::Plain => (Status::Fail, format!("{subject} is not encrypted")),
        DiskState::Unknown => {
            (Status::Unknown, format!("whether {subject} is encrypted could not be found out"))
        }
    }
}
