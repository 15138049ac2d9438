//! What the node can say about its machine: facts, each with how it was found out and how far that can be believed.
//!
//! Only what the baseline asks for is looked at. Judging is the domain's work; what cannot be observed is reported as
//! such. Deliberately absent: any change to the machine, and any name of a file, host or account in a fact about
//! credentials.

pub mod capture;
pub mod command;
pub mod credentials;
pub mod disk;
pub mod endpoint;
mod packages;
mod patches;
pub mod platform;
mod view;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use croft_domain::baseline::{Baseline, CheckPolicy};
use croft_domain::fact::{Attempt, Confidence, DiskState, Fact, Observation};
use croft_domain::id::CheckName;
use croft_domain::limits::{FACTS_MAX, TEXT_LEN_MAX};

pub use command::{PostureArguments, command};
use credentials::{Outcome, Survey};
use disk::DiskFinding;
use platform::Platform;

/// What a confined process tried at its last start, and what the kernel answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelfTest {
    /// `gateway` or `worker`.
    pub role: String,
    /// Every attempt.
    pub attempts: Vec<Attempt>,
    /// The layers in force.
    pub layers: Vec<CheckName>,
}

/// Whose machine is asked about, and what for.
#[derive(Clone, Debug)]
pub struct CollectRequest<'a> {
    /// Says which checks and paths are asked for.
    pub baseline: &'a Baseline,
    /// Where `/proc` and `/sys` lie: `/`, but for captured trees.
    pub root: &'a Path,
    /// The folder of model files: `store` in baselines.
    pub store: &'a Path,
    /// The enrolled person's home: `home` in baselines.
    pub home: &'a Path,
    /// Where the gateway listens; none while it does not.
    pub gateway_listen: Option<SocketAddr>,
    /// Self-tests of the processes that run.
    pub self_tests: &'a [SelfTest],
}

/// Paths that are examined if a baseline asks for disk encryption and names none.
const DEFAULT_PATHS: [&str; 4] = ["/", "home", "store", "swap"];

/// Collects the facts that the baseline asks for. A check that is not known here gives none, and is judged unknown.
///
/// Reads files and may take tens of milliseconds: not for an async thread.
#[must_use]
pub fn collect(request: &CollectRequest<'_>) -> Vec<Fact> {
    let mut facts = Vec::new();
    let platform = platform::of(request.root);
    let platform = platform.as_ref();
    for (name, policy) in &request.baseline.checks {
        let found = match name.as_str() {
            "disk-encryption" => disks(request, platform, policy),
            "self-test" => self_tests(request),
            "api-binding" => vec![api_binding(request)],
            "endpoint" => endpoint(request, platform),
            "patch-level" => patches::collect(request, platform),
            "production-credentials" => production_credentials(request.home),
            _ => Vec::new(),
        };
        facts.extend(found.into_iter().map(|draft| draft.into_fact(name)));
    }
    facts.truncate(FACTS_MAX);
    facts
}

/// A fact before its check and the ceiling are applied.
struct Draft {
    subject: String,
    observation: Observation,
    method: &'static str,
    confidence: Confidence,
    trace: Vec<String>,
}

impl Draft {
    fn unavailable(subject: &str, reason: &str) -> Self {
        Self {
            subject: subject.to_owned(),
            observation: Observation::Unavailable { reason: reason.to_owned() },
            method: "none",
            confidence: Confidence::None,
            trace: Vec::new(),
        }
    }

    fn into_fact(self, check: &CheckName) -> Fact {
        let mut subject = self.subject;
        let end = (0..=subject.len().min(TEXT_LEN_MAX)).rev().find(|at| subject.is_char_boundary(*at));
        subject.truncate(end.unwrap_or(0));
        Fact {
            check: check.clone(),
            subject,
            observation: self.observation,
            method: self.method.to_owned(),
            confidence: self.confidence,
            // For the owner; whether it leaves the machine is decided when evidence is composed.
            trace: self.trace,
        }
    }
}

fn disks(request: &CollectRequest<'_>, platform: &dyn Platform, policy: &CheckPolicy) -> Vec<Draft> {
    let named: Vec<&str> = policy.paths.iter().map(String::as_str).collect();
    let paths = if named.is_empty() { DEFAULT_PATHS.to_vec() } else { named };
    let mut drafts = Vec::new();
    for subject in paths {
        let place = match subject {
            "swap" => {
                drafts.extend(swaps(platform));
                continue;
            }
            "home" => request.home.to_str(),
            "store" => request.store.to_str(),
            path if path.starts_with('/') => Some(path),
            _ => None,
        };
        drafts.push(match place {
            Some(path) => disk_draft(subject.to_owned(), platform.disk(path), platform),
            None => Draft::unavailable(subject, "neither home, store, swap nor an absolute path"),
        });
    }
    drafts
}

/// Each area is told by its kind and never by its path, which can hold a person's name (P10).
fn swaps(platform: &dyn Platform) -> Vec<Draft> {
    let Some(areas) = platform.swaps() else {
        return vec![Draft::unavailable("swap", "the list of swap areas cannot be read")];
    };
    if areas.is_empty() {
        return vec![Draft {
            subject: "swap".to_owned(),
            observation: Observation::Flag { value: true },
            method: "swap-areas",
            confidence: Confidence::Table,
            trace: vec!["there is no swap area".to_owned()],
        }];
    }
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    let all = disk_draft("swap".to_owned(), together(&areas), platform);
    let drafts = areas.into_iter().map(|area| {
        let kind = disk::kind_of_swap(&area.path);
        let count = seen.entry(kind).and_modify(|count| *count += 1).or_insert(1);
        let subject = if *count == 1 { format!("swap:{kind}") } else { format!("swap:{kind}-{count}") };
        disk_draft(subject, area, platform)
    });
    std::iter::once(all).chain(drafts).collect()
}

/// What holds for all areas: no better than the worst, and no surer than the least sure.
fn together(areas: &[DiskFinding]) -> DiskFinding {
    let badness = |area: &&DiskFinding| match area.state {
        DiskState::Plain => 3,
        DiskState::Unknown => 2,
        DiskState::Encrypted => 1,
        DiskState::Volatile => 0,
    };
    let worst = areas.iter().max_by_key(badness);
    DiskFinding {
        path: "swap".to_owned(),
        state: worst.map_or(DiskState::Unknown, |area| area.state),
        confidence: areas.iter().map(|area| area.confidence).min().unwrap_or(Confidence::None),
        trace: vec![format!("{} swap areas", areas.len())],
    }
}

fn disk_draft(subject: String, finding: DiskFinding, platform: &dyn Platform) -> Draft {
    Draft {
        subject,
        observation: Observation::Disk { state: finding.state },
        method: platform.disk_method(),
        confidence: finding.confidence,
        trace: finding.trace,
    }
}

fn self_tests(request: &CollectRequest<'_>) -> Vec<Draft> {
    let drafts = request.self_tests.iter().map(|test| Draft {
        subject: test.role.clone(),
        observation: Observation::SelfTest { attempts: test.attempts.clone(), layers: test.layers.clone() },
        method: "attempted-system-calls",
        confidence: Confidence::Table,
        trace: Vec::new(),
    });
    drafts.collect()
}

fn api_binding(request: &CollectRequest<'_>) -> Draft {
    match request.gateway_listen {
        None => Draft::unavailable("gateway", "the gateway does not listen"),
        Some(address) => Draft {
            subject: "gateway".to_owned(),
            observation: Observation::Listen {
                port: address.port(),
                loopback_only: address.ip().to_canonical().is_loopback(),
            },
            method: "bound-socket",
            confidence: Confidence::Table,
            trace: Vec::new(),
        },
    }
}

fn endpoint(request: &CollectRequest<'_>, platform: &dyn Platform) -> Vec<Draft> {
    let found = platform.defenses(request.home);
    let drafts = found.into_iter().map(|defense| match defense.stands {
        Ok(value) => Draft {
            subject: defense.subject.to_owned(),
            observation: Observation::Flag { value },
            method: defense.method,
            confidence: defense.confidence,
            trace: Vec::new(),
        },
        Err(reason) => Draft::unavailable(defense.subject, reason),
    });
    drafts.collect()
}

/// A fact for each rule that found something or could not look, and one for all of them together.
fn production_credentials(home: &Path) -> Vec<Draft> {
    let survey = match Survey::of(home) {
        Ok(survey) => survey,
        Err(error) => {
            return vec![Draft::unavailable("all", &format!("the home folder cannot be read: {error}"))];
        }
    };
    let count = |subject: &str, count: u32| Draft {
        subject: subject.to_owned(),
        observation: Observation::Count { count },
        method: "names-in-known-files",
        confidence: Confidence::Heuristic,
        // Names stay on the machine whoever owns it.
        trace: Vec::new(),
    };
    let unread = survey.rules.iter().any(|rule| matches!(rule.outcome, Outcome::Unreadable(_)));
    // Nothing found where not everything was read is no answer.
    let mut drafts = vec![match survey.total() {
        0 if unread => Draft::unavailable("all", "a file that may hold some cannot be read"),
        total => count("all", total),
    }];
    for rule in &survey.rules {
        match &rule.outcome {
            Outcome::Found(names) if names.is_empty() => {}
            Outcome::Found(names) => {
                drafts.push(count(rule.id, u32::try_from(names.len()).unwrap_or(u32::MAX)));
            }
            Outcome::Unreadable(reason) => drafts.push(Draft::unavailable(rule.id, reason)),
        }
    }
    drafts
}

#[cfg(test)]
mod tests;
