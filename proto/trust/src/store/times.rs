//! Judging metadata by time. Everything here is a function of the caller's `now`.

use croft_domain::limits::CLOCK_SKEW_MAX_S;
use croft_domain::time::Timestamp;

use super::TrustError;
use super::verify::Verified;
use crate::limits::{FRESHNESS_LIFE_MAX_S, ROOT_LIFE_MAX_S, TARGETS_LIFE_MAX_S};

/// Refuses a clock behind `signed_at`. A clock that was set back makes expired metadata look fresh.
///
/// It also bounds what a stolen freshness key can do by signing from the future: such metadata is not accepted and raises
/// no floor.
pub(super) fn check_clock(now: Timestamp, signed_at: Timestamp) -> Result<(), TrustError> {
    if now.plus(CLOCK_SKEW_MAX_S) < signed_at {
        return Err(TrustError::ClockBehind { now, signed_at });
    }
    Ok(())
}

/// Refuses metadata past its expiry (TUF 5.3.10, 5.4.4, 5.5.6, 5.6.5), and metadata valid for so long that a freeze
/// would not end.
pub(super) fn check_expiry(verified: &Verified, now: Timestamp) -> Result<(), TrustError> {
    for (what, at) in verified.expires {
        if at <= now {
            return Err(TrustError::Expired { what, at });
        }
        let life_max_s = match what {
            "root" => ROOT_LIFE_MAX_S,
            "targets" => TARGETS_LIFE_MAX_S,
            _ => FRESHNESS_LIFE_MAX_S,
        };
        if at.since(now) > life_max_s {
            return Err(TrustError::LivesTooLong { what, at });
        }
    }
    Ok(())
}
