//! Baselines: versioned guardrails of a tier, as published in the signed target `baseline.NAME.VERSION.json`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::collection::{Item, is_other_path};
use crate::data_class::DataClasses;
use crate::fact::Confidence;
use crate::hardware::{self, TpmRules};
use crate::id::{BaselineName, BaselineRef, CheckName, PolicyRef, RuntimeName};
use crate::limits::{
    CHECKS_MAX, CONTROLS_MAX, LEASE_TTL_MAX_S, NAME_LEN_MAX, PATCHES_MAX, RUNTIME_MINIMUMS_MAX, SUBJECTS_MAX,
    TEXT_LEN_MAX,
};
use crate::memory::MOST_PERCENT;
use crate::usage::UsageRules;
use crate::verdict::Assurance;

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
    /// For other checks: the subjects that count, for example `firewall` of `endpoint`. None: all that the node tells.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<String>,
    /// The least confidence that counts as a pass.
    #[serde(default = "uuid")]
    pub confidence: Confidence,
    /// Whether waivers count for it.
    #[serde(default, skip_serializing_if = "WaiverPolicy::is_allowed")]
    pub waivers: WaiverPolicy,
    /// How far evidence must be rooted for this check to pass; with less it is unknown.
    #[serde(default, skip_serializing_if = "is_self_reported")]
    pub assurance: Assurance,
    /// What it serves in the organization's own catalogs, for example `CIS 3.6` or `ISO 27001 A.8.24`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub controls: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
const fn is_self_reported(assurance: &Assurance) -> bool {
    matches!(assurance, Assurance::SelfReported)
}

/// The least versions of one operating system's release, for the check `patch-level`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PatchMinimum {
    /// `ID` and `VERSION_ID` of os-release(5) with a space between, for example `debian 12`; the ID alone for a system
    /// without versions, for example `arch`. `macos 14` and `windows 22631` by their major version and build.
    pub os: String,
    /// Least kernel release, for example `6.1.0-28`; compared with what the running kernel says. On macOS the product
    /// version, for example `14.5`; on Windows the build with its revision, for example `10.0.22631.3593`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// Least version of each package that is installed. One that is not installed cannot be old.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub packages: BTreeMap<String, String>,
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

/// What becomes of links to other hosts in answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RemoteLinks {
    /// They pass.
    #[default]
    Keep,
    /// They pass as text that leads nowhere: an image that a chat program fetches by itself can carry a prompt away.
    Defuse,
}

impl RemoteLinks {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
    const fn is_keep(&self) -> bool {
        matches!(self, Self::Keep)
    }
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
    #[serde(default = "three_days")]
    pub lease_ttl_s: u64,
    /// The checks, by name.
    pub checks: BTreeMap<CheckName, CheckPolicy>,
    /// What becomes of requests that hold such content; a class that is not named is allowed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub data_classes: DataClasses,
    /// What becomes of links to other hosts in answers of a chat.
    #[serde(default, skip_serializing_if = "RemoteLinks::is_keep")]
    pub remote_links: RemoteLinks,
    /// For `patch-level`: what each system must at least have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patches: Vec<PatchMinimum>,
    /// The acceptable-use policy that a person accepts before using a model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyRef>,
    /// What it collects besides the minimum; each machine's ceiling and owner decide what of it they give.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub collect: BTreeSet<Item>,
    /// The lowest version of a signed runtime whose worker may be started, by the runtime's name; a name that is not
    /// listed has none. With any entry, a worker in no signed runtime is refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub runtime_minimum: BTreeMap<RuntimeName, u32>,
    /// For `hardware-root`, and for every check that asks for more than self-reported evidence: which TPMs, and in which
    /// state.
    #[serde(default, skip_serializing_if = "TpmRules::is_empty")]
    pub tpm: TpmRules,
    /// How models may be used.
    #[serde(default, skip_serializing_if = "UsageRules::is_default")]
    pub usage: UsageRules,
}

// Longer than a controller may be away without anybody noticing, and a weekend.
const fn three_days() -> u64 {
    3 * 86_400
}

impl Baseline {
    /// Its name and version.
    #[must_use]
    pub fn reference(&self) -> BaselineRef {
        BaselineRef { name: self.name.clone(), version: self.version }
    }

    /// Everything it asks for besides the minimum, also where a check's paths or the PCRs ask and not the list.
    #[must_use]
    pub fn asks_for(&self) -> BTreeSet<Item> {
        let names_others =
            self.checks.values().flat_map(|policy| &policy.paths).any(|path| is_other_path(path));
        let measures = (!self.tpm.pcrs.is_empty()).then_some(Item::BootMeasurements);
        self.collect.iter().copied().chain(names_others.then_some(Item::OtherPaths)).chain(measures).collect()
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
        if self.usage.data_class > self.usage.data_class_max {
            return err("usage.data_class", "at most usage.data_class_max");
        }
        if self.usage.memory_percent.is_some_and(|percent| !(1..=MOST_PERCENT).contains(&percent)) {
            return err("usage.memory_percent", "1 to 90 (percent)");
        }
        if self.checks.is_empty() || self.checks.len() > CHECKS_MAX {
            return err("checks", "1 to 64 checks");
        }
        if self.runtime_minimum.len() > RUNTIME_MINIMUMS_MAX
            || self.runtime_minimum.values().any(|version| *version == 0)
        {
            return err("runtime_minimum", "at most 16 names, each with a version of 1 or more");
        }
        for (name, policy) in &self.checks {
            self.validate_check(name, policy)?;
        }
        if let Some((field, expected)) = self.tpm.fault() {
            return err(field, expected);
        }
        if !self.tpm.pcrs.is_empty() && !self.checks.keys().any(|name| name.as_str() == hardware::CHECK) {
            return err("tpm.pcrs", "a check hardware-root beside it, which judges them");
        }
        self.validate_patches()
    }

    fn validate_check(&self, name: &CheckName, policy: &CheckPolicy) -> Result<(), BaselineError> {
        let err = |field: &str, expected: &str| {
            Err(BaselineError { field: format!("checks.{name}.{field}"), expected: expected.to_owned() })
        };
        let is_disk = name.as_str() == "disk-encryption";
        let are_texts = |texts: &[String], len: usize| texts.iter().all(|t| (1..=len).contains(&t.len()));
        if policy.grace_s > 0 && policy.mode != CheckMode::Warn {
            return err("grace_s", "only with mode: warn");
        }
        if policy.grace_s == 0 && policy.mode == CheckMode::Warn {
            return err(
                "mode",
                "a grace_s with mode: warn; without one it blocks at once, which is mode: block",
            );
        }
        if policy.waivers == WaiverPolicy::Never
            && matches!(policy.mode, CheckMode::Report | CheckMode::Notify)
        {
            return err("waivers", "never only with mode: warn or block; what never blocks needs no waiver");
        }
        if name.as_str() == "census-conformity" && policy.mode == CheckMode::Block && self.tier < 3 {
            return err("mode", "at most warn below tier 3: other tools on a machine are its owner's matter");
        }
        if !is_disk && !policy.paths.is_empty() {
            return err("paths", "only for disk-encryption; subjects names the parts of other checks");
        }
        if is_disk && !policy.subjects.is_empty() {
            return err("subjects", "not for disk-encryption, whose parts are its paths");
        }
        if policy.paths.len() > SUBJECTS_MAX || !are_texts(&policy.paths, TEXT_LEN_MAX) {
            return err("paths", "at most 16 paths of 1 to 1024 bytes");
        }
        if policy.subjects.len() > SUBJECTS_MAX || !are_texts(&policy.subjects, NAME_LEN_MAX) {
            return err("subjects", "at most 16 names of 1 to 63 bytes");
        }
        if policy.controls.len() > CONTROLS_MAX || !are_texts(&policy.controls, NAME_LEN_MAX) {
            return err("controls", "at most 16 texts of 1 to 63 bytes");
        }
        Ok(())
    }

    fn validate_patches(&self) -> Result<(), BaselineError> {
        let err = |field: &str, expected: &str| {
            Err(BaselineError { field: field.to_owned(), expected: expected.to_owned() })
        };
        let is_asked = self.checks.keys().any(|name| name.as_str() == "patch-level");
        if is_asked == self.patches.is_empty() {
            return err("patches", "a list exactly if there is a check patch-level");
        }
        let is_text = |text: &String| {
            (1..=NAME_LEN_MAX).contains(&text.len()) && !text.contains(|c: char| c.is_control())
        };
        let fits = |entry: &PatchMinimum| {
            is_text(&entry.os)
                && entry.kernel.iter().all(is_text)
                && entry.packages.len() <= SUBJECTS_MAX
                && entry.packages.iter().all(|(name, version)| is_text(name) && is_text(version))
        };
        if self.patches.len() > PATCHES_MAX || !self.patches.iter().all(fits) {
            return err(
                "patches",
                "at most 64 systems, each with at most 16 packages; texts of 1 to 63 bytes",
            );
        }
        let twice = |at: usize| self.patches[..at].iter().any(|other| other.os == self.patches[at].os);
        if (0..self.patches.len()).any(twice) {
            return err("patches", "each system once");
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
