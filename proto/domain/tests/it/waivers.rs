//! Waivers: exceptions that end by themselves, whoever forgets them.

use croft_domain::appraise::{History, Subject, appraise, history_of};
use croft_domain::baseline::WaiverPolicy;
use croft_domain::digest::Sha256Digest;
use croft_domain::fact::{Confidence, DiskState};
use croft_domain::id::{LeaseId, NodeId, VerdictId, WaiverId};
use croft_domain::lease::{Lease, LeaseRequest};
use croft_domain::limits::WAIVER_TTL_MAX_S;
use croft_domain::time::Timestamp;
use croft_domain::verdict::{Effect, Status, Verdict};
use croft_domain::waiver::{Scope, Waiver};

use crate::sample::{NOW, baseline, disk, evidence};

fn waiver(until: Timestamp) -> Waiver {
    Waiver {
        id: WaiverId([1; 16]),
        scope: Scope::Group("dev".parse().expect("a name")),
        check: "disk-encryption".parse().expect("a name"),
        not_before: NOW.minus(10),
        not_after: until,
        reason: "new disks arrive".to_owned(),
    }
}

fn judge(mode: &str, grace_s: u64, waivers: &[Waiver], history: &History, now: Timestamp) -> Verdict {
    let plain = ["/", "home"].map(|path| disk(path, DiskState::Plain, Confidence::Uuid));
    let group = "dev".parse().expect("a name");
    let subject = Subject::self_reported(&group);
    appraise(&baseline(mode, grace_s), waivers, &evidence(plain.to_vec()), history, &subject, now)
}

fn lease(verdict: &Verdict, now: Timestamp) -> Option<Lease> {
    Lease::grant(LeaseRequest {
        id: LeaseId([1; 16]),
        node: NodeId([1; 16]),
        node_key: Sha256Digest([1; 32]),
        verdict_id: VerdictId([1; 16]),
        verdict,
        evidence: Sha256Digest([5; 32]),
        runtime: None,
        unseen_since: now,
        bundles: Vec::new(),
        ttl_s: 86_400,
        metadata_expires_at: now.plus(86_400),
        now,
    })
    .ok()
}

#[test]
fn p4_a_lease_under_a_waiver_ends_with_it() {
    let waivers = [waiver(NOW.plus(300))];
    let verdict = judge("block", 0, &waivers, &History::new(), NOW);
    assert!(verdict.checks.iter().all(|c| c.status == Status::Waived && c.effect == Effect::Report));
    assert_eq!(lease(&verdict, NOW).map(|lease| lease.expires_at), Some(NOW.plus(300)));
    let after = judge("block", 0, &waivers, &history_of(&verdict), NOW.plus(300));
    assert!(lease(&after, NOW.plus(300)).is_none());
}

#[test]
fn p4_a_lease_under_a_warning_ends_with_its_grace() {
    let verdict = judge("warn", 600, &[], &History::new(), NOW);
    assert_eq!(lease(&verdict, NOW).map(|lease| lease.expires_at), Some(NOW.plus(600)));
}

#[test]
fn p4_grace_runs_on_below_a_waiver() {
    let first = judge("warn", 600, &[], &History::new(), NOW);
    let waived = judge("warn", 600, &[waiver(NOW.plus(500))], &history_of(&first), NOW.plus(100));
    assert_eq!(waived.checks[0].since, NOW);
    assert_eq!(waived.blocks_at(), Some(NOW.plus(600)));
    let ended = judge("warn", 600, &[], &history_of(&waived), NOW.plus(601));
    assert!(!ended.allows_serving());
}

#[test]
fn p4_a_waiver_for_ever_counts_for_a_year() {
    let long = waiver(Timestamp(u64::MAX));
    assert_eq!(long.ends_at(), long.not_before.plus(WAIVER_TTL_MAX_S));
    assert!(!long.is_in_force(long.ends_at()));
    assert!(!long.is_in_force(long.not_before.minus(1)));
}

#[test]
fn p4_a_baseline_can_allow_no_waivers_for_a_check() {
    let group = "dev".parse().expect("a name");
    let subject = Subject::self_reported(&group);
    let mut strict = baseline("block", 0);
    strict.checks.values_mut().for_each(|policy| policy.waivers = WaiverPolicy::Never);
    let plain = evidence(vec![disk("/", DiskState::Plain, Confidence::Uuid)]);
    let verdict = appraise(&strict, &[waiver(NOW.plus(9))], &plain, &History::new(), &subject, NOW);
    assert!(!verdict.allows_serving());
}
