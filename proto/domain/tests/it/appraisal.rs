//! Appraisal: unknown never passes, worse evidence never helps, grace runs from the first failure.

use croft_domain::appraise::{History, Subject, appraise, history_of};
use croft_domain::baseline::Baseline;
use croft_domain::evidence::Evidence;
use croft_domain::fact::{Attempt, Confidence, DiskState, Fact, Observation};
use croft_domain::id::GroupName;
use croft_domain::time::Timestamp;
use croft_domain::verdict::{Assurance, Effect, Status, Verdict};
use croft_domain::waiver::{Scope, Waiver};
use proptest::prelude::*;

use crate::sample::{NOW, baseline, disk, evidence};

fn judge(
    baseline: &Baseline,
    waivers: &[Waiver],
    evidence: &Evidence,
    history: &History,
    now: Timestamp,
) -> Verdict {
    let group: GroupName = "dev".parse().expect("a name");
    let subject = Subject::self_reported(&group);
    appraise(baseline, waivers, evidence, history, &subject, now)
}

fn both(state: DiskState) -> Evidence {
    evidence(vec![disk("/", state, Confidence::Uuid), disk("home", state, Confidence::Uuid)])
}

#[test]
fn p4_an_encrypted_machine_may_serve_and_a_plain_one_may_not() {
    let block = baseline("block", 0);
    assert!(judge(&block, &[], &both(DiskState::Encrypted), &History::new(), NOW).allows_serving());
    let verdict = judge(&block, &[], &both(DiskState::Plain), &History::new(), NOW);
    assert_eq!(verdict.first_block().map(|c| c.subject.as_str()), Some("/"));
    assert!(verdict.checks.iter().all(|c| c.remedy.is_some()));
}

#[test]
fn p5_silence_is_unknown_and_unknown_is_not_pass() {
    let block = baseline("block", 0);
    for facts in [vec![], vec![disk("/", DiskState::Encrypted, Confidence::Uuid)]] {
        let verdict = judge(&block, &[], &evidence(facts), &History::new(), NOW);
        assert!(verdict.checks.iter().any(|c| c.status == Status::Unknown));
        assert!(!verdict.allows_serving());
    }
    assert!(!judge(&block, &[], &both(DiskState::Unknown), &History::new(), NOW).allows_serving());
}

#[test]
fn p5_a_claim_without_observation_is_unknown() {
    let block = baseline("block", 0);
    let facts = ["/", "home"].map(|p| disk(p, DiskState::Encrypted, Confidence::None)).to_vec();
    let verdict = judge(&block, &[], &evidence(facts), &History::new(), NOW);
    assert!(verdict.checks.iter().all(|c| c.status == Status::Unknown));
}

#[test]
fn p5_a_forged_uuid_does_not_pass_where_the_table_is_demanded() {
    let mut strict = baseline("block", 0);
    for policy in strict.checks.values_mut() {
        policy.confidence = Confidence::Table;
    }
    assert!(!judge(&strict, &[], &both(DiskState::Encrypted), &History::new(), NOW).allows_serving());
}

#[test]
fn p5_one_plain_swap_among_several_is_not_hidden_by_an_encrypted_one() {
    let mut swaps = baseline("block", 0);
    for policy in swaps.checks.values_mut() {
        policy.paths = vec!["swap".to_owned()];
    }
    let facts = vec![
        disk("swap", DiskState::Encrypted, Confidence::Uuid),
        disk("swap:volume", DiskState::Encrypted, Confidence::Uuid),
        disk("swap:partition", DiskState::Plain, Confidence::Uuid),
    ];
    assert!(!judge(&swaps, &[], &evidence(facts), &History::new(), NOW).allows_serving());
    // Leaving the plain one out does not help: what holds for all of them together is told besides.
    let all = |state| {
        vec![
            disk("swap", state, Confidence::Uuid),
            disk("swap:volume", DiskState::Encrypted, Confidence::Uuid),
        ]
    };
    assert!(judge(&swaps, &[], &evidence(all(DiskState::Encrypted)), &History::new(), NOW).allows_serving());
    assert!(!judge(&swaps, &[], &evidence(all(DiskState::Plain)), &History::new(), NOW).allows_serving());
    let parts_only = all(DiskState::Encrypted)[1..].to_vec();
    let verdict = judge(&swaps, &[], &evidence(parts_only), &History::new(), NOW);
    assert_eq!(verdict.checks[0].status, Status::Unknown);
    // A subject that merely begins with the same letters is another subject.
    let other = vec![disk("swapfs", DiskState::Encrypted, Confidence::Uuid)];
    assert!(!judge(&swaps, &[], &evidence(other), &History::new(), NOW).allows_serving());
}

#[test]
fn p1_a_self_test_with_one_open_way_fails_and_without_seccomp_is_unknown() {
    let text = r#"{"kind":"Baseline","name":"b","version":1,"tier":1,
        "checks":{"self-test":{"mode":"block","subjects":["worker"]}}}"#;
    let block: Baseline = serde_json::from_str(text).expect("a baseline");
    let attempt = |name: &str, errno: Option<&str>| Attempt {
        name: name.parse().expect("a name"),
        errno: errno.map(str::to_owned),
    };
    let fact = |attempts: Vec<Attempt>, layers: &[&str]| Fact {
        check: "self-test".parse().expect("a name"),
        subject: "worker".to_owned(),
        observation: Observation::SelfTest {
            attempts,
            layers: layers.iter().map(|l| l.parse().expect("a name")).collect(),
        },
        method: "attempted".to_owned(),
        confidence: Confidence::Table,
        trace: Vec::new(),
    };
    let status = |f: Fact| judge(&block, &[], &evidence(vec![f]), &History::new(), NOW).checks[0].status;
    let refused = || attempt("tcp-connect", Some("EPERM"));
    assert_eq!(status(fact(vec![refused()], &["seccomp"])), Status::Pass);
    assert_eq!(status(fact(vec![refused(), attempt("udp-send", None)], &["seccomp"])), Status::Fail);
    assert_eq!(status(fact(vec![refused()], &["landlock-7"])), Status::Unknown);
    assert_eq!(status(fact(vec![], &["seccomp"])), Status::Unknown);
}

#[test]
fn p4_grace_runs_from_the_first_failure_and_hiding_a_fact_does_not_restart_it() {
    let warn = baseline("warn", 100);
    let first = judge(&warn, &[], &both(DiskState::Plain), &History::new(), NOW);
    assert!(first.checks.iter().all(|c| c.effect == Effect::Warn && c.blocks_at == Some(NOW.plus(100))));
    let hidden = judge(&warn, &[], &evidence(vec![]), &history_of(&first), NOW.plus(60));
    assert!(hidden.allows_serving());
    let later = judge(&warn, &[], &both(DiskState::Plain), &history_of(&hidden), NOW.plus(100));
    assert!(!later.allows_serving(), "{later:?}");
    let mended = judge(&warn, &[], &both(DiskState::Encrypted), &history_of(&later), NOW.plus(200));
    assert!(mended.allows_serving() && mended.checks.iter().all(|c| c.since == NOW.plus(200)));
}

#[test]
fn p4_a_waiver_covers_its_check_its_group_and_its_time_only() {
    let block = baseline("block", 0);
    let waiver = |group: &str, check: &str, until: Timestamp| Waiver {
        id: croft_domain::id::WaiverId([1; 16]),
        scope: Scope::Group(group.parse().expect("a name")),
        check: check.parse().expect("a name"),
        not_before: NOW.minus(10),
        not_after: until,
        reason: "reinstall is planned".to_owned(),
    };
    let plain = both(DiskState::Plain);
    let allowed = |w: Waiver| judge(&block, &[w], &plain, &History::new(), NOW).allows_serving();
    assert!(allowed(waiver("dev", "disk-encryption", NOW.plus(1))));
    assert!(!allowed(waiver("dev", "disk-encryption", NOW)));
    assert!(!allowed(waiver("ops", "disk-encryption", NOW.plus(1))));
    assert!(!allowed(waiver("dev", "self-test", NOW.plus(1))));
}

fn judge_text(checks: &str, tier: u8, facts: Vec<Fact>, assurance: Assurance) -> Verdict {
    let text = format!(r#"{{"kind":"Baseline","name":"b","version":1,"tier":{tier},"checks":{{{checks}}}}}"#);
    let baseline: Baseline = serde_json::from_str(&text).expect("a baseline");
    let group: GroupName = "dev".parse().expect("a name");
    let subject = Subject { group: &group, assurance, boot: None };
    appraise(&baseline, &[], &evidence(facts), &History::new(), &subject, NOW)
}

fn count(check: &str, subject: &str, count: u32) -> Fact {
    Fact {
        check: check.parse().expect("a name"),
        subject: subject.to_owned(),
        observation: Observation::Count { count },
        method: "census".to_owned(),
        confidence: Confidence::Heuristic,
        trace: Vec::new(),
    }
}

#[test]
fn p5_evidence_that_is_rooted_less_deep_than_asked_for_is_unknown() {
    let checks = r#""disk-encryption":{"mode":"block","paths":["/"],"assurance":"hardware-key"}"#;
    let status = |assurance| {
        let facts = vec![disk("/", DiskState::Encrypted, Confidence::Uuid)];
        judge_text(checks, 1, facts, assurance).checks[0].status
    };
    assert_eq!(status(Assurance::SelfReported), Status::Unknown);
    assert_eq!(status(Assurance::HardwareKey), Status::Pass);
    assert_eq!(status(Assurance::Measured), Status::Pass);
}

#[test]
fn p10_other_tools_on_a_personal_machine_are_at_most_warned_of_below_tier_three() {
    let facts = || vec![count("census-conformity", "exposed", 1)];
    let checks = r#""census-conformity":{"mode":"block","controls":["CIS 4.8"]}"#;
    let verdict = judge_text(checks, 2, facts(), Assurance::SelfReported);
    assert_eq!((verdict.checks[0].status, verdict.checks[0].effect), (Status::Fail, Effect::Warn));
    assert_eq!(verdict.checks[0].blocks_at, None);
    assert_eq!(verdict.checks[0].controls, ["CIS 4.8"]);
    assert!(verdict.checks[0].remedy.is_some());
    assert!(!judge_text(checks, 3, facts(), Assurance::SelfReported).allows_serving());
}

#[test]
fn p5_a_subject_that_the_baseline_names_must_be_told() {
    let checks = r#""census-conformity":{"mode":"block","subjects":["exposed","cloud"]}"#;
    let facts =
        vec![count("census-conformity", "exposed", 0), count("census-conformity", "models-unknown", 7)];
    let verdict = judge_text(checks, 3, facts, Assurance::SelfReported);
    let told: Vec<_> = verdict.checks.iter().map(|c| (c.subject.as_str(), c.status)).collect();
    assert_eq!(told, [("exposed", Status::Pass), ("cloud", Status::Unknown)]);
}

#[test]
fn p5_a_fact_for_a_check_of_tomorrow_is_shown_as_unknown_and_leads_to_nothing() {
    let facts = vec![disk("/", DiskState::Encrypted, Confidence::Uuid), count("moon-phase", "full", 0)];
    let verdict =
        judge_text(r#""disk-encryption":{"mode":"block","paths":["/"]}"#, 1, facts, Assurance::SelfReported);
    let last = verdict.checks.last().expect("a check");
    assert_eq!(
        (last.check.as_str(), last.status, last.effect),
        ("moon-phase", Status::Unknown, Effect::None)
    );
    assert!(verdict.allows_serving());
    // A check that the baseline does not ask for but this version knows is nobody's business.
    let quiet = judge_text(
        r#""self-test":{"mode":"report"}"#,
        1,
        vec![count("endpoint", "x", 1)],
        Assurance::Measured,
    );
    assert!(quiet.checks.iter().all(|c| c.check.as_str() == "self-test"));
}

fn any_state() -> impl Strategy<Value = DiskState> {
    prop_oneof![
        Just(DiskState::Encrypted),
        Just(DiskState::Plain),
        Just(DiskState::Volatile),
        Just(DiskState::Unknown)
    ]
}

proptest! {
    #[test]
    fn p4_worse_evidence_never_gives_a_better_verdict(states in prop::collection::vec(any_state(), 2), worse in 0_usize..2) {
        let block = baseline("block", 0);
        let facts = |states: &[DiskState]| evidence(vec![
            disk("/", states[0], Confidence::Uuid),
            disk("home", states[1], Confidence::Uuid),
        ]);
        let before = judge(&block, &[], &facts(&states), &History::new(), NOW);
        let mut bent = states.clone();
        bent[worse] = DiskState::Plain;
        let after = judge(&block, &[], &facts(&bent), &History::new(), NOW);
        prop_assert!(!after.allows_serving());
        prop_assert!(before.allows_serving() || !after.allows_serving());
    }

    #[test]
    fn p4_the_stricter_of_two_verdicts_wins(a in any_state(), b in any_state()) {
        let block = baseline("block", 0);
        let one = judge(&block, &[], &both(a), &History::new(), NOW);
        let two = judge(&block, &[], &both(b), &History::new(), NOW);
        let expected = one.allows_serving() && two.allows_serving();
        prop_assert_eq!(one.stricter(two).allows_serving(), expected);
    }
}

#[test]
fn p5_a_check_without_subjects_wants_all_that_a_node_tells_in_any_case() {
    let text =
        r#"{"kind":"Baseline","name":"b","version":1,"tier":1,"checks":{"self-test":{"mode":"block"}}}"#;
    let open: Baseline = serde_json::from_str(text).expect("a baseline");
    let proven = |subject: &str| Fact {
        check: "self-test".parse().expect("a name"),
        subject: subject.to_owned(),
        observation: Observation::SelfTest {
            attempts: vec![Attempt {
                name: "tcp-connect".parse().expect("a name"),
                errno: Some("EPERM".to_owned()),
            }],
            layers: vec!["seccomp".parse().expect("a name")],
        },
        method: "attempted".to_owned(),
        confidence: Confidence::Table,
        trace: Vec::new(),
    };
    let both = vec![proven("gateway"), proven("worker")];
    assert!(judge(&open, &[], &evidence(both.clone()), &History::new(), NOW).allows_serving());
    for hidden in 0..2 {
        let mut facts = both.clone();
        facts.remove(hidden);
        assert!(!judge(&open, &[], &evidence(facts), &History::new(), NOW).allows_serving());
    }
}

#[test]
fn p5_a_check_of_a_newer_baseline_that_this_version_does_not_know_is_unknown_unless_its_subjects_are_named() {
    let policy = |subjects: &str| -> Baseline {
        let text = format!(
            r#"{{"kind":"Baseline","name":"b","version":1,"tier":1,"checks":{{"of-tomorrow":{{"mode":"block"{subjects}}}}}}}"#
        );
        serde_json::from_str(&text).expect("a baseline")
    };
    let facts = vec![Fact {
        check: "of-tomorrow".parse().expect("a name"),
        observation: Observation::Flag { value: true },
        ..disk("a", DiskState::Plain, Confidence::Table)
    }];
    let open = judge(&policy(""), &[], &evidence(facts.clone()), &History::new(), NOW);
    assert_eq!((open.checks[0].status, open.allows_serving()), (Status::Unknown, false));
    let named = judge(&policy(r#","subjects":["a"]"#), &[], &evidence(facts), &History::new(), NOW);
    assert_eq!((named.checks[0].status, named.allows_serving()), (Status::Pass, true));
}

#[test]
fn p5_having_accepted_another_policy_is_not_having_accepted_this_one() {
    let text = r#"{"kind":"Baseline","name":"b","version":1,"tier":1,"policy":{"name":"use","version":2},
        "checks":{"policy-acceptance":{"mode":"block"}}}"#;
    let baseline: Baseline = serde_json::from_str(text).expect("a baseline");
    let accepted = |policy: &str| {
        evidence(vec![Fact {
            check: "policy-acceptance".parse().expect("a name"),
            observation: Observation::Flag { value: true },
            ..disk(policy, DiskState::Plain, Confidence::Table)
        }])
    };
    assert!(judge(&baseline, &[], &accepted("use@2"), &History::new(), NOW).allows_serving());
    assert!(!judge(&baseline, &[], &accepted("use@1"), &History::new(), NOW).allows_serving());
}

#[test]
fn p4_what_is_only_reported_blocks_in_no_tier_and_is_told_in_each() {
    for tier in 1..=3 {
        let mut reporting = baseline("report", 0);
        reporting.tier = tier;
        assert!(reporting.validate().is_ok());
        for facts in [both(DiskState::Plain), evidence(Vec::new())] {
            let verdict = judge(&reporting, &[], &facts, &History::new(), NOW);
            assert!(verdict.allows_serving(), "tier {tier}");
            for check in &verdict.checks {
                assert!(matches!(check.status, Status::Fail | Status::Unknown), "tier {tier}: {check:?}");
                assert_eq!((check.effect, check.blocks_at), (Effect::Report, None), "tier {tier}");
            }
        }
    }
}
