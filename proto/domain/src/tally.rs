//! How much models are used, told so that no number is about a person: neither one that is shown, nor what is left when
//! those that are shown are taken from their sum.
//!
//! A part of a whole is told only if at least [`PEOPLE_MIN`] nodes are in it. What is not told is summed as the rest; if
//! fewer nodes than that are in the rest, the smallest told part goes there too, until it is none or enough.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::data_class::DataClass;
use crate::evidence::{ContentCount, UsageCount};
use crate::id::{BundleName, GroupName, NodeId};
use crate::usage::Sensitivity;

/// Fewest nodes that a number is told about, besides the sum of the whole fleet.
pub const PEOPLE_MIN: usize = 5;

/// Counters, summed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// Requests answered.
    pub requests: u64,
    /// Prompt tokens evaluated.
    pub prompt_tokens: u64,
    /// Tokens generated.
    pub completion_tokens: u64,
    /// Requests in which content was replaced.
    pub redacted: u64,
    /// Requests refused for their content.
    pub blocked: u64,
}

impl Amount {
    /// Adds to it.
    pub const fn add(&mut self, other: &Self) {
        let Self { requests, prompt_tokens, completion_tokens, redacted, blocked } = other;
        self.requests = self.requests.saturating_add(*requests);
        self.prompt_tokens = self.prompt_tokens.saturating_add(*prompt_tokens);
        self.completion_tokens = self.completion_tokens.saturating_add(*completion_tokens);
        self.redacted = self.redacted.saturating_add(*redacted);
        self.blocked = self.blocked.saturating_add(*blocked);
    }

    /// Takes from it what it holds of another.
    pub const fn subtract(&mut self, other: &Self) {
        let Self { requests, prompt_tokens, completion_tokens, redacted, blocked } = other;
        self.requests = self.requests.saturating_sub(*requests);
        self.prompt_tokens = self.prompt_tokens.saturating_sub(*prompt_tokens);
        self.completion_tokens = self.completion_tokens.saturating_sub(*completion_tokens);
        self.redacted = self.redacted.saturating_sub(*redacted);
        self.blocked = self.blocked.saturating_sub(*blocked);
    }
}

impl UsageCount {
    /// Its numbers.
    #[must_use]
    pub const fn amount(&self) -> Amount {
        let Self { model: _, data_class: _, requests, prompt_tokens, completion_tokens, redacted, blocked } =
            self;
        Amount {
            requests: *requests,
            prompt_tokens: *prompt_tokens,
            completion_tokens: *completion_tokens,
            redacted: *redacted,
            blocked: *blocked,
        }
    }

    /// Counters of a model, for one class of data or for all together.
    #[must_use]
    pub const fn of(model: BundleName, data_class: Option<Sensitivity>, amount: &Amount) -> Self {
        let Amount { requests, prompt_tokens, completion_tokens, redacted, blocked } = *amount;
        Self { model, data_class, requests, prompt_tokens, completion_tokens, redacted, blocked }
    }
}

/// The same counters without their classes of data, summed model by model.
#[must_use]
pub fn undivided(usage: Vec<UsageCount>) -> Vec<UsageCount> {
    let mut sums: BTreeMap<BundleName, Amount> = BTreeMap::new();
    for count in usage {
        let amount = count.amount();
        sums.entry(count.model).or_default().add(&amount);
    }
    sums.into_iter().map(|(model, amount)| UsageCount::of(model, None, &amount)).collect()
}

/// What one node counted in a period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeUse {
    /// Which node.
    pub node: NodeId,
    /// Its group.
    pub group: GroupName,
    /// By model, and by class of data where that was collected.
    pub usage: Vec<UsageCount>,
    /// What was found in requests and answers.
    pub content: Vec<ContentCount>,
}

/// One model and one class of data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageLine {
    /// Which model; none: all that are not told one by one.
    pub model: Option<BundleName>,
    /// For which class of data; none: it was not collected, or this is the rest.
    pub data_class: Option<Sensitivity>,
    /// How many nodes are in it.
    pub nodes: u32,
    /// How much.
    pub amount: Amount,
}

/// One group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageGroup {
    /// Which; none: all groups that are not told one by one.
    pub group: Option<GroupName>,
    /// How many nodes are in it.
    pub nodes: u32,
    /// How much.
    pub amount: Amount,
    /// What that consists of; empty where it may not be broken down.
    pub lines: Vec<UsageLine>,
}

/// One kind of content that the guard found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentLine {
    /// Which; none: all that are not told one by one.
    pub kind: Option<DataClass>,
    /// On how many nodes.
    pub nodes: u32,
    /// In how many requests and answers.
    pub requests: u64,
}

/// How much models were used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Over how many days, today with them.
    pub days: u32,
    /// On how many nodes.
    pub nodes: u32,
    /// By everybody together; the one number that is told of however few nodes.
    pub amount: Amount,
    /// Group by group; empty where that would tell of fewer than [`PEOPLE_MIN`] nodes.
    pub groups: Vec<UsageGroup>,
    /// What the guard found, kind by kind.
    pub content: Vec<ContentLine>,
}

/// A sum, and who is in it.
#[derive(Clone, Debug, Default)]
struct Part {
    nodes: BTreeSet<NodeId>,
    amount: Amount,
}

impl Part {
    fn add(&mut self, node: NodeId, amount: &Amount) {
        // Who counted nothing hides nobody.
        if *amount != Amount::default() {
            self.nodes.insert(node);
            self.amount.add(amount);
        }
    }

    fn absorb(&mut self, other: Self) {
        self.nodes.extend(other.nodes);
        self.amount.add(&other.amount);
    }

    fn len(&self) -> u32 {
        u32::try_from(self.nodes.len()).unwrap_or(u32::MAX)
    }
}

/// The parts that may be told, and the rest. Nothing may be if no part is large enough, or every one is needed to hide
/// a rest that is not.
fn told<K: Ord + Clone>(parts: BTreeMap<K, Part>) -> Vec<(Option<K>, Part)> {
    let (mut shown, mut rest) = (BTreeMap::new(), Part::default());
    for (key, part) in parts {
        if part.nodes.len() >= PEOPLE_MIN {
            shown.insert(key, part);
        } else {
            rest.absorb(part);
        }
    }
    while !rest.nodes.is_empty() && rest.nodes.len() < PEOPLE_MIN {
        let smallest = shown.iter().min_by_key(|(_, part)| part.nodes.len()).map(|(key, _)| key.clone());
        let Some(part) = smallest.and_then(|key| shown.remove(&key)) else { return Vec::new() };
        rest.absorb(part);
    }
    if shown.is_empty() {
        return Vec::new();
    }
    let rest = (!rest.nodes.is_empty()).then_some((None, rest));
    shown.into_iter().map(|(key, part)| (Some(key), part)).chain(rest).collect()
}

impl Tally {
    /// Sums what nodes counted over `days`.
    #[must_use]
    pub fn of(uses: &[NodeUse], days: u32) -> Self {
        type Cells = BTreeMap<(BundleName, Option<Sensitivity>), Part>;
        let mut all = Part::default();
        let mut groups: BTreeMap<GroupName, (Part, Cells)> = BTreeMap::new();
        let mut content: BTreeMap<DataClass, Part> = BTreeMap::new();
        for NodeUse { node, group, usage, content: found } in uses {
            let (sum, cells) = groups.entry(group.clone()).or_default();
            for count in usage {
                let amount = count.amount();
                all.add(*node, &amount);
                sum.add(*node, &amount);
                cells.entry((count.model.clone(), count.data_class)).or_default().add(*node, &amount);
            }
            for ContentCount { kind, requests } in found {
                let amount = Amount { requests: *requests, ..Amount::default() };
                content.entry(*kind).or_default().add(*node, &amount);
            }
        }
        let mut cells: BTreeMap<GroupName, Cells> = BTreeMap::new();
        let mut sums: BTreeMap<GroupName, Part> = BTreeMap::new();
        for (group, (sum, of_group)) in groups {
            cells.insert(group.clone(), of_group);
            sums.insert(group, sum);
        }
        let line = |(key, part): (Option<(BundleName, Option<Sensitivity>)>, Part)| {
            let (model, data_class) = key.map_or((None, None), |(model, class)| (Some(model), class));
            UsageLine { model, data_class, nodes: part.len(), amount: part.amount }
        };
        let groups = told(sums).into_iter().map(|(group, part)| {
            // Of small groups together nothing more is told: their parts could be one group's.
            let cells = group.as_ref().and_then(|group| cells.remove(group)).unwrap_or_default();
            let lines = told(cells).into_iter().map(line).collect();
            UsageGroup { group, nodes: part.len(), amount: part.amount, lines }
        });
        let content = told(content).into_iter().map(|(kind, part)| ContentLine {
            kind,
            nodes: part.len(),
            requests: part.amount.requests,
        });
        Self {
            days,
            nodes: all.len(),
            amount: all.amount,
            groups: groups.collect(),
            content: content.collect(),
        }
    }
}
