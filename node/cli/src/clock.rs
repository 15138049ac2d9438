//! The only place that asks what time it is. Everything else takes time as a value.

use std::time::{SystemTime, UNIX_EPOCH};

use croft_domain::time::Timestamp;

/// Now, by the wall clock.
pub fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}
