//! The only place that asks what time it is. Everything else takes time as a value.

use std::time::{SystemTime, UNIX_EPOCH};

use croft_domain::time::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// Now, by the wall clock, which a local user can set.
#[must_use]
#[allow(clippy::disallowed_methods)] // This is the one place.
pub fn now() -> Timestamp {
    // A clock before 1970 reads as 1970, which every signed time then shows to be wrong.
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

/// Milliseconds since boot, sleep included. Nobody can set it back.
#[must_use]
pub fn boottime_ms() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let millis = u64::try_from(time.tv_nsec / 1_000_000).unwrap_or(0);
    seconds.saturating_mul(1000).saturating_add(millis)
}

/// Random since boot: tells one boot from the next, and a clone from its original. Empty where the kernel does not say.
#[must_use]
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|id| id.trim().to_owned())
        .unwrap_or_default()
}
