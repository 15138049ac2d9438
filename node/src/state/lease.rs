//! The lease at rest: its exact signed bytes, and until when it lasts by the clock that nobody can set back.

use croft_domain::lease::Lease;
use croft_domain::signed::Envelope;
use croft_domain::time::Timestamp;
use croft_trust::envelope::StoredEnvelope;
use serde::{Deserialize, Serialize};

use crate::limits::COUNTED_TIME_EVERY_S;

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
        // A clock that is behind the time of issue would give the lease more than it says.
        let left_ms = lease.expires_at.since(now.max(lease.issued_at)).saturating_mul(1000);
        Self { envelope, lease, boottime_deadline_ms: boottime_ms.saturating_add(left_ms) }
    }

    /// The present as the boot clock counts it from a signed time on: nobody can set it back, and a wall clock that was
    /// ahead for a moment does not move it.
    #[must_use]
    pub const fn counted_time(&self, boottime_ms: u64) -> Timestamp {
        self.lease.expires_at.minus(self.boottime_deadline_ms.saturating_sub(boottime_ms).div_ceil(1000))
    }
}

impl HeldLease {
    /// The counted time, if it is to be made durable beside what was so far: every ten minutes, and once more at the end.
    /// Else a lease that ended could go on for what is left of those ten minutes, after each boot with the clock set back.
    #[must_use]
    pub fn time_to_keep(&self, boottime_ms: u64, kept: Timestamp) -> Option<Timestamp> {
        let counted = self.counted_time(boottime_ms);
        let has_ended = counted >= self.lease.expires_at && kept < self.lease.expires_at;
        (has_ended || counted.since(kept) >= COUNTED_TIME_EVERY_S).then_some(counted)
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

#[cfg(test)]
mod tests {
    use super::*;
    use croft_domain::digest::Sha256Digest;

    fn held(now: u64, boottime_ms: u64) -> HeldLease {
        let lease = r#"{"id":"00000000000000000000000000000001","node":"00000000000000000000000000000001",
            "node_key":"KEY","verdict":"00000000000000000000000000000001","evidence":"KEY","baseline":{"name":"a","version":1},
            "bundles":[],"issued_at":10000,"expires_at":11000}"#;
        let lease = lease.replace("KEY", &Sha256Digest([0; 32]).to_string());
        let lease = serde_json::from_str(&lease).expect("a lease");
        let envelope = Envelope { payload: Vec::new(), signature: Vec::new(), key_id: Sha256Digest([0; 32]) };
        HeldLease::new(envelope, lease, Timestamp(now), boottime_ms)
    }

    #[test]
    fn p4_a_clock_behind_the_time_of_issue_lengthens_no_lease() {
        assert_eq!(held(10_000, 5_000).boottime_deadline_ms, 1_005_000);
        assert_eq!(held(2_000, 5_000).boottime_deadline_ms, 1_005_000);
        assert_eq!(held(10_900, 5_000).boottime_deadline_ms, 105_000);
    }

    #[test]
    fn p4_a_lease_that_ended_stays_ended_after_a_boot_with_the_clock_set_back() {
        let held = held(10_000, 5_000);
        assert_eq!(held.time_to_keep(5_000 + 599_000, Timestamp(10_000)), None);
        assert_eq!(held.time_to_keep(5_000 + 600_000, Timestamp(10_000)), Some(Timestamp(10_600)));
        // 400 seconds were not kept yet when it ended.
        let kept = held.time_to_keep(5_000 + 1_000_000, Timestamp(10_600)).expect("its end is kept");
        assert_eq!(kept, held.lease.expires_at);
        assert_eq!(held.time_to_keep(9_000_000, kept), None, "once");
        // The next boot begins with a clock of long ago.
        let after =
            HeldLease::new(held.envelope.clone(), held.lease.clone(), Timestamp(1_000).max(kept), 1_000);
        assert_eq!(after.boottime_deadline_ms, 1_000);
    }

    #[test]
    fn p4_time_is_counted_from_the_signed_one_by_the_boot_clock() {
        let held = held(10_000, 5_000);
        assert_eq!(held.counted_time(5_000), Timestamp(10_000));
        assert_eq!(held.counted_time(605_000), Timestamp(10_600));
        assert_eq!(held.counted_time(9_000_000), Timestamp(11_000));
    }
}
