//! Numbers about few people are not told, and cannot be computed from those that are (P6).

use std::collections::BTreeSet;

use croft_domain::data_class::DataClass;
use croft_domain::evidence::ContentCount;
use croft_domain::evidence::UsageCount;
use croft_domain::id::{BundleName, GroupName, NodeId};
use croft_domain::tally::{Amount, NodeUse, PEOPLE_MIN, Tally, undivided};
use croft_domain::usage::Sensitivity;
use proptest::prelude::*;

/// What node `number` of a group counted: so many requests of each of these.
fn node(number: u8, group: &str, counts: &[(&str, Option<Sensitivity>, u64)]) -> NodeUse {
    let usage = counts.iter().map(|(model, class, requests)| {
        let amount = Amount { requests: *requests, prompt_tokens: 3 * requests, ..Amount::default() };
        UsageCount::of(model.parse().expect("a name"), *class, &amount)
    });
    NodeUse {
        node: NodeId([number; 16]),
        group: group.parse().expect("a name"),
        usage: usage.collect(),
        content: Vec::new(),
    }
}

const INTERNAL: Option<Sensitivity> = Some(Sensitivity::Internal);
const PUBLIC: Option<Sensitivity> = Some(Sensitivity::Public);

fn names(tally: &Tally) -> Vec<(Option<&str>, u32, u64)> {
    let name = |group: &croft_domain::tally::UsageGroup| group.amount.requests;
    tally.groups.iter().map(|g| (g.group.as_ref().map(GroupName::as_str), g.nodes, name(g))).collect()
}

#[test]
fn p6_a_fleet_of_few_is_told_as_one_number() {
    let uses: Vec<NodeUse> = (0..4).map(|n| node(n, "dev", &[("starter", INTERNAL, 10)])).collect();
    let tally = Tally::of(&uses, 31);
    assert_eq!((tally.nodes, tally.amount.requests, tally.amount.prompt_tokens), (4, 40, 120));
    assert!(tally.groups.is_empty() && tally.content.is_empty());
}

#[test]
fn p6_a_group_of_five_is_broken_down_by_model_and_class() {
    let counts = [("starter", INTERNAL, 10), ("starter", PUBLIC, 1), ("coder", INTERNAL, 5)];
    let uses: Vec<NodeUse> = (0..5).map(|n| node(n, "dev", &counts)).collect();
    let tally = Tally::of(&uses, 31);
    assert_eq!(names(&tally), [(Some("dev"), 5, 80)]);
    let lines = &tally.groups[0].lines;
    let shown: Vec<_> = lines
        .iter()
        .map(|l| (l.model.as_ref().map(BundleName::as_str), l.data_class, l.nodes, l.amount.requests))
        .collect();
    assert_eq!(
        shown,
        [
            (Some("coder"), INTERNAL, 5, 25),
            (Some("starter"), PUBLIC, 5, 5),
            (Some("starter"), INTERNAL, 5, 50),
        ]
    );
}

#[test]
fn p6_a_small_group_is_not_what_is_left_of_the_sum() {
    let mut uses: Vec<NodeUse> = (0..6).map(|n| node(n, "large", &[("starter", INTERNAL, 10)])).collect();
    uses.extend((10..15).map(|n| node(n, "middle", &[("starter", INTERNAL, 10)])));
    uses.extend((20..22).map(|n| node(n, "small", &[("starter", INTERNAL, 10)])));
    let tally = Tally::of(&uses, 31);
    // Two nodes in the rest would be the sum less the others: the smallest of those hides them.
    assert_eq!(names(&tally), [(Some("large"), 6, 60), (None, 7, 70)]);
    assert!(tally.groups[1].lines.is_empty(), "of several groups together nothing more is told");
    // Where nothing else is large enough to hide them, nothing is told but the sum.
    let tally = Tally::of(&uses[6..], 31);
    assert_eq!((names(&tally), tally.nodes), (vec![], 7));
}

#[test]
fn p6_what_one_of_many_did_is_not_told_within_its_group() {
    let mut uses: Vec<NodeUse> = (0..7).map(|n| node(n, "dev", &[("starter", INTERNAL, 10)])).collect();
    uses[0] = node(0, "dev", &[("starter", INTERNAL, 10), ("starter", Some(Sensitivity::Restricted), 3)]);
    let tally = Tally::of(&uses, 31);
    assert_eq!(names(&tally), [(Some("dev"), 7, 73)]);
    assert!(tally.groups[0].lines.is_empty(), "{:?}", tally.groups[0].lines);
}

#[test]
fn p6_a_node_that_counted_nothing_hides_nobody() {
    let mut uses: Vec<NodeUse> = (0..4).map(|n| node(n, "dev", &[("starter", INTERNAL, 10)])).collect();
    uses.push(node(9, "dev", &[("starter", INTERNAL, 0)]));
    assert!(Tally::of(&uses, 31).groups.is_empty());
}

#[test]
fn p6_what_the_guard_found_is_told_by_kind_and_of_enough_nodes_only() {
    let mut uses: Vec<NodeUse> = (0..5).map(|n| node(n, "dev", &[("starter", INTERNAL, 1)])).collect();
    for used in &mut uses {
        used.content = vec![ContentCount { kind: DataClass::AccessTokens, requests: 2 }];
    }
    let tally = Tally::of(&uses, 31);
    assert_eq!(
        tally.content.iter().map(|l| (l.kind, l.requests)).collect::<Vec<_>>(),
        [(Some(DataClass::AccessTokens), 10)]
    );
    uses[0].content.push(ContentCount { kind: DataClass::PaymentCards, requests: 1 });
    assert!(Tally::of(&uses, 31).content.is_empty());
}

#[test]
fn without_classes_counters_are_one_sum_for_each_model() {
    let counts = [("starter", INTERNAL, 10), ("starter", PUBLIC, 1), ("coder", INTERNAL, 5)];
    let whole = undivided(node(1, "dev", &counts).usage);
    let shown: Vec<_> = whole.iter().map(|c| (c.model.as_str(), c.data_class, c.requests)).collect();
    assert_eq!(shown, [("coder", None, 5), ("starter", None, 11)]);
}

/// Number of a node, its group, and of each count its model, class and requests.
type Drawn = (u8, u8, Vec<(u8, u8, u64)>);

fn any_use() -> impl Strategy<Value = Vec<Drawn>> {
    let count = (0..3_u8, 0..4_u8, 0..3_u64);
    prop::collection::vec((any::<u8>(), 0..4_u8, prop::collection::vec(count, 0..4)), 0..30)
}

proptest! {
    /// Whatever a fleet did: every number that is told, and every difference of a sum and numbers told of its parts, is
    /// about nobody or about enough nodes.
    #[test]
    fn p6_no_number_and_no_difference_is_about_few(drawn in any_use()) {
        let mut seen = BTreeSet::new();
        let uses: Vec<NodeUse> = drawn
            .into_iter()
            .filter(|(number, _, _)| seen.insert(*number))
            .map(|(number, group, counts)| {
                let counts: Vec<_> = counts
                    .into_iter()
                    .map(|(model, class, n)| (["a", "b", "c"][model as usize], Some(Sensitivity::ALL[class as usize]), n))
                    .collect();
                node(number, ["w", "x", "y", "z"][group as usize], &counts)
            })
            .collect();
        let tally = Tally::of(&uses, 31);
        let enough = |nodes: u32| nodes as usize >= PEOPLE_MIN;
        for group in &tally.groups {
            prop_assert!(enough(group.nodes));
            for line in &group.lines {
                prop_assert!(enough(line.nodes));
            }
            let sum: u64 = group.lines.iter().map(|line| line.amount.requests).sum();
            prop_assert!(group.lines.is_empty() || sum == group.amount.requests, "nothing is left over");
        }
        let sum: u64 = tally.groups.iter().map(|group| group.amount.requests).sum();
        prop_assert!(tally.groups.is_empty() || sum == tally.amount.requests, "nothing is left over");
    }
}
