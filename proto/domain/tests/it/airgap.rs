//! Evidence that a person carries: replayed, stale, from the future, or made for a controller.

use croft_domain::airgap::{AirGapError, EXPORT_AGE_MAX_S, EXPORT_NONCE_PREFIX, LastSeen, admit};
use croft_domain::evidence::Evidence;
use croft_domain::limits::CLOCK_SKEW_MAX_S;

use crate::sample::{NOW, evidence};

fn exported(counter: u64) -> Evidence {
    let mut evidence = evidence(Vec::new());
    evidence.nonce = format!("{EXPORT_NONCE_PREFIX}00112233");
    evidence.counter = counter;
    evidence
}

#[test]
fn p4_carried_evidence_is_judged_once_and_while_it_is_fresh() {
    assert_eq!(admit(&exported(7), None, NOW), Ok(()));
    let last = LastSeen { counter: 7, taken_at: NOW };
    assert_eq!(admit(&exported(8), Some(&last), NOW), Ok(()));
    for counter in [1, 7] {
        let replayed = admit(&exported(counter), Some(&last), NOW);
        assert_eq!(replayed, Err(AirGapError::Replayed { counter, last: 7 }));
    }
    let later = LastSeen { counter: 7, taken_at: NOW.plus(1) };
    assert!(matches!(admit(&exported(8), Some(&later), NOW), Err(AirGapError::Replayed { .. })));
    assert_eq!(admit(&exported(1), None, NOW.plus(EXPORT_AGE_MAX_S)), Ok(()));
    let stale = admit(&exported(1), None, NOW.plus(EXPORT_AGE_MAX_S + 1));
    assert_eq!(stale, Err(AirGapError::Stale { taken_at: NOW }));
    assert_eq!(admit(&exported(1), None, NOW.minus(CLOCK_SKEW_MAX_S)), Ok(()));
    assert_eq!(admit(&exported(1), None, NOW.minus(CLOCK_SKEW_MAX_S + 1)), Err(AirGapError::InTheFuture));
}

#[test]
fn p4_evidence_for_a_controller_brings_no_lease_across_the_gap() {
    assert_eq!(admit(&evidence(Vec::new()), None, NOW), Err(AirGapError::NotExported));
}
