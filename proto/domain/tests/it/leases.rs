//! Leases: never beyond the metadata, never for another, never by turning the clock.

use croft_domain::appraise::{History, Subject, appraise};
use croft_domain::digest::Sha256Digest;
use croft_domain::fact::{Confidence, DiskState};
use croft_domain::id::{LeaseId, NodeId, VerdictId};
use croft_domain::lease::{Lease, LeaseError, LeaseRequest};
use croft_domain::limits::LEASE_TTL_MAX_S;
use croft_domain::time::Timestamp;
use croft_domain::verdict::Verdict;

use crate::sample::{NOW, baseline, disk, evidence};

const NODE: NodeId = NodeId([1; 16]);
const KEY: Sha256Digest = Sha256Digest([2; 32]);
const WORKER: Sha256Digest = Sha256Digest([6; 32]);

fn verdict(state: DiskState) -> Verdict {
    let group = "dev".parse().expect("a name");
    let subject = Subject::self_reported(&group);
    let facts = ["/", "home"].map(|p| disk(p, state, Confidence::Uuid)).to_vec();
    appraise(&baseline("block", 0), &[], &evidence(facts), &History::new(), &subject, NOW)
}

fn grant(state: DiskState, ttl_s: u64, metadata_expires_at: Timestamp) -> Result<Lease, LeaseError> {
    grant_unseen(state, ttl_s, metadata_expires_at, NOW)
}

fn grant_unseen(
    state: DiskState,
    ttl_s: u64,
    metadata_expires_at: Timestamp,
    unseen_since: Timestamp,
) -> Result<Lease, LeaseError> {
    let verdict = verdict(state);
    Lease::grant(LeaseRequest {
        id: LeaseId([3; 16]),
        node: NODE,
        node_key: KEY,
        verdict_id: VerdictId([4; 16]),
        verdict: &verdict,
        evidence: Sha256Digest([5; 32]),
        runtime: Some(WORKER),
        unseen_since,
        bundles: vec![],
        ttl_s,
        metadata_expires_at,
        now: NOW,
    })
}

#[test]
fn p4_no_lease_follows_from_a_blocking_verdict() {
    assert_eq!(grant(DiskState::Plain, 60, NOW.plus(1000)), Err(LeaseError::NotCompliant));
}

#[test]
fn p3_a_lease_never_outlives_the_metadata_nor_seven_days() {
    assert_eq!(grant(DiskState::Encrypted, 600, NOW), Err(LeaseError::MetadataExpired));
    let short = grant(DiskState::Encrypted, 600, NOW.plus(60)).expect("a lease");
    assert_eq!(short.expires_at, NOW.plus(60));
    let long = grant(DiskState::Encrypted, u64::MAX, Timestamp(u64::MAX)).expect("a lease");
    assert_eq!(long.expires_at, NOW.plus(LEASE_TTL_MAX_S));
}

#[test]
fn p4_a_lease_ends_on_its_second_and_is_for_one_node_and_key() {
    let lease = grant(DiskState::Encrypted, 60, NOW.plus(1000)).expect("a lease");
    assert_eq!(lease.check(NODE, &KEY, NOW.plus(59), NOW), Ok(()));
    assert_eq!(lease.check(NODE, &KEY, NOW.plus(60), NOW), Err(LeaseError::Expired { at: NOW.plus(60) }));
    assert_eq!(lease.check(NodeId([9; 16]), &KEY, NOW, NOW), Err(LeaseError::OtherNode));
    assert_eq!(lease.check(NODE, &Sha256Digest([9; 32]), NOW, NOW), Err(LeaseError::OtherNode));
}

#[test]
fn p4_turning_the_clock_back_does_not_lengthen_a_lease() {
    let lease = grant(DiskState::Encrypted, 60, NOW.plus(1000)).expect("a lease");
    let seen = NOW.plus(61);
    assert!(matches!(lease.check(NODE, &KEY, NOW.minus(86_400), seen), Err(LeaseError::Expired { .. })));
}

#[test]
fn p3_a_lease_that_claims_a_year_is_refused() {
    let mut lease = grant(DiskState::Encrypted, 60, NOW.plus(1000)).expect("a lease");
    lease.expires_at = NOW.plus(365 * 86_400);
    assert_eq!(lease.check(NODE, &KEY, NOW, NOW), Err(LeaseError::TooLong));
}

#[test]
fn p4_a_machine_seen_days_ago_serves_no_longer_than_seven_days_from_then() {
    let seen = NOW.minus(3 * 86_400);
    let lease =
        grant_unseen(DiskState::Encrypted, LEASE_TTL_MAX_S, Timestamp(u64::MAX), seen).expect("a lease");
    assert_eq!(lease.expires_at, seen.plus(LEASE_TTL_MAX_S));
}

#[test]
fn p2_a_lease_is_for_one_worker_executable() {
    let lease = grant(DiskState::Encrypted, 60, NOW.plus(1000)).expect("a lease");
    assert_eq!(lease.check_runtime(Some(&WORKER)), Ok(()));
    for other in [None, Some(&KEY)] {
        assert_eq!(lease.check_runtime(other), Err(LeaseError::OtherRuntime));
    }
}
