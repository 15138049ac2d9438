//! Checkpoints: all heads at one time, signed with the freshness key, which the controller does not have. A controller
//! whose owner rewrites a whole history consistently cannot rewrite this.

use base64::Engine as _;
use croft_domain::digest::Sha256Digest;
use croft_domain::id::{FleetId, NodeId};
use croft_domain::signed::{Domain, Envelope};
use croft_domain::time::Timestamp;
use serde::{Deserialize, Serialize};

/// One chain's head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Whose.
    pub node: NodeId,
    /// After how many links.
    pub length: u64,
    /// The head.
    pub head: Sha256Digest,
}

/// The signed document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// Of which fleet.
    pub fleet: FleetId,
    /// When.
    pub at: Timestamp,
    /// SHA-256 of the checkpoint before, so that none can be left out; none for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Sha256Digest>,
    /// Chain by chain.
    pub heads: Vec<Head>,
}

/// Whether `envelope` is a checkpoint that a freshness key of this root signed.
pub fn signed_by(root_bytes: &[u8], envelope: &Envelope) -> bool {
    freshness_points(root_bytes)
        .iter()
        .any(|point| croft_trust::sign::verify(envelope, Domain::Checkpoint, point).is_ok())
}

// The points of the timestamp role's P-256 keys, from root metadata that was verified when it was stored.
fn freshness_points(root_bytes: &[u8]) -> Vec<Vec<u8>> {
    let Ok(root) = serde_json::from_slice::<serde_json::Value>(root_bytes) else { return Vec::new() };
    let ids = root["signed"]["roles"]["timestamp"]["keyids"].as_array().cloned().unwrap_or_default();
    let pem = |id: &serde_json::Value| {
        root["signed"]["keys"][id.as_str()?]["keyval"]["public"].as_str().map(str::to_owned)
    };
    ids.iter().filter_map(pem).filter_map(|pem| point(&pem)).collect()
}

// A SubjectPublicKeyInfo over P-256 ends with the 65 bytes of the uncompressed point (RFC 5480).
fn point(pem: &str) -> Option<Vec<u8>> {
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = base64::engine::general_purpose::STANDARD.decode(body).ok()?;
    let point = der.get(der.len().checked_sub(65)?..)?;
    (point.first() == Some(&4)).then(|| point.to_vec())
}
