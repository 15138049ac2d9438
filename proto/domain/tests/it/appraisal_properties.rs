//! Appraisal as properties: worse evidence of any kind never helps, and no way of flapping buys a second grace.

use croft_domain::appraise::{History, Remembered, Subject, appraise, history_of};
use croft_domain::baseline::Baseline;
use croft_domain::fact::{Attempt, Confidence, DiskState, Fact, Observation};
use croft_domain::id::GroupName;
use croft_domain::remedy::told;
use croft_domain::time::Timestamp;
use croft_domain::verdict::{Effect, Status, Verdict};
use proptest::prelude::*;

use crate::sample::{NOW, evidence};

/// One check for each kind of observation.
const CHECKS: [(&str, &str); 6] = [
    ("disk-encryption", "home"),
    ("self-test", "worker"),
    ("api-binding", "gateway"),
    ("production-credentials", "all"),
    ("endpoint", "firewall"),
    ("patch-level", "system"),
];

fn attempt(errno: Option<&str>) -> Attempt {
    Attempt { name: "tcp-connect".parse().expect("a name"), errno: errno.map(str::to_owned) }
}

/// From good to bad: 0 is the best that the kind can show.
fn observation(kind: usize, badness: u8) -> Observation {
    let seccomp = vec!["seccomp".parse().expect("a name")];
    match (kind, badness) {
        (_, 3..) => Observation::Unavailable { reason: "cannot be seen".to_owned() },
        (0, 0) => Observation::Disk { state: DiskState::Encrypted },
        (0, 1) => Observation::Disk { state: DiskState::Unknown },
        (0, _) => Observation::Disk { state: DiskState::Plain },
        (1, 0) => Observation::SelfTest { attempts: vec![attempt(Some("EPERM"))], layers: seccomp },
        (1, 1) => Observation::SelfTest { attempts: vec![attempt(Some("EPERM"))], layers: Vec::new() },
        (1, _) => {
            Observation::SelfTest { attempts: vec![attempt(Some("EPERM")), attempt(None)], layers: seccomp }
        }
        (2, 0) => Observation::Listen { port: 11_535, loopback_only: true },
        (2, _) => Observation::Listen { port: 11_535, loopback_only: false },
        (3, badness) => Observation::Count { count: u32::from(badness) },
        (_, 0) => Observation::Flag { value: true },
        (_, _) => Observation::Flag { value: false },
    }
}

fn fact(kind: usize, badness: u8, confidence: Confidence) -> Fact {
    Fact {
        check: CHECKS[kind].0.parse().expect("a name"),
        subject: CHECKS[kind].1.to_owned(),
        observation: observation(kind, badness),
        method: "observed".to_owned(),
        confidence,
        trace: Vec::new(),
    }
}

fn baseline(mode: &str, grace_s: u64) -> Baseline {
    let grace = if mode == "warn" { grace_s } else { 0 };
    let check = |name: &str, subject: &str| {
        format!(r#""{name}":{{"mode":"{mode}","grace_s":{grace},"subjects":["{subject}"]}}"#)
    };
    let mut checks: Vec<String> = CHECKS[1..].iter().map(|(name, subject)| check(name, subject)).collect();
    checks.push(format!(r#""disk-encryption":{{"mode":"{mode}","grace_s":{grace},"paths":["home"]}}"#));
    let text =
        format!(r#"{{"kind":"Baseline","name":"b","version":1,"tier":3,"checks":{{{}}}}}"#, checks.join(","));
    serde_json::from_str(&text).expect("a baseline")
}

fn judge(baseline: &Baseline, facts: Vec<Fact>, history: &History, now: Timestamp) -> Verdict {
    let group: GroupName = "dev".parse().expect("a name");
    let subject = Subject::self_reported(&group);
    appraise(baseline, &[], &evidence(facts), history, &subject, now)
}

/// The worst effect of each check.
fn effects(verdict: &Verdict) -> Vec<Effect> {
    let of = |name: &str| {
        let results = verdict.checks.iter().filter(|result| result.check.as_str() == name);
        results.map(|result| result.effect).max().unwrap_or(Effect::None)
    };
    CHECKS.iter().map(|(name, _)| of(name)).collect()
}

fn remembered() -> impl Strategy<Value = Remembered> {
    let statuses = prop_oneof![Just(Status::Pass), Just(Status::Fail), Just(Status::Unknown)];
    (statuses, 0_u64..5_000, prop::option::of(0_u64..5_000)).prop_map(|(status, ago, failing)| Remembered {
        status,
        since: NOW.minus(ago),
        failing_since: failing.map(|ago| NOW.minus(ago)),
    })
}

fn confidence() -> impl Strategy<Value = Confidence> {
    prop_oneof![
        Just(Confidence::None),
        Just(Confidence::Heuristic),
        Just(Confidence::Uuid),
        Just(Confidence::Table)
    ]
}

proptest! {
    #[test]
    fn p4_worse_evidence_of_any_kind_never_gives_a_milder_effect(
        shown in prop::collection::vec((0_u8..4, confidence()), CHECKS.len()),
        kept in prop::collection::vec(remembered(), CHECKS.len()),
        worse in 0..CHECKS.len(),
        by in 1_u8..4,
        how in 0_u8..3,
        mode in prop_oneof![Just("report"), Just("notify"), Just("warn"), Just("block")],
        grace_s in 1_u64..4_000,
    ) {
        let baseline = baseline(mode, grace_s);
        let history: History = CHECKS
            .iter()
            .zip(&kept)
            .map(|((check, subject), kept)| ((check.parse().expect("a name"), (*subject).to_owned()), *kept))
            .collect();
        let facts = |shown: &[(u8, Confidence)]| -> Vec<Fact> {
            shown.iter().enumerate().map(|(kind, (badness, sure))| fact(kind, *badness, *sure)).collect()
        };
        let before = judge(&baseline, facts(&shown), &history, NOW);
        let mut bent = shown.clone();
        let mut after = match how {
            0 => { bent[worse].0 = bent[worse].0.saturating_add(by).min(3); facts(&bent) }
            1 => { bent[worse].1 = Confidence::None; facts(&bent) }
            _ => facts(&bent),
        };
        if how == 2 {
            after.remove(worse);
        }
        let after = judge(&baseline, after, &history, NOW);
        for (better, worse) in effects(&before).into_iter().zip(effects(&after)) {
            prop_assert!(worse >= better, "{better:?} became {worse:?}");
        }
        prop_assert!(before.allows_serving() || !after.allows_serving());
    }

    #[test]
    fn p4_leaving_out_any_fact_of_a_check_without_subjects_never_helps(
        shown in prop::collection::vec(0_u8..4, 24),
        extra in prop::collection::vec(Just(()), 0..4),
        gone in any::<prop::sample::Index>(),
        kept in prop::collection::vec(remembered(), CHECKS.len()),
        mode in prop_oneof![Just("report"), Just("notify"), Just("warn"), Just("block")],
    ) {
        let grace = if mode == "warn" { 1_000 } else { 0 };
        let open = |name: &str| format!(r#""{name}":{{"mode":"{mode}","grace_s":{grace}}}"#);
        let names = CHECKS.map(|(name, _)| open(name)).join(",");
        let text = format!(r#"{{"kind":"Baseline","name":"b","version":1,"tier":3,"checks":{{{names}}}}}"#);
        let baseline: Baseline = serde_json::from_str(&text).expect("a baseline");
        let history: History = CHECKS
            .iter()
            .zip(&kept)
            .map(|((check, subject), kept)| ((check.parse().expect("a name"), (*subject).to_owned()), *kept))
            .collect();
        // What each check tells in any case, and parts of it: packages.
        let told = CHECKS.iter().enumerate().flat_map(|(kind, (check, _))| {
            told(&check.parse().expect("a name")).iter().map(move |subject| (kind, (*subject).to_owned()))
        });
        let parts = (0..extra.len()).map(|part| (5, format!("package:{part}")));
        let badness = shown.iter().copied().cycle();
        let facts: Vec<Fact> = told
            .chain(parts)
            .zip(badness)
            .map(|((kind, subject), badness)| Fact { subject, ..fact(kind, badness, Confidence::Table) })
            .collect();
        // A part that is left out is in the whole as well.
        let gone = gone.index(facts.len());
        prop_assume!(!facts[gone].subject.contains(':'));
        let before = judge(&baseline, facts.clone(), &history, NOW);
        let mut fewer = facts;
        let about = fewer[gone].clone();
        fewer.retain(|fact| fact.check != about.check || fact.subject != about.subject);
        let after = judge(&baseline, fewer, &history, NOW);
        for (better, worse) in effects(&before).into_iter().zip(effects(&after)) {
            prop_assert!(worse >= better, "{better:?} became {worse:?}");
        }
        prop_assert!(before.allows_serving() || !after.allows_serving());
    }

    #[test]
    fn p4_however_a_check_flaps_within_its_grace_it_blocks_on_time(
        steps in prop::collection::vec((1_u64..100, 0_u8..4, any::<bool>()), 1..20),
    ) {
        // Never good for as long as the grace, so that the failing is never over.
        let baseline = baseline("warn", 1_000);
        let mut history = History::new();
        let mut now = NOW;
        let all = |badness: u8, hides: bool| -> Vec<Fact> {
            (0..CHECKS.len()).filter(|kind| *kind != 3 || !hides).map(|kind| fact(kind, if kind == 3 { badness } else { 0 }, Confidence::Table)).collect()
        };
        let first = judge(&baseline, all(1, false), &history, now);
        history = history_of(&first);
        for (wait, badness, hides) in steps {
            now = now.plus(wait);
            history = history_of(&judge(&baseline, all(badness, hides), &history, now));
        }
        let end = NOW.plus(1_000).max(now);
        let last = judge(&baseline, all(1, false), &history, end);
        let allowed_again = end.since(now) >= 1_000;
        prop_assert!(!last.allows_serving() || allowed_again, "{last:?}");
    }
}

#[test]
fn p4_a_check_that_flips_within_its_grace_keeps_its_clock_and_one_that_settles_gets_a_new_one() {
    let baseline = baseline("warn", 1_000);
    let facts = |badness| -> Vec<Fact> {
        (0..CHECKS.len())
            .map(|kind| fact(kind, if kind == 3 { badness } else { 0 }, Confidence::Table))
            .collect()
    };
    let at =
        |seconds, badness, history: &History| judge(&baseline, facts(badness), history, NOW.plus(seconds));
    let failed = at(0, 1, &History::new());
    let mended = at(900, 0, &history_of(&failed));
    assert!(mended.checks.iter().all(|check| check.effect == Effect::None));
    let again = at(950, 1, &history_of(&mended));
    let warned = again.checks.iter().find(|check| check.effect == Effect::Warn).expect("a warning");
    assert_eq!((warned.since, warned.blocks_at), (NOW.plus(950), Some(NOW.plus(1_000))));
    assert!(!at(1_000, 1, &history_of(&again)).allows_serving());
    // Good for as long as the grace: the next failure is another one.
    let settled = at(1_900, 0, &history_of(&mended));
    let later = at(1_950, 1, &history_of(&settled));
    let warned = later.checks.iter().find(|check| check.effect == Effect::Warn).expect("a warning");
    assert_eq!(warned.blocks_at, Some(NOW.plus(2_950)));
}

#[test]
fn p4_a_subject_that_vanishes_and_comes_back_keeps_its_clock() {
    let text = r#"{"kind":"Baseline","name":"b","version":1,"tier":1,"checks":{
        "disk-encryption":{"mode":"warn","grace_s":1000,"paths":["swap"]}}}"#;
    let baseline: Baseline = serde_json::from_str(text).expect("a baseline");
    let swap = |subject: &str, observation| Fact {
        subject: subject.to_owned(),
        observation,
        ..fact(0, 0, Confidence::Table)
    };
    let plain = || vec![swap("swap:partition", Observation::Disk { state: DiskState::Plain })];
    let none = || vec![swap("swap", Observation::Flag { value: true })];
    let first = judge(&baseline, plain(), &History::new(), NOW);
    let off = judge(&baseline, none(), &history_of(&first), NOW.plus(500));
    assert_eq!(off.checks[0].status, Status::Pass);
    let hidden = judge(&baseline, Vec::new(), &history_of(&off), NOW.plus(600));
    let renamed = vec![swap("swap:partition-2", Observation::Disk { state: DiskState::Plain })];
    let last = judge(&baseline, renamed, &history_of(&hidden), NOW.plus(1_000));
    assert_eq!(last.checks[0].effect, Effect::Block, "{last:?}");
}
