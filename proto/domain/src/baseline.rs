//! Baselines: versioned guardrails of a tier, as published in the signed target `baseline.NAME.VERSION.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::data_class::DataClasses;
use crate::fact::Confidence;
use crate::id::{BaselineName, BaselineRef, CheckName};
use crate::limits::{CHECKS_MAX, LEASE_TTL_MAX_S, TEXT_LEN_MAX};

/// What a check that does not pass leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckMode {
    /// Write it into reports.
    Report,
    /// Tell the local user as well.
    Notify,
    /// Tell the local user, and block when the grace is over.
    Warn,
    /// No lease.
    Block,
}

/// Whether a signed waiver may except a node or a group from a check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WaiverPolicy {
    /// It may.
    #[default]
    Allowed,
    /// Nobody is excepted.
    Never,
}

impl WaiverPolicy {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
    const fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed)
    }
}

/// How one check is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckPolicy {
    /// What failing leads to.
    pub mode: CheckMode,
    /// For `warn`: seconds from the first failure until it blocks.
    #[serde(default)]
    pub grace_s: u64,
    /// For `disk-encryption`: the paths; `swap` stands for every swap area, `home`, `store` and `/` as they say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// The least confidence that counts as a pass.
    #[serde(default = "uuid")]
    pub confidence: Confidence,
    /// Whether waivers count for it.
    #[serde(default, skip_serializing_if = "WaiverPolicy::is_allowed")]
    pub waivers: WaiverPolicy,
}

const fn uuid() -> Confidence {
    Confidence::Uuid
}

/// Says that a document is a baseline, so that a wrong file is refused by its first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BaselineKind {
    /// The only value.
    Baseline,
}

/// Guardrails of one tier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// Always `Baseline`.
    pub kind: BaselineKind,
    /// Its name.
    pub name: BaselineName,
    /// Its version, counted from 1.
    pub version: u32,
    /// 1 (public code) to 3 (regulated).
    pub tier: u8,
    /// How long a lease lasts, in seconds: 60 to 604,800.
    #[serde(default = "one_day")]
    pub lease_ttl_s: u64,
    /// The checks, by name.
    pub checks: BTreeMap<CheckName, CheckPolicy>,
    /// What becomes of requests that hold such content; a class that is not named is allowed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub data_classes: DataClasses,
}

const fn one_day() -> u64 {
    86_400
}

impl Baseline {
    /// Its name and version.
    #[must_use]
    pub fn reference(&self) -> BaselineRef {
        BaselineRef { name: self.name.clone(), version: self.version }
    }

    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// Names the field and its bound.
    pub fn validate(&self) -> Result<(), BaselineError> {
        let err = |field: &str, expected: &str| {
            Err(BaselineError { field: field.to_owned(), expected: expected.to_owned() })
        };
        if self.version == 0 {
            return err("version", "1 or more");
        }
        if !(1..=3).contains(&self.tier) {
            return err("tier", "1, 2 or 3");
        }
        if !(60..=LEASE_TTL_MAX_S).contains(&self.lease_ttl_s) {
            return err("lease_ttl_s", "60 to 604800 (seconds)");
        }
        if self.checks.is_empty() || self.checks.len() > CHECKS_MAX {
            return err("checks", "1 to 64 checks");
        }
        for (name, policy) in &self.checks {
            if policy.grace_s > 0 && policy.mode != CheckMode::Warn {
                return err(&format!("checks.{name}.grace_s"), "only with mode: warn");
            }
            if policy.paths.len() > 16 || policy.paths.iter().any(|p| p.len() > TEXT_LEN_MAX || p.is_empty())
            {
                return err(&format!("checks.{name}.paths"), "at most 16 paths of 1 to 1024 bytes");
            }
        }
        Ok(())
    }
}

/// A baseline contradicts itself or a bound.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("baseline field {field}: expected {expected}")]
pub struct BaselineError {
    /// Path of the field.
    pub field: String,
    /// What was expected.
    pub expected: String,
}
