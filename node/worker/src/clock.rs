//! The one place where this crate looks at a clock: durations are reported and steps are paced by it.

use std::time::Instant;

/// A moment of the monotonic clock.
#[must_use]
pub fn now() -> Instant {
    Instant::now()
}

/// Microseconds from `since` to `until`, zero if they are the wrong way round.
#[must_use]
pub fn micros(since: Instant, until: Instant) -> u64 {
    u64::try_from(until.saturating_duration_since(since).as_micros()).unwrap_or(u64::MAX)
}
