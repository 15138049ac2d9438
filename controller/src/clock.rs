//! The one place where this crate reads the clock, so that everything else takes time as a value.

use std::time::{SystemTime, UNIX_EPOCH};

use croft_domain::time::Timestamp;

/// Now, by the system's clock. A clock before 1970 counts as the epoch: every signed time is then in the future,
/// which all rules treat as a reason to refuse.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

/// A time as people and logs write it, RFC 3339 in UTC; the bare number when it is beyond the calendar.
#[must_use]
pub fn text(at: Timestamp) -> String {
    i64::try_from(at.0)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .map_or_else(|| at.0.to_string(), |time| time.to_string())
}
