//! A self-test as a process reported it, bounded and in the domain's words. The daemon believes a report only as far as
//! its form goes: a process that lies about its own sandbox could as well do without one, which is why both executables
//! are the approved ones.

use croft_domain::fact::{Attempt, Confidence, Fact, Observation};
use croft_domain::id::CheckName;
use croft_proto::frames::SelfTestReport;

const ATTEMPTS_MAX: usize = 64;
const LAYERS_MAX: usize = 16;

/// What a confined process tried, and what the kernel answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// Confinement layers in force.
    pub layers: Vec<CheckName>,
    /// Attempts to break out.
    pub attempts: Vec<Attempt>,
}

impl Proof {
    /// Reads a report. Names that are none are left out, which can only make the proof weaker.
    #[must_use]
    pub fn of(report: SelfTestReport) -> Self {
        let SelfTestReport { layers, attempts } = report;
        let layers = layers.into_iter().take(LAYERS_MAX).filter_map(|name| name.parse().ok()).collect();
        let attempts = attempts
            .into_iter()
            .take(ATTEMPTS_MAX)
            .filter_map(|attempt| {
                let errno = (!attempt.errno.is_empty()).then(|| attempt.errno.chars().take(32).collect());
                Some(Attempt { name: attempt.name.parse().ok()?, errno })
            })
            .collect();
        Self { layers, attempts }
    }

    /// Whether it shows that the process cannot send: something was tried, everything was refused, and seccomp stands.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.layers.iter().any(|layer| layer.as_str() == "seccomp")
            && !self.attempts.is_empty()
            && self.attempts.iter().all(|attempt| attempt.errno.is_some())
    }

    /// The attempts that the kernel did not refuse, for a person.
    #[must_use]
    pub fn open(&self) -> String {
        let open: Vec<&str> =
            self.attempts.iter().filter(|a| a.errno.is_none()).map(|a| a.name.as_str()).collect();
        if open.is_empty() { "no complete self-test was made".to_owned() } else { open.join(", ") }
    }

    /// As a fact about `subject`: `gateway` or `worker`.
    ///
    /// # Panics
    /// Never: the check's name is a constant.
    #[must_use]
    pub fn fact(&self, subject: &str) -> Fact {
        Fact {
            check: "self-test".parse().expect("a constant name"),
            subject: subject.to_owned(),
            observation: Observation::SelfTest {
                attempts: self.attempts.clone(),
                layers: self.layers.clone(),
            },
            method: "attempted".to_owned(),
            confidence: Confidence::Table,
            trace: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use croft_proto::frames::EscapeAttempt;

    fn report(layers: &[&str], attempts: &[(&str, &str)]) -> SelfTestReport {
        SelfTestReport {
            layers: layers.iter().map(|&l| l.to_owned()).collect(),
            attempts: attempts
                .iter()
                .map(|&(name, errno)| EscapeAttempt { name: name.to_owned(), errno: errno.to_owned() })
                .collect(),
        }
    }

    #[test]
    fn p1_only_a_complete_refusal_under_seccomp_is_a_proof() {
        let tcp = ("tcp-connect", "EPERM");
        assert!(Proof::of(report(&["seccomp", "landlock-7"], &[tcp])).holds());
        assert!(!Proof::of(report(&["landlock-7"], &[tcp])).holds());
        assert!(!Proof::of(report(&["seccomp"], &[])).holds());
        assert!(!Proof::of(report(&["seccomp"], &[tcp, ("udp-send", "")])).holds());
    }
}
