//! The one place of this crate that asks for the time; everything else takes it as an argument, so that tests can
//! pass values.

use std::time::{SystemTime, UNIX_EPOCH};

use croft_domain::time::Timestamp;

/// The system's clock in seconds since the Unix epoch; the epoch itself if the clock is set before it.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}
