//! That a person accepted the organization's acceptable-use policy: which version, word for word, and when.

use serde::{Deserialize, Serialize};

use crate::digest::Sha256Digest;
use crate::id::{NodeId, PolicyRef};
use crate::time::Timestamp;

/// An acceptance, signed by the node's key and kept on the machine. Evidence says only that it is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acceptance {
    /// On which node.
    pub node: NodeId,
    /// Of which policy and version.
    pub policy: PolicyRef,
    /// SHA-256 of the text that was shown.
    pub sha256: Sha256Digest,
    /// The account that accepted.
    pub uid: u32,
    /// When.
    pub at: Timestamp,
}

impl Acceptance {
    /// Whether it is of that very text. A new version, or another text, takes a new acceptance.
    #[must_use]
    pub fn covers(&self, policy: &PolicyRef, sha256: &Sha256Digest) -> bool {
        self.policy == *policy && self.sha256 == *sha256
    }
}
