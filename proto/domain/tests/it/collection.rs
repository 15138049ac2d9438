//! The ceiling of collection under attack: evidence that holds more than was permitted, baselines that ask for all.

use std::collections::BTreeSet;

use croft_domain::census::{Finding, ListedModel};
use croft_domain::collection::{Collection, Item};
use croft_domain::data_class::DataClass;
use croft_domain::evidence::{ContentCount, Evidence, EvidenceError, Ownership};
use croft_domain::fact::{Confidence, DiskState, Observation};
use croft_domain::limits::{EVIDENCE_LEN_MAX, FACTS_MAX, TEXT_LEN_MAX};

use crate::sample::{baseline, disk, evidence};

fn greedy() -> croft_domain::evidence::Evidence {
    let mut home = disk("home", DiskState::Encrypted, Confidence::Uuid);
    home.trace = vec!["/home is on nvme0n1p3".to_owned()];
    let other = disk("/srv/secret-project", DiskState::Plain, Confidence::Uuid);
    let mut evidence = evidence(vec![home, other]);
    evidence.collected = Item::ALL.to_vec();
    evidence
}

#[test]
fn p10_a_baseline_that_asks_for_everything_gets_what_the_ceiling_permits() {
    let mut asking = baseline("block", 0);
    asking.collect = Item::ALL.into();
    let nothing = BTreeSet::new();
    let personal = Collection::permitted(Ownership::Personal, &asking.asks_for(), &nothing).hold(greedy());
    let held = personal.evidence();
    assert_eq!(held.collected, []);
    assert_eq!(held.facts.iter().map(|fact| fact.subject.as_str()).collect::<Vec<_>>(), ["home"]);
    assert!(held.facts.iter().all(|fact| fact.trace.is_empty()));
    let consented = Collection::permitted(Ownership::Personal, &asking.asks_for(), &Item::ALL.into());
    let held = consented.hold(greedy());
    assert_eq!(held.evidence().facts.len(), 2);
    assert!(held.evidence().facts.iter().all(|fact| fact.trace.is_empty()));
    assert_eq!(held.evidence().check_bounds(), Ok(()));
    let budget = Collection::permitted(Ownership::DevBudget, &asking.asks_for(), &nothing).hold(greedy());
    assert_eq!(
        budget.evidence().collected,
        [Item::FactTraces, Item::OtherPaths, Item::AllAccounts, Item::BootMeasurements, Item::UsageClasses]
    );
    assert_eq!(budget.evidence().facts[0].trace, ["PATH is on nvme0n1p3"]);
}

#[test]
fn p10_a_fact_about_a_file_never_leaves_and_a_trace_leaves_without_its_paths() {
    let mut facts = vec![disk("/", DiskState::Encrypted, Confidence::Uuid)];
    facts.push(disk("swap:/home/alice/swapfile", DiskState::Encrypted, Confidence::Uuid));
    facts.push(disk(r"swap:C:\Users\alice\x.sys", DiskState::Encrypted, Confidence::Uuid));
    facts[0].trace = vec![
        r"/home/alice/my\040merger: ext4 on /, device 8:1".to_owned(),
        "loop0: loop over /home/alice/a:b: (/x/alice)".to_owned(),
    ];
    let asked: BTreeSet<Item> = Item::ALL.into();
    let held = Collection::permitted(Ownership::DevBudget, &asked, &asked).hold(evidence(facts));
    let held = &held.evidence().facts;
    assert_eq!(held.len(), 1);
    assert_eq!(held[0].trace, ["PATH: ext4 on /, device 8:1", "loop0: loop over PATH: PATH)"]);
}

#[test]
fn p10_names_of_models_stay_here_until_their_owner_agrees() {
    let mut naming = evidence(Vec::new());
    let mut finding = Finding::none_of("ollama".parse().expect("a name"));
    finding.listed = vec![ListedModel { name: "merger-model".to_owned(), sha256: None }];
    naming.census = vec![finding];
    let asked: BTreeSet<Item> = [Item::CensusModels].into();
    for ownership in [Ownership::Personal, Ownership::DevBudget] {
        let silent = Collection::permitted(ownership, &asked, &BTreeSet::new()).hold(naming.clone());
        assert!(silent.evidence().census[0].listed.is_empty());
        let agreed = Collection::permitted(ownership, &asked, &asked).hold(naming.clone());
        assert_eq!(agreed.evidence().census[0].listed.len(), 1);
        assert_eq!(agreed.evidence().check_bounds(), Ok(()));
    }
    assert_eq!(naming.check_bounds(), Err(EvidenceError::BeyondCeiling(Item::CensusModels)));
}

#[test]
fn p10_counters_by_class_stay_here_until_the_owner_of_a_personal_machine_agrees() {
    let mut counting = evidence(Vec::new());
    let count = |class| {
        let text = format!(
            r#"{{"model":"starter","data_class":"{class}","requests":2,"prompt_tokens":3,"completion_tokens":4}}"#
        );
        serde_json::from_str(&text).expect("a count")
    };
    counting.usage = vec![count("public"), count("restricted")];
    counting.content = vec![ContentCount { kind: DataClass::PaymentCards, requests: 1 }];
    assert_eq!(counting.check_bounds(), Err(EvidenceError::BeyondCeiling(Item::UsageClasses)));
    let asked: BTreeSet<Item> = [Item::UsageClasses].into();
    let silent = Collection::permitted(Ownership::Personal, &asked, &BTreeSet::new()).hold(counting.clone());
    let whole: Vec<_> =
        silent.evidence().usage.iter().map(|count| (count.data_class, count.requests)).collect();
    assert_eq!((whole, silent.evidence().content.len()), (vec![(None, 4)], 0));
    assert_eq!(silent.evidence().check_bounds(), Ok(()));
    for (ownership, agreed) in [(Ownership::Personal, asked.clone()), (Ownership::DevBudget, BTreeSet::new())]
    {
        let told = Collection::permitted(ownership, &asked, &agreed).hold(counting.clone());
        assert_eq!((told.evidence().usage.len(), told.evidence().content.len()), (2, 1));
        assert_eq!(told.evidence().check_bounds(), Ok(()));
        let unasked = Collection::permitted(ownership, &BTreeSet::new(), &asked).hold(counting.clone());
        assert_eq!((unasked.evidence().usage.len(), unasked.evidence().content.len()), (1, 0));
    }
}

#[test]
fn p4_the_longest_evidence_fits_its_bound_and_what_is_left_out_is_unknown() {
    let long = "x".repeat(TEXT_LEN_MAX);
    let mut fact = disk("home", DiskState::Encrypted, Confidence::Uuid);
    fact.observation = Observation::Unavailable { reason: long.clone() };
    fact.trace = vec![long.clone(); 32];
    let mut worst = evidence(vec![fact; FACTS_MAX]);
    worst.ownership = Ownership::DevBudget;
    let mut finding = Finding::none_of("ollama".parse().expect("a name"));
    finding.ports = vec![65_535; 16];
    finding.listed = vec![ListedModel { name: long, sha256: None }; 32];
    worst.census = vec![finding; FACTS_MAX];
    worst.recalls = vec![croft_domain::id::RecallId([7; 16]); FACTS_MAX];
    let usage = r#"{"model":"chat","requests":18446744073709551615,"prompt_tokens":18446744073709551615,
        "completion_tokens":18446744073709551615}"#;
    worst.usage = vec![serde_json::from_str(usage).expect("usage"); FACTS_MAX];
    let status = r#"{"bundle":{"name":"a","version":1},"state":"loaded",
        "manifest_sha256":"sha256:0000000000000000000000000000000000000000000000000000000000000000"}"#;
    worst.bundles = vec![serde_json::from_str(status).expect("a status"); FACTS_MAX];
    assert_eq!(worst.check_bounds(), Err(EvidenceError::BeyondCeiling(Item::CensusModels)));
    let len = |evidence: &Evidence| serde_json::to_vec(evidence).expect("JSON").len();
    let all = Item::ALL.into();
    let held = Collection::permitted(Ownership::DevBudget, &all, &all).hold(worst);
    assert!(len(held.evidence()) > 4 * EVIDENCE_LEN_MAX);
    let fitting = held.clone().fitting(EVIDENCE_LEN_MAX, len);
    assert!(len(fitting.evidence()) <= EVIDENCE_LEN_MAX);
    assert_eq!(fitting.evidence().check_bounds(), Ok(()));
    assert!(!fitting.evidence().facts.is_empty(), "facts are the last to go");
    // What fits is left as it is.
    let small = Collection::default().hold(evidence(Vec::new()));
    assert_eq!(small.clone().fitting(EVIDENCE_LEN_MAX, len), small);
    // Nothing is smaller than an empty document; asking for less ends all the same.
    assert!(held.fitting(10, len).evidence().facts.is_empty());
}

#[test]
fn p10_a_path_in_a_check_asks_as_much_as_the_list_does() {
    let mut sly = baseline("block", 0);
    assert!(sly.asks_for().is_empty());
    for policy in sly.checks.values_mut() {
        policy.paths.push("/home/someone/project".to_owned());
    }
    assert_eq!(sly.asks_for(), [Item::OtherPaths].into());
}

#[test]
fn p10_evidence_beyond_the_ceiling_is_not_judged_or_kept() {
    let refused = greedy().check_bounds();
    assert_eq!(refused, Err(EvidenceError::BeyondCeiling(Item::FactTraces)));
    let mut of_budget = greedy();
    of_budget.ownership = Ownership::DevBudget;
    assert_eq!(of_budget.check_bounds(), Ok(()));
}
