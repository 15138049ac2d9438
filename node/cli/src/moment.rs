//! Times for people: relative words first, the exact time behind them.

use croft_domain::time::Timestamp;

/// `3 hours ago (2026-11-20T18:00:00Z)`, or `never` for no time.
pub fn describe(at: u64, now: Timestamp) -> String {
    croft_domain::moment::describe(Timestamp(at), now, exact_of)
}

/// [`exact`] of a time.
pub fn exact_of(at: Timestamp) -> String {
    exact(at.0)
}

/// RFC 3339, UTC.
pub fn exact(at: u64) -> String {
    i64::try_from(at)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .map_or_else(|| format!("{at} seconds after 1970"), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absurd_times_do_not_panic() {
        let now = Timestamp(0);
        assert_eq!(describe(0, now), "never");
        assert!(describe(u64::MAX, now).contains("seconds after 1970"));
        assert_eq!(exact(1_795_208_400), "2026-11-20T21:00:00Z");
    }
}
