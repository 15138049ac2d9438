//! Leases: permission to serve, bound to who, what and until when.

use serde::{Deserialize, Serialize};

use crate::digest::Sha256Digest;
use crate::id::{BaselineRef, BundleRef, LeaseId, NodeId, VerdictId};
use crate::limits::LEASE_TTL_MAX_S;
use crate::time::Timestamp;
use crate::verdict::Verdict;

/// The document that the controller's lease key signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    /// Which lease.
    pub id: LeaseId,
    /// Who may serve.
    pub node: NodeId,
    /// SHA-256 of that node's public point.
    pub node_key: Sha256Digest,
    /// Which verdict permitted it.
    pub verdict: VerdictId,
    /// SHA-256 of the evidence that was judged, exactly as sent.
    pub evidence: Sha256Digest,
    /// SHA-256 of the worker executable that the evidence names; another one needs a new verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<Sha256Digest>,
    /// Under which baseline.
    pub baseline: BaselineRef,
    /// What may be served.
    pub bundles: Vec<BundleRef>,
    /// From when.
    pub issued_at: Timestamp,
    /// Until when; it does not count from this second on.
    pub expires_at: Timestamp,
}

/// What a lease is asked for with.
#[derive(Clone, Debug)]
pub struct LeaseRequest<'a> {
    /// The lease's own id.
    pub id: LeaseId,
    /// Who asks.
    pub node: NodeId,
    /// SHA-256 of the node's public point.
    pub node_key: Sha256Digest,
    /// The verdict's id.
    pub verdict_id: VerdictId,
    /// The verdict.
    pub verdict: &'a Verdict,
    /// SHA-256 of the evidence that it judges.
    pub evidence: Sha256Digest,
    /// SHA-256 of the worker executable that the evidence names.
    pub runtime: Option<Sha256Digest>,
    /// What is assigned to the node.
    pub bundles: Vec<BundleRef>,
    /// How long the baseline lets it last, in seconds.
    pub ttl_s: u64,
    /// When the machine was last seen: now, unless its evidence was carried. Nobody serves unseen for longer than
    /// [`LEASE_TTL_MAX_S`].
    pub unseen_since: Timestamp,
    /// When the trust metadata it is issued under expires.
    pub metadata_expires_at: Timestamp,
    /// Now.
    pub now: Timestamp,
}

impl Lease {
    /// Grants a lease, if the verdict allows it and the metadata still stands. It never outlives the metadata, so that
    /// a controller which withholds a recall can do so only until then (P3), nor the end of a waiver or a grace that the
    /// verdict rests on (P4).
    ///
    /// # Errors
    /// Says what stands in the way.
    pub fn grant(request: LeaseRequest<'_>) -> Result<Self, LeaseError> {
        if !request.verdict.allows_serving() {
            return Err(LeaseError::NotCompliant);
        }
        if request.metadata_expires_at <= request.now {
            return Err(LeaseError::MetadataExpired);
        }
        let ttl = request.ttl_s.min(LEASE_TTL_MAX_S);
        let seen_until = request.unseen_since.plus(LEASE_TTL_MAX_S);
        let until = request.now.plus(ttl).min(seen_until).min(request.metadata_expires_at);
        Ok(Self {
            id: request.id,
            node: request.node,
            node_key: request.node_key,
            verdict: request.verdict_id,
            evidence: request.evidence,
            runtime: request.runtime,
            baseline: request.verdict.baseline.clone(),
            bundles: request.bundles,
            issued_at: request.now,
            expires_at: request.verdict.blocks_at().map_or(until, |at| until.min(at)),
        })
    }

    /// Whether it was given for this worker executable.
    ///
    /// # Errors
    /// [`LeaseError::OtherRuntime`].
    pub fn check_runtime(&self, runtime: Option<&Sha256Digest>) -> Result<(), LeaseError> {
        if self.runtime.as_ref() == runtime { Ok(()) } else { Err(LeaseError::OtherRuntime) }
    }

    /// Whether it permits `node` to serve at `now`. `latest_seen` is the newest signed time the node has ever seen:
    /// a clock behind it was set back, and time spent there would be free.
    ///
    /// # Errors
    /// Says why not.
    pub fn check(
        &self,
        node: NodeId,
        node_key: &Sha256Digest,
        now: Timestamp,
        latest_seen: Timestamp,
    ) -> Result<(), LeaseError> {
        if self.node != node || self.node_key != *node_key {
            return Err(LeaseError::OtherNode);
        }
        if self.expires_at > self.issued_at.plus(LEASE_TTL_MAX_S) {
            return Err(LeaseError::TooLong);
        }
        let now = now.max(latest_seen);
        if now >= self.expires_at {
            return Err(LeaseError::Expired { at: self.expires_at });
        }
        Ok(())
    }
}

/// Why there is no lease.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// A check blocks.
    #[error("the verdict does not allow serving")]
    NotCompliant,
    /// The trust metadata has expired.
    #[error("the trust metadata has expired")]
    MetadataExpired,
    /// It is for another node or key.
    #[error("the lease is for another node")]
    OtherNode,
    /// It was given for another worker executable.
    #[error("the lease was given for another croft-worker; the next verdict brings a new one")]
    OtherRuntime,
    /// It claims to last longer than any lease may.
    #[error("the lease claims to last longer than seven days")]
    TooLong,
    /// It is over.
    #[error("the lease ended at {}", at.0)]
    Expired {
        /// When.
        at: Timestamp,
    },
}
