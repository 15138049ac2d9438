//! The lease at rest: its exact signed bytes, and until when it lasts by the clock that nobody can set back.

use croft_domain::lease::Lease;
use croft_domain::signed::Envelope;
use croft_domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::envelope::StoredEnvelope;
use super::files::{StateError, read_json, write_json};
use super::paths::Paths;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    lease: StoredEnvelope,
    boot_id: String,
    boottime_deadline_ms: u64,
}

/// A lease with what this machine knows about its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldLease {
    /// As signed.
    pub envelope: Envelope,
    /// What it says. Its signature is verified before it gets here.
    pub lease: Lease,
    /// Until when, in milliseconds since the boot in which it is held.
    pub boottime_deadline_ms: u64,
}

impl HeldLease {
    /// A lease that was verified now: its deadline since boot follows from what is left of it.
    #[must_use]
    pub fn new(envelope: Envelope, lease: Lease, now: Timestamp, boottime_ms: u64) -> Self {
        let left_ms = lease.expires_at.since(now).saturating_mul(1000);
        Self { envelope, lease, boottime_deadline_ms: boottime_ms.saturating_add(left_ms) }
    }
}

/// Keeps a lease.
///
/// # Errors
/// [`StateError`].
pub fn save(paths: &Paths, held: &HeldLease, boot_id: &str) -> Result<(), StateError> {
    let stored = Stored {
        lease: (&held.envelope).into(),
        boot_id: boot_id.to_owned(),
        boottime_deadline_ms: held.boottime_deadline_ms,
    };
    write_json(&paths.state_file("lease.json"), &stored)
}

/// Reads the lease that was kept. Its signature is to be verified again by the caller.
///
/// Within one boot the kept deadline counts, so that a restart with a clock set back gains nothing.
///
/// # Errors
/// [`StateError`].
pub fn load(
    paths: &Paths,
    boot_id: &str,
    now: Timestamp,
    boottime_ms: u64,
) -> Result<Option<HeldLease>, StateError> {
    let path = paths.state_file("lease.json");
    let Some(stored) = read_json::<Stored>(&path)? else { return Ok(None) };
    let envelope = Envelope::try_from(&stored.lease).map_err(|e| StateError::corrupt(&path, e))?;
    let lease: Lease =
        serde_json::from_slice(&envelope.payload).map_err(|e| StateError::corrupt(&path, e))?;
    let mut held = HeldLease::new(envelope, lease, now, boottime_ms);
    if stored.boot_id == boot_id && !boot_id.is_empty() {
        held.boottime_deadline_ms = held.boottime_deadline_ms.min(stored.boottime_deadline_ms);
    }
    Ok(Some(held))
}

/// Forgets the lease.
pub fn forget(paths: &Paths) {
    let _ = std::fs::remove_file(paths.state_file("lease.json"));
}
