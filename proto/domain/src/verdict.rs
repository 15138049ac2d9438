//! Verdicts: what follows from evidence, check by check, in words for the person who must act.

use serde::{Deserialize, Serialize};

use crate::id::{BaselineRef, CheckName};
use crate::time::Timestamp;

/// A check's answer. `Unknown` is not `Pass` (P5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It holds.
    Pass,
    /// It does not hold.
    Fail,
    /// It could not be found out.
    Unknown,
    /// It has no meaning on this machine.
    NotApplicable,
    /// It does not hold, and a signed waiver says that this is accepted for now.
    Waived,
}

/// What a check that does not pass leads to, mildest first: the ladder report → notify → warn → block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Nothing to do.
    None,
    /// It is written into reports.
    Report,
    /// The local user is told.
    Notify,
    /// The local user is told, with the time after which it blocks.
    Warn,
    /// No lease.
    Block,
}

/// How far the evidence behind a verdict is rooted, weakest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Assurance {
    /// The node's software key signed it.
    #[default]
    SelfReported,
    /// The signing key is in something that speaks as a TPM does; nobody who is known to make TPMs vouches for it.
    UnknownTpm,
    /// The signing key is in the machine's TPM, whose manufacturer is known.
    HardwareKey,
    /// A TPM quote is bound to it.
    Measured,
}

impl Assurance {
    /// For people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::SelfReported => "self-reported",
            Self::UnknownTpm => "TPM without known manufacturer",
            Self::HardwareKey => "hardware key",
            Self::Measured => "measured",
        }
    }
}

/// What to do about a failed check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remedy {
    /// In one sentence.
    pub action: String,
    /// About how long it takes a person.
    pub effort: String,
    /// What can go wrong.
    pub risk: String,
    /// Whether it can be undone.
    pub reversible: bool,
}

/// One check on one subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckResult {
    /// Which check.
    pub check: CheckName,
    /// About what.
    pub subject: String,
    /// The answer.
    pub status: Status,
    /// What it leads to now.
    pub effect: Effect,
    /// Why, in one sentence.
    pub reason: String,
    /// What to do, if anything is to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<Remedy>,
    /// Since when it has had this answer.
    pub since: Timestamp,
    /// When it first failed in the episode that is not over yet; its grace runs from then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Timestamp>,
    /// When a warning becomes a block, or the end of the waiver that holds a block off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocks_at: Option<Timestamp>,
    /// How it was found out.
    pub method: String,
    /// What the check serves in the organization's own catalogs, from the baseline.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub controls: Vec<String>,
}

/// The judgment on one evidence document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// Judged by which baseline.
    pub baseline: BaselineRef,
    /// When.
    pub at: Timestamp,
    /// How far the evidence is rooted.
    pub assurance: Assurance,
    /// Check by check, in the baseline's order.
    pub checks: Vec<CheckResult>,
}

impl Verdict {
    /// Whether a lease may follow.
    #[must_use]
    pub fn allows_serving(&self) -> bool {
        self.checks.iter().all(|check| check.effect != Effect::Block)
    }

    /// The first check that blocks, for a one-line refusal.
    #[must_use]
    pub fn first_block(&self) -> Option<&CheckResult> {
        self.checks.iter().find(|check| check.effect == Effect::Block)
    }

    /// The earliest time at which a check blocks if nothing changes: no lease may outlast it.
    #[must_use]
    pub fn blocks_at(&self) -> Option<Timestamp> {
        self.checks.iter().filter_map(|check| check.blocks_at).min()
    }

    /// The stricter of two verdicts on the same evidence: of node and controller, the one that blocks wins.
    #[must_use]
    pub fn stricter(self, other: Self) -> Self {
        if self.allows_serving() && !other.allows_serving() { other } else { self }
    }
}
