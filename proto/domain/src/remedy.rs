//! What to do about a check that does not pass, as a table: effort, risk, whether it can be undone, and the commands.
//!
//! Commands are for a person to read and type (`croft fix`). They are compiled in, never run by Croft, and never part of
//! a message: a controller can neither send nor choose one (P10).

mod guides;

use serde::Serialize;

use crate::id::CheckName;
use crate::verdict::Remedy;

pub use guides::GUIDES;

/// A check that this version knows, and the subjects that it tells about. `*` stands for names that a machine or a
/// baseline gives.
#[derive(Clone, Copy, Debug)]
pub struct KnownCheck {
    /// Its name.
    pub name: &'static str,
    /// Its subjects, without what stands behind a colon.
    pub subjects: &'static [&'static str],
    /// The subjects that a node tells about in any case. Where a baseline names none, one of these that is missing is
    /// unknown: else leaving out what fails would help.
    pub told: &'static [&'static str],
}

/// The subjects of a check that a node tells about in any case; none for a check that this version does not know.
#[must_use]
pub fn told(check: &CheckName) -> &'static [&'static str] {
    CHECKS.iter().find(|known| known.name == check.as_str()).map_or(&[], |known| known.told)
}

const CENSUS: &[&str] =
    &["exposed", "host-check", "cloud", "models-unapproved", "models-unknown", "models-unsafe", "stores"];

const ENDPOINT: &[&str] = &["secure-boot", "time-sync", "firewall", "screen-lock", "patches"];

/// Every check that this version knows.
pub const CHECKS: &[KnownCheck] = &[
    KnownCheck { name: "api-binding", subjects: &["gateway"], told: &["gateway"] },
    KnownCheck { name: "census-conformity", subjects: CENSUS, told: CENSUS },
    KnownCheck { name: "disk-encryption", subjects: &["*", "swap"], told: &["/", "home", "store", "swap"] },
    KnownCheck { name: "endpoint", subjects: ENDPOINT, told: ENDPOINT },
    KnownCheck {
        name: "patch-level",
        subjects: &["system", "kernel", "package"],
        told: &["system", "kernel", "package"],
    },
    KnownCheck { name: "hardware-root", subjects: &["identity-key", "boot-state"], told: &["identity-key"] },
    // Its subject is the policy that the baseline demands.
    KnownCheck { name: "policy-acceptance", subjects: &["*"], told: &[] },
    KnownCheck { name: "production-credentials", subjects: &["*"], told: &["all"] },
    KnownCheck { name: "self-test", subjects: &["gateway", "worker"], told: &["gateway", "worker"] },
];

/// Whether this version knows the check.
#[must_use]
pub fn is_known(check: &CheckName) -> bool {
    CHECKS.iter().any(|known| known.name == check.as_str())
}

/// What to do about one subject of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Guide {
    /// Which check.
    pub check: &'static str,
    /// Which subject; `*` every other.
    pub subject: &'static str,
    /// In one sentence.
    pub action: &'static str,
    /// About how long it takes a person.
    pub effort: &'static str,
    /// What can go wrong.
    pub risk: &'static str,
    /// Whether it can be undone.
    pub reversible: bool,
    /// Lines for a shell; those that begin with `#` are said and not typed.
    pub commands: &'static [&'static str],
}

impl Guide {
    /// What a verdict carries of it: no command.
    #[must_use]
    pub fn remedy(&self) -> Remedy {
        Remedy {
            action: self.action.to_owned(),
            effort: self.effort.to_owned(),
            risk: self.risk.to_owned(),
            reversible: self.reversible,
        }
    }
}

/// The guide for a subject of a check; that for the check as a whole if the subject has none of its own.
#[must_use]
pub fn guide(check: &str, subject: &str) -> Option<&'static Guide> {
    let bare = subject.split(':').next().unwrap_or(subject);
    let of = |wanted: &str| GUIDES.iter().find(|guide| guide.check == check && guide.subject == wanted);
    of(bare).or_else(|| of("*"))
}

/// Guides by a name that a person types: a check, a subject, or both as `check:subject`.
pub fn named(name: &str) -> impl Iterator<Item = &'static Guide> {
    let (check, subject) = match name.split_once(':') {
        Some((check, subject)) => (Some(check), Some(subject)),
        None => (None, None),
    };
    GUIDES.iter().filter(move |guide| match (check, subject) {
        (Some(check), Some(subject)) => guide.check == check && guide.subject == subject,
        _ => guide.check == name || guide.subject == name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subject_of_every_check_has_a_guide_with_commands() {
        for check in CHECKS {
            for subject in check.subjects {
                let guide = guide(check.name, subject);
                let guide = guide.unwrap_or_else(|| panic!("{}:{subject} has no guide", check.name));
                assert!(guide.commands.iter().any(|line| !line.starts_with('#')), "{guide:?}");
                for text in [guide.action, guide.effort, guide.risk] {
                    assert!(!text.is_empty() && !text.ends_with('.'), "{text}");
                }
            }
        }
    }

    #[test]
    fn no_guide_is_for_a_check_that_nobody_knows_and_none_stands_twice() {
        for (at, guide) in GUIDES.iter().enumerate() {
            assert!(CHECKS.iter().any(|check| check.name == guide.check), "{}", guide.check);
            let twice = |other: &&Guide| (other.check, other.subject) == (guide.check, guide.subject);
            assert_eq!(GUIDES.iter().position(|other| twice(&other)), Some(at), "{guide:?}");
        }
    }

    #[test]
    fn a_subject_of_its_own_comes_before_the_whole_check() {
        let subject = |check, subject| guide(check, subject).map(|guide| guide.subject);
        assert_eq!(subject("disk-encryption", "swap:partition"), Some("swap"));
        assert_eq!(subject("disk-encryption", "home"), Some("*"));
        assert_eq!(subject("endpoint", "firewall"), Some("firewall"));
        assert_eq!(subject("unheard-of", "x"), None);
    }

    #[test]
    fn people_name_a_check_a_subject_or_both() {
        assert_eq!(named("swap").count(), 1);
        assert_eq!(named("disk-encryption").count(), 2);
        assert_eq!(named("endpoint:firewall").count(), 1);
        assert_eq!(named("nothing").count(), 0);
    }
}
