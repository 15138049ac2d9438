//! The ceiling of collection under attack: evidence that holds more than was permitted, baselines that ask for all.

use std::collections::BTreeSet;

use croft_domain::collection::{Collection, Item};
use croft_domain::evidence::{EvidenceError, Ownership};
use croft_domain::fact::{Confidence, DiskState};

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
    assert_eq!(budget.evidence().collected, [Item::FactTraces, Item::OtherPaths, Item::AllAccounts]);
    assert!(!budget.evidence().facts[0].trace.is_empty());
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
