//! The one place of the gateway that reads clocks. Both are read from the page that the kernel shares, so they work
//! after the process is locked down.

use rustix::time::{ClockId, clock_gettime};

/// A moment on two clocks. A user can set one of them back; not both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Unix seconds.
    pub wall_s: u64,
    /// Milliseconds since boot, sleep included.
    pub boottime_ms: u64,
}

/// Now.
#[must_use]
pub fn now() -> Moment {
    let boot = clock_gettime(ClockId::Boottime);
    let boottime_ms =
        u64::try_from(boot.tv_sec).unwrap_or(0) * 1000 + u64::try_from(boot.tv_nsec).unwrap_or(0) / 1_000_000;
    Moment { wall_s: u64::try_from(clock_gettime(ClockId::Realtime).tv_sec).unwrap_or(0), boottime_ms }
}

/// Monotonic microseconds, for durations.
#[must_use]
pub fn monotonic_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Now as RFC 3339 in UTC, with nanoseconds: what the Ollama API sends.
#[must_use]
pub fn rfc3339_now() -> String {
    let time = clock_gettime(ClockId::Realtime);
    rfc3339(time.tv_sec, i32::try_from(time.tv_nsec).unwrap_or(0))
}

/// A time as RFC 3339 in UTC.
#[must_use]
pub fn rfc3339(unix_s: i64, nanoseconds: i32) -> String {
    jiff::Timestamp::new(unix_s, nanoseconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_clients_parse_them() {
        assert_eq!(rfc3339(1_790_000_000, 5_000), "2026-09-21T14:13:20.000005Z");
        assert_eq!(rfc3339(i64::MAX, 0), "1970-01-01T00:00:00Z");
        assert!(now().wall_s > 1_600_000_000);
    }
}
