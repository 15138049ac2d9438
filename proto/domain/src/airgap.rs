//! Leases where no network leads from a node to its controller: which carried evidence may be judged at all.
//!
//! Online, a nonce of the controller makes evidence fresh. Here a person carries it, so that freshness is bounded by its
//! own time, its counter must rise above all that this desk has seen, and the node takes no lease but the one for the
//! evidence that it exported last.

use crate::evidence::Evidence;
use crate::limits::CLOCK_SKEW_MAX_S;
use crate::time::Timestamp;

/// What the nonce of exported evidence begins with, hexadecimal: no controller's challenge does, so that neither kind of
/// evidence can be shown as the other.
pub const EXPORT_NONCE_PREFIX: &str = "63726f66742f6169722d6761702f7631";

/// How old carried evidence may be, in seconds (three days): a weekend's way between two desks.
pub const EXPORT_AGE_MAX_S: u64 = 3 * 86_400;

/// What the issuing desk remembers of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastSeen {
    /// Counter of the last evidence that was judged.
    pub counter: u64,
    /// When that was taken, by the node's clock.
    pub taken_at: Timestamp,
}

/// Whether evidence may be judged at this desk. Its signature and its node must have been verified.
///
/// # Errors
/// [`AirGapError`] says why not.
pub fn admit(evidence: &Evidence, last: Option<&LastSeen>, now: Timestamp) -> Result<(), AirGapError> {
    if !evidence.nonce.starts_with(EXPORT_NONCE_PREFIX) {
        return Err(AirGapError::NotExported);
    }
    if evidence.taken_at > now.plus(CLOCK_SKEW_MAX_S) {
        return Err(AirGapError::InTheFuture);
    }
    if now.since(evidence.taken_at) > EXPORT_AGE_MAX_S {
        return Err(AirGapError::Stale { taken_at: evidence.taken_at });
    }
    match last {
        Some(last) if evidence.counter <= last.counter || evidence.taken_at < last.taken_at => {
            Err(AirGapError::Replayed { counter: evidence.counter, last: last.counter })
        }
        _ => Ok(()),
    }
}

/// Why carried evidence is not judged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AirGapError {
    /// It answers a controller's challenge.
    #[error("this evidence was made for a controller and not by croft evidence export")]
    NotExported,
    /// It is from after now.
    #[error("this evidence was taken in the future: one of the two clocks is wrong")]
    InTheFuture,
    /// It is too old.
    #[error("this evidence was taken more than three days ago")]
    Stale {
        /// When.
        taken_at: Timestamp,
    },
    /// It does not come after what was judged before.
    #[error(
        "its counter {counter} does not rise above {last}: it was judged before, or the node was restored or cloned"
    )]
    Replayed {
        /// Its counter.
        counter: u64,
        /// The last one that was judged.
        last: u64,
    },
}
