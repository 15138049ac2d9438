//! When the next renewal, attestation and metadata refresh are due: pure arithmetic.

use croft_domain::time::Timestamp;

use crate::limits::{ATTEST_EVERY_S, ATTEST_GAP_S, TRUST_EVERY_S};

/// When a certificate is renewed: at half of its life, ± 10 %, so that a fleet does not renew at once. `share` is a
/// random number in 0 to 1000 that a daemon draws once.
#[must_use]
pub const fn renewal_at(from: Timestamp, until: Timestamp, share: u64) -> Timestamp {
    let life = until.since(from);
    let share = if share > 1000 { 1000 } else { share };
    // 40 % to 60 % of the life.
    from.plus(life / 10 * 4 + life / 5 * share / 1000)
}

/// When evidence is due: at half of the lease's life, and at the latest [`ATTEST_EVERY_S`] after the last.
#[must_use]
pub fn attest_at(last: Option<Timestamp>, lease: Option<(Timestamp, Timestamp)>) -> Timestamp {
    let Some(last) = last else { return Timestamp(0) };
    let periodic = last.plus(ATTEST_EVERY_S);
    match lease {
        None => periodic,
        Some((issued, expires)) => {
            let half = issued.plus(expires.since(issued) / 2);
            periodic.min(half.max(last.plus(ATTEST_GAP_S)))
        }
    }
}

/// When metadata is looked for again.
#[must_use]
pub fn trust_at(last: Option<Timestamp>) -> Timestamp {
    last.map_or(Timestamp(0), |last| last.plus(TRUST_EVERY_S))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewal_is_at_half_life_within_a_tenth() {
        let (from, until) = (Timestamp(1000), Timestamp(1000 + 700_000));
        assert_eq!(renewal_at(from, until, 0), Timestamp(1000 + 280_000));
        assert_eq!(renewal_at(from, until, 500), Timestamp(1000 + 350_000));
        assert_eq!(renewal_at(from, until, 1000), Timestamp(1000 + 420_000));
        // A certificate that makes no sense is renewed at once.
        assert!(renewal_at(Timestamp(10), Timestamp(5), 500) <= Timestamp(10));
    }

    #[test]
    fn evidence_is_due_at_once_then_at_half_of_a_short_lease_or_periodically() {
        assert_eq!(attest_at(None, None), Timestamp(0));
        let last = Timestamp(10_000);
        assert_eq!(attest_at(Some(last), None), last.plus(ATTEST_EVERY_S));
        let short = Some((last, last.plus(60)));
        assert_eq!(attest_at(Some(last), short), last.plus(30));
        // An old lease does not make a storm.
        let old = Some((Timestamp(1), Timestamp(100)));
        assert_eq!(attest_at(Some(last), old), last.plus(ATTEST_GAP_S));
        let long = Some((last, last.plus(7 * 86_400)));
        assert_eq!(attest_at(Some(last), long), last.plus(ATTEST_EVERY_S));
    }
}
