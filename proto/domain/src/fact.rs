//! Facts: what a node observed, how, and how sure it is. A fact is never a verdict; `appraise` judges.

use serde::{Deserialize, Serialize};

use crate::id::CheckName;
use crate::limits::{TEXT_LEN_MAX, TRACE_LINES_MAX};

/// How the data below a path is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskState {
    /// Every device below it encrypts.
    Encrypted,
    /// At least one device below it stores what it is given.
    Plain,
    /// It lives in memory only (tmpfs, zram without a backing device).
    Volatile,
    /// It could not be found out. Never counts as encrypted.
    Unknown,
}

/// How far an observation can be believed, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// Nothing was observed.
    None,
    /// Concluded from something a local user could arrange.
    Heuristic,
    /// The kernel names the device's type by its `dm/uuid`; root could have forged it.
    Uuid,
    /// The kernel's own table, or an attempt that the kernel answered.
    Table,
}

/// One attempt of a self-test to break out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attempt {
    /// What was tried, for example `tcp-connect`.
    pub name: CheckName,
    /// The kernel's answer, for example `EPERM`; none if the attempt succeeded.
    pub errno: Option<String>,
}

/// What was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Observation {
    /// Storage below a path or a swap area.
    Disk {
        /// How it is kept.
        state: DiskState,
    },
    /// A confined process tried to break out.
    SelfTest {
        /// What it tried and what the kernel answered.
        attempts: Vec<Attempt>,
        /// Confinement layers in force, for example `seccomp`, `landlock-7`, `net-namespace`.
        layers: Vec<CheckName>,
    },
    /// A listening socket.
    Listen {
        /// The port.
        port: u16,
        /// Whether only this machine can reach it.
        loopback_only: bool,
    },
    /// A count of things found, by name only; the names stay on the machine.
    Count {
        /// How many.
        count: u32,
    },
    /// A yes or no.
    Flag {
        /// Which.
        value: bool,
    },
    /// It could not be observed.
    Unavailable {
        /// Why, for the person who must mend it.
        reason: String,
    },
}

/// One observation about one subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fact {
    /// The check it serves. Unknown names are kept and judged unknown.
    pub check: CheckName,
    /// What it is about: a path as the baseline names it, a process role, a rule id.
    pub subject: String,
    /// What was seen.
    pub observation: Observation,
    /// How it was found out, for example `statx+sysfs`.
    pub method: String,
    /// How far that can be believed.
    pub confidence: Confidence,
    /// The steps that led there. Empty on personal machines, where raw traces stay local.
    #[serde(default)]
    pub trace: Vec<String>,
}

impl Fact {
    /// Whether every text is within its bound.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        let text = |s: &str| s.len() <= TEXT_LEN_MAX && !s.contains('\0');
        let observation = match &self.observation {
            Observation::SelfTest { attempts, layers } => {
                attempts.len() <= 64
                    && layers.len() <= 16
                    && attempts.iter().all(|a| a.errno.as_deref().is_none_or(text))
            }
            Observation::Unavailable { reason } => text(reason),
            Observation::Disk { .. }
            | Observation::Listen { .. }
            | Observation::Count { .. }
            | Observation::Flag { .. } => true,
        };
        observation
            && text(&self.subject)
            && text(&self.method)
            && self.trace.len() <= TRACE_LINES_MAX
            && self.trace.iter().all(|line| text(line))
    }
}
