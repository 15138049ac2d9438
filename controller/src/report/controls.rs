//! Which control of the organization's own catalogs is met where, as far as baselines name them.

use std::collections::{BTreeMap, BTreeSet};

use croft_domain::report::NodeLine;
use croft_domain::verdict::Status;

/// Nodes of one control.
#[derive(Default)]
struct Tally {
    checks: BTreeSet<String>,
    met: u32,
    missed: u32,
}

/// One line for each control: its name, its checks, nodes on which all of them pass, nodes on which one does not. A
/// waived check is not met.
pub fn lines(nodes: &[NodeLine]) -> Vec<[String; 4]> {
    let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
    for node in nodes.iter().filter(|node| !node.revoked) {
        let Some(verdict) = &node.verdict else { continue };
        let mut met: BTreeMap<&str, bool> = BTreeMap::new();
        for check in &verdict.checks {
            let holds = matches!(check.status, Status::Pass | Status::NotApplicable);
            for control in &check.controls {
                *met.entry(control).or_insert(true) &= holds;
                tallies.entry(control).or_default().checks.insert(check.check.to_string());
            }
        }
        for (control, holds) in met {
            let tally = tallies.entry(control).or_default();
            *(if holds { &mut tally.met } else { &mut tally.missed }) += 1;
        }
    }
    let line = |(control, tally): (&str, Tally)| {
        let checks: Vec<String> = tally.checks.into_iter().collect();
        [control.to_owned(), checks.join(", "), tally.met.to_string(), tally.missed.to_string()]
    };
    tallies.into_iter().map(line).collect()
}
