//! What may be collected from a machine besides the minimum: a ceiling that is compiled in, by ownership (P10).
//!
//! A baseline asks, the ceiling permits, and where the ceiling wants it the owner agrees first. Evidence leaves a node
//! only as [`Permitted`], and only a [`Collection`] makes one: what was not permitted is not in it, whatever was observed.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::evidence::{Evidence, Ownership};
use crate::fact::{Fact, Observation};
use crate::id::{BaselineRef, NodeId};
use crate::tally::undivided;
use crate::time::Timestamp;

/// One thing that a baseline can ask for besides the minimum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Item {
    /// The steps by which each fact was found.
    FactTraces,
    /// How mount points besides `/`, `home`, `store` and `swap` are kept, which the baseline names.
    OtherPaths,
    /// The census of all accounts of the machine, and not only of the one that enrolled.
    AllAccounts,
    /// Names and digests of the models that other tools keep, besides their counts.
    CensusModels,
    /// PCR values of the TPM and the digests that led to them.
    BootMeasurements,
    /// Counters of use by class of data, and of what the guard found by kind, besides their sums.
    UsageClasses,
}

/// What the compiled ceiling says of one item on one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ceiling {
    /// It was told and agreed to at enrollment; collected as soon as a baseline asks.
    Agreed,
    /// A baseline that asks for it waits for the owner's yes.
    WithConsent,
    /// No baseline and no consent brings it.
    Never,
}

impl Item {
    /// Every item.
    pub const ALL: [Self; 6] = [
        Self::FactTraces,
        Self::OtherPaths,
        Self::AllAccounts,
        Self::CensusModels,
        Self::BootMeasurements,
        Self::UsageClasses,
    ];

    /// As it is written in baselines.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FactTraces => "fact-traces",
            Self::OtherPaths => "other-paths",
            Self::AllAccounts => "all-accounts",
            Self::CensusModels => "census-models",
            Self::BootMeasurements => "boot-measurements",
            Self::UsageClasses => "usage-classes",
        }
    }

    /// What it is, for the person who is asked.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::FactTraces => {
                "the steps by which each fact was found (device names, no file names): for the help desk"
            }
            Self::OtherPaths => {
                "whether further mount points that the baseline names are encrypted: for machines with data disks"
            }
            Self::AllAccounts => {
                "local AI tools of every account on this machine, not only yours: the census of a shared machine"
            }
            Self::CensusModels => {
                "names and digests of the models that other AI tools keep here: to approve what people already use"
            }
            Self::BootMeasurements => {
                "what the TPM measured of this machine's boot (hashes of firmware and its settings): that it was not changed"
            }
            Self::UsageClasses => {
                "your requests counted by class of data, and what the guard found by kind (numbers only): to see that rules fit"
            }
        }
    }

    /// The ceiling. It is code and not configuration: changing it takes a new version of Croft on the node.
    #[must_use]
    pub const fn ceiling(self, ownership: Ownership) -> Ceiling {
        match (ownership, self) {
            (Ownership::Personal, Self::FactTraces | Self::AllAccounts) => Ceiling::Never,
            (
                Ownership::Personal,
                Self::OtherPaths | Self::CensusModels | Self::BootMeasurements | Self::UsageClasses,
            )
            | (Ownership::DevBudget, Self::CensusModels) => Ceiling::WithConsent,
            (
                Ownership::DevBudget,
                Self::FactTraces
                | Self::OtherPaths
                | Self::AllAccounts
                | Self::BootMeasurements
                | Self::UsageClasses,
            ) => Ceiling::Agreed,
        }
    }
}

impl std::fmt::Display for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What may be collected here and now. There is no way to make one but from ceiling, question and answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collection(BTreeSet<Item>);

impl Collection {
    /// What `asked` may bring on such a machine, given what its owner agreed to.
    #[must_use]
    pub fn permitted(ownership: Ownership, asked: &BTreeSet<Item>, agreed: &BTreeSet<Item>) -> Self {
        let may = |item: &Item| match item.ceiling(ownership) {
            Ceiling::Agreed => true,
            Ceiling::WithConsent => agreed.contains(item),
            Ceiling::Never => false,
        };
        Self(asked.iter().copied().filter(may).collect())
    }

    /// Whether `item` may be collected.
    #[must_use]
    pub fn allows(&self, item: Item) -> bool {
        self.0.contains(&item)
    }

    /// Takes out of `evidence` what may not leave, and writes down what was collected.
    #[must_use]
    pub fn hold(&self, mut evidence: Evidence) -> Permitted {
        if !self.allows(Item::FactTraces) {
            evidence.facts.iter_mut().for_each(|fact| fact.trace.clear());
        }
        for fact in &mut evidence.facts {
            fact.trace.iter_mut().for_each(|line| *line = without_paths(line));
        }
        let may_name = |subject: &str| match is_other_path(subject) {
            true => self.allows(Item::OtherPaths),
            // No fact is about a file: one that says so was made by mistake, and its path stays here.
            false => subject == "/" || !subject.contains(['/', '\\']),
        };
        evidence.facts.retain(|fact| may_name(&fact.subject));
        if !self.allows(Item::CensusModels) {
            evidence.census.iter_mut().for_each(|finding| finding.listed.clear());
        }
        if !self.allows(Item::UsageClasses) {
            evidence.usage = undivided(std::mem::take(&mut evidence.usage));
            evidence.content.clear();
        }
        evidence.collected = self.0.iter().copied().collect();
        Permitted(evidence)
    }
}

/// A line of a trace with `PATH` in place of each path: a folder can be called by a person's or a customer's name, also
/// one that a device is. Lines write the white space within a path in another way.
fn without_paths(line: &str) -> String {
    let words = line.split(' ').map(|word| {
        let bare = word.trim_end_matches([':', ',', ')']);
        match bare.contains(['/', '\\']) && bare != "/" {
            true => format!("PATH{}", &word[bare.len()..]),
            false => word.to_owned(),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Whether a check's subject is a path of the machine's own, beyond those that every baseline may name.
#[must_use]
pub fn is_other_path(subject: &str) -> bool {
    subject.starts_with('/') && subject != "/"
}

/// Evidence that holds nothing but what was permitted. Only this is signed and sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Permitted(Evidence);

impl Permitted {
    /// The evidence.
    #[must_use]
    pub const fn evidence(&self) -> &Evidence {
        &self.0
    }

    /// The same in at most `len_max` bytes as `len` counts them. Explanations go first, then names of models, then ports
    /// and long reasons, and then whole entries, the longest list's first. A fact that is gone is unknown to whoever
    /// judges, and unknown never passes.
    #[must_use]
    pub fn fitting(mut self, len_max: usize, len: impl Fn(&Evidence) -> usize) -> Self {
        let steps: [fn(&mut Evidence); 4] = [
            |evidence| evidence.facts.iter_mut().for_each(|fact| fact.trace.clear()),
            |evidence| evidence.census.iter_mut().for_each(|finding| finding.listed.clear()),
            |evidence| evidence.census.iter_mut().for_each(|finding| finding.ports.clear()),
            |evidence| evidence.facts.iter_mut().for_each(shorten),
        ];
        for step in steps {
            if len(&self.0) <= len_max {
                return self;
            }
            step(&mut self.0);
        }
        while len(&self.0) > len_max && halve_longest(&mut self.0) {}
        self
    }
}

/// Longest reason that is kept when room is short, in bytes.
const REASON_LEN_SHORT: usize = 80;

fn shorten(fact: &mut Fact) {
    if let Observation::Unavailable { reason } = &mut fact.observation {
        let end = (0..=reason.len().min(REASON_LEN_SHORT)).rev().find(|at| reason.is_char_boundary(*at));
        reason.truncate(end.unwrap_or(0));
    }
}

/// Halves the list with the most entries. False if all are empty.
fn halve_longest(evidence: &mut Evidence) -> bool {
    let lens = [evidence.facts.len(), evidence.census.len(), evidence.bundles.len(), evidence.usage.len()];
    let recalls = evidence.recalls.len();
    let longest = lens.into_iter().chain([recalls]).max().unwrap_or(0);
    let half = longest / 2;
    match longest {
        0 => return false,
        len if len == evidence.census.len() => evidence.census.truncate(half),
        len if len == evidence.usage.len() => evidence.usage.truncate(half),
        len if len == evidence.bundles.len() => evidence.bundles.truncate(half),
        len if len == recalls => evidence.recalls.truncate(half),
        _ => evidence.facts.truncate(half),
    }
    true
}

/// What waits for the owner: asked for, possible here, and not agreed to.
#[must_use]
pub fn waiting(ownership: Ownership, asked: &BTreeSet<Item>, agreed: &BTreeSet<Item>) -> BTreeSet<Item> {
    let waits = |item: &Item| item.ceiling(ownership) == Ceiling::WithConsent && !agreed.contains(item);
    asked.iter().copied().filter(waits).collect()
}

/// The owner's answer, signed by the node's key and kept on the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consent {
    /// On which node.
    pub node: NodeId,
    /// To everything that is agreed to from now on; empty after a revocation.
    pub items: BTreeSet<Item>,
    /// The baseline that asked, if one was in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<BaselineRef>,
    /// The account that answered.
    pub uid: u32,
    /// When.
    pub at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> BTreeSet<Item> {
        Item::ALL.into()
    }

    #[test]
    fn p10_no_baseline_and_no_consent_reaches_beyond_the_ceiling() {
        for ownership in [Ownership::Personal, Ownership::DevBudget] {
            let greedy = Collection::permitted(ownership, &all(), &all());
            for item in Item::ALL {
                assert_eq!(greedy.allows(item), item.ceiling(ownership) != Ceiling::Never, "{item}");
            }
        }
        let personal = Collection::permitted(Ownership::Personal, &all(), &all());
        assert!(!personal.allows(Item::FactTraces) && !personal.allows(Item::AllAccounts));
    }

    #[test]
    fn p10_what_needs_a_yes_waits_for_it_and_what_nobody_asks_for_is_not_collected() {
        let none = BTreeSet::new();
        let unasked = Collection::permitted(Ownership::DevBudget, &none, &all());
        assert_eq!(unasked, Collection::default());
        let silent = Collection::permitted(Ownership::Personal, &all(), &none);
        assert_eq!(silent, Collection::default());
        let waits = waiting(Ownership::Personal, &all(), &none);
        let expected = [Item::OtherPaths, Item::CensusModels, Item::BootMeasurements, Item::UsageClasses];
        assert_eq!(waits, expected.into());
        assert!(waiting(Ownership::Personal, &all(), &waits).is_empty());
        let later = Collection::permitted(Ownership::Personal, &all(), &waits);
        assert!(later.allows(Item::OtherPaths) && later.allows(Item::CensusModels));
    }

    #[test]
    fn items_are_written_as_they_are_read() {
        for item in Item::ALL {
            assert_eq!(serde_json::to_value(item).expect("JSON"), item.as_str());
        }
    }
}
