//! Evidence: everything a node claims at one time, in the exact document that it signs and sends.

use serde::{Deserialize, Serialize};

use crate::census::Finding;
use crate::collection::{Ceiling, Item};
use crate::data_class::DataClass;
use crate::digest::Sha256Digest;
use crate::fact::Fact;
use crate::id::{BaselineRef, BundleName, BundleRef, NodeId, RecallId};
use crate::limits::{FACTS_MAX, TEXT_LEN_MAX};
use crate::time::Timestamp;
use crate::usage::Sensitivity;

/// Whose machine it is: the ceiling of what may be collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ownership {
    /// The developer's own. No hostname, no traces, no names of files or processes.
    Personal,
    /// Bought from a development budget.
    DevBudget,
}

/// How Croft is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// A `croft` account owns keys and store; the local user cannot write them.
    System,
    /// Everything belongs to the local user. Only approved bytes (P2) is not promised against that user's own malware.
    User,
}

/// The machine in enumerated facts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Platform {
    /// `linux`, `macos` or `windows`.
    pub os: String,
    /// For example `x86_64`.
    pub arch: String,
    /// Kernel release.
    pub kernel: String,
}

/// Versions of the trust metadata a node works from, so that the admin's side can see a node kept in the past.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustSeen {
    /// Root version.
    pub root: u64,
    /// Targets version.
    pub targets: u64,
    /// Snapshot version.
    pub snapshot: u64,
    /// Timestamp version.
    pub timestamp: u64,
}

/// How far a bundle is on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BundleState {
    /// Bytes are being fetched.
    Fetching,
    /// Verified and in the store.
    Installed,
    /// A worker serves it.
    Loaded,
    /// It could not be installed or loaded; the reason is a stable code.
    Failed,
    /// It was recalled here.
    Recalled,
}

/// One bundle on this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleStatus {
    /// Which.
    pub bundle: BundleRef,
    /// SHA-256 of its signed manifest.
    pub manifest_sha256: Sha256Digest,
    /// How far.
    pub state: BundleState,
    /// A stable error code, for `failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// Counters of use since the last evidence. No text of any request is in them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsageCount {
    /// Which model: its bundle's name.
    pub model: BundleName,
    /// For data of which class, as declared or taken for granted; none: all classes together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_class: Option<Sensitivity>,
    /// Requests answered.
    pub requests: u64,
    /// Prompt tokens evaluated.
    pub prompt_tokens: u64,
    /// Tokens generated.
    pub completion_tokens: u64,
    /// Requests in which content of a data class was replaced.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub redacted: u64,
    /// Requests refused for content of a data class.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub blocked: u64,
}

/// In how many requests and answers the guard found content of a kind since the last evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContentCount {
    /// Which kind.
    pub kind: DataClass,
    /// In how many.
    pub requests: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde asks for a reference.
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// The document a node signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// Format version; this crate reads and writes 1.
    pub version: u32,
    /// Who claims it.
    pub node: NodeId,
    /// The controller's challenge, hexadecimal.
    pub nonce: String,
    /// Counts evidence made by this installation; never repeats, never falls.
    pub counter: u64,
    /// Random since boot, so that a clone is noticed.
    pub boot_id: String,
    /// The machine's hash in this fleet, as at enrollment; none where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<Sha256Digest>,
    /// Head of the verdict chain this node was last shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain_head: Option<Sha256Digest>,
    /// When, by the node's clock.
    pub taken_at: Timestamp,
    /// How Croft is installed.
    pub mode: Mode,
    /// Whose machine.
    pub ownership: Ownership,
    /// What machine.
    pub platform: Platform,
    /// Version of the daemon.
    pub agent_version: String,
    /// SHA-256 of the worker executable that serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_sha256: Option<Sha256Digest>,
    /// SHA-256 of the attestation key's point, if this node's key is in a TPM: nobody can put another key in its place
    /// and quote for this node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attestation_key: Option<Sha256Digest>,
    /// The baseline it was collected for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<BaselineRef>,
    /// Trust metadata in use.
    pub trust: TrustSeen,
    /// What was observed.
    pub facts: Vec<Fact>,
    /// Bundles here.
    pub bundles: Vec<BundleStatus>,
    /// Recalls this node has taken in.
    pub recalls: Vec<RecallId>,
    /// What other local AI was found.
    pub census: Vec<Finding>,
    /// Use since the last evidence.
    pub usage: Vec<UsageCount>,
    /// What the guard found since the last evidence, by kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub content: Vec<ContentCount>,
    /// What was collected besides the minimum: asked for, below the ceiling, and agreed to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub collected: Vec<Item>,
}

impl Evidence {
    /// Whether it is of a version and size that may be judged at all.
    ///
    /// # Errors
    /// Says which bound was broken.
    pub fn check_bounds(&self) -> Result<(), EvidenceError> {
        let short = |s: &str| s.len() <= TEXT_LEN_MAX;
        if self.version != 1 {
            return Err(EvidenceError::Version(self.version));
        }
        let lists =
            [self.facts.len(), self.bundles.len(), self.recalls.len(), self.census.len(), self.usage.len()];
        if lists.iter().any(|len| *len > FACTS_MAX) || self.content.len() > DataClass::ALL.len() {
            return Err(EvidenceError::TooMany);
        }
        let texts =
            [&self.nonce, &self.boot_id, &self.platform.os, &self.platform.arch, &self.platform.kernel];
        let texts_fit = texts.iter().all(|text| short(text)) && short(&self.agent_version);
        let names_fit = |finding: &Finding| {
            finding.listed.len() <= FACTS_MAX && finding.listed.iter().all(|model| short(&model.name))
        };
        if !texts_fit || !self.facts.iter().all(Fact::is_bounded) || !self.census.iter().all(names_fit) {
            return Err(EvidenceError::TooLong);
        }
        // A controller must not keep what no owner of such a machine can have agreed to.
        let is_beyond = |item: Item| item.ceiling(self.ownership) == Ceiling::Never;
        let lists_models = self.census.iter().any(|finding| !finding.listed.is_empty());
        let has_traces = self.facts.iter().any(|fact| !fact.trace.is_empty());
        let divides = self.usage.iter().any(|count| count.data_class.is_some()) || !self.content.is_empty();
        let beyond = Item::ALL.into_iter().find(|item| {
            is_beyond(*item) && (self.collected.contains(item) || *item == Item::FactTraces && has_traces)
                || *item == Item::CensusModels && lists_models && !self.collected.contains(item)
                || *item == Item::UsageClasses && divides && !self.collected.contains(item)
        });
        beyond.map_or(Ok(()), |item| Err(EvidenceError::BeyondCeiling(item)))
    }
}

/// Why evidence cannot be judged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// A format this side does not know.
    #[error("evidence version {0} is not known here (1 is)")]
    Version(u32),
    /// A list is longer than its bound.
    #[error("a list in the evidence has more than {FACTS_MAX} entries")]
    TooMany,
    /// A text is longer than its bound.
    #[error("a text in the evidence is longer than {TEXT_LEN_MAX} bytes")]
    TooLong,
    /// It holds what may never leave such a machine.
    #[error("the evidence holds {0}, which the ceiling of its ownership forbids")]
    BeyondCeiling(Item),
}
