//! The one place where this crate looks at a clock: durations are reported and steps are paced by it.

use std::time::Instant;

/// A moment of the monotonic clock.
#[must_use]
pub fn now() -> Instant {
    Instant::now()
}

/// Processor time that all threads of this process have had, in microseconds.
#[must_use]
pub fn processor_us() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
    seconds.unwrap_or(0).saturating_mul(1_000_000).saturating_add(nanos.unwrap_or(0) / 1000)
}

/// Microseconds from `since` to `until`, zero if they are the wrong way round.
#[must_use]
pub fn micros(since: Instant, until: Instant) -> u64 {
    u64::try_from(until.saturating_duration_since(since).as_micros()).unwrap_or(u64::MAX)
}
