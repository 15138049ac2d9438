//! The functions that an ONNX model brings, and who calls them. A function may stand behind its calls in the file, so
//! they are judged at the end.

use std::collections::{BTreeMap, BTreeSet};

use super::super::Scan;
use super::super::limits::{GRAPH_BOUND_MAX, GRAPH_NAME_LEN_MAX};
use super::DOMAINS;
use crate::report::{Rule, excerpt};

/// Longest domain and name together that are kept, in bytes; those of exporters stay below 200.
const KEY_LEN_MAX: usize = 512;

/// A domain and a name in it.
type Key = (Vec<u8>, Vec<u8>);

/// Names by number: each is kept once.
#[derive(Default)]
pub(super) struct Functions {
    numbers: BTreeMap<Key, u32>,
    /// Functions that the model brings.
    brought: BTreeSet<u32>,
    /// The domains of those.
    domains: BTreeSet<Vec<u8>>,
    /// What the function calls that is read now.
    within: Option<BTreeSet<u32>>,
    /// Which function calls which.
    edges: BTreeMap<u32, BTreeSet<u32>>,
    /// What is called somewhere, of a domain that is not known, and where first.
    foreign: BTreeMap<u32, u64>,
    /// Domains that are not known, and where they are named first.
    foreign_domains: BTreeMap<Vec<u8>, u64>,
    kept: usize,
    /// Where there was more than is kept.
    too_many: Option<u64>,
}

impl Functions {
    fn number(&mut self, at: u64, domain: &[u8], name: &[u8]) -> Option<u32> {
        // The two spellings of ONNX's own domain.
        let domain = if domain == b"ai.onnx" { &b""[..] } else { domain };
        let key = (domain.to_vec(), name.to_vec());
        if let Some(number) = self.numbers.get(&key) {
            return Some(*number);
        }
        let number = u32::try_from(self.numbers.len()).ok()?;
        if domain.len() + name.len() > KEY_LEN_MAX || self.kept >= GRAPH_BOUND_MAX {
            self.too_many.get_or_insert(at);
            return None;
        }
        self.kept += 1 + (domain.len() + name.len()) / 64;
        self.numbers.insert(key, number);
        Some(number)
    }

    /// A function begins.
    pub(super) fn enter(&mut self) {
        self.within = Some(BTreeSet::new());
    }

    /// It has ended, and this is what it is called.
    pub(super) fn leave(&mut self, at: u64, domain: &[u8], name: &[u8]) {
        let calls = self.within.take().unwrap_or_default();
        let Some(number) = self.number(at, domain, name) else { return };
        self.brought.insert(number);
        self.domains.insert(domain.to_vec());
        self.edges.entry(number).or_default().extend(calls);
    }

    /// A node names its operator.
    pub(super) fn calls(&mut self, at: u64, domain: &[u8], name: &[u8]) {
        let known = DOMAINS.contains(&domain);
        if known && self.within.is_none() {
            return;
        }
        let Some(number) = self.number(at, domain, name) else { return };
        if !known {
            self.foreign.entry(number).or_insert(at);
        }
        if let Some(within) = &mut self.within {
            self.kept += usize::from(within.insert(number));
            if self.kept >= GRAPH_BOUND_MAX {
                self.too_many.get_or_insert(at);
            }
        }
    }

    /// The model says that it uses operators of a domain.
    pub(super) fn uses_domain(&mut self, at: u64, domain: &[u8]) {
        if DOMAINS.contains(&domain) || self.foreign_domains.contains_key(domain) {
            return;
        }
        if domain.len() >= GRAPH_NAME_LEN_MAX || self.kept >= GRAPH_BOUND_MAX {
            self.too_many.get_or_insert(at);
            return;
        }
        self.kept += 1 + domain.len() / 64;
        self.foreign_domains.insert(domain.to_vec(), at);
    }

    /// Says what is wrong, now that all functions are known.
    pub(super) fn judge(self, scan: &mut Scan) {
        if let Some(at) = self.too_many {
            scan.refuse(Rule::F04, at, "more functions or operators of other domains than are judged");
            return;
        }
        for (domain, at) in &self.foreign_domains {
            if !self.domains.contains(domain) && !scan.policy.allows_domain(domain) {
                scan.refuse(Rule::O02, *at, format!("operators of the domain '{}'", excerpt(domain)));
            }
        }
        for ((domain, name), number) in &self.numbers {
            let Some(at) = self.foreign.get(number) else { continue };
            if !self.brought.contains(number) && !scan.policy.allows_operator(domain, name) {
                let shown = format!("{}::{}", excerpt(domain), excerpt(name));
                let message = format!(
                    "the operator {shown} is not on the list; if a loader of yours knows it, the fleet's publishers \
                     allow it: croftctl intake allow --operator {shown} --reason WHY"
                );
                scan.refuse(Rule::O02, *at, message);
            }
        }
        if self.has_circle() {
            scan.refuse(Rule::O04, 0, "a function calls itself, if only through others");
        }
    }

    /// Takes away what calls nothing that is left, until nothing changes; what then stays calls itself.
    fn has_circle(&self) -> bool {
        let mut callers: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        let mut open: BTreeMap<u32, usize> = BTreeMap::new();
        for (caller, callees) in &self.edges {
            let own = callees.iter().filter(|callee| self.brought.contains(callee));
            open.insert(*caller, own.clone().count());
            own.for_each(|callee| callers.entry(*callee).or_default().push(*caller));
        }
        let mut done: Vec<u32> =
            open.iter().filter(|(_, left)| **left == 0).map(|(caller, _)| *caller).collect();
        let mut closed = 0;
        while let Some(function) = done.pop() {
            closed += 1;
            for caller in callers.remove(&function).unwrap_or_default() {
                if let Some(left) = open.get_mut(&caller) {
                    *left -= 1;
                    if *left == 0 {
                        done.push(caller);
                    }
                }
            }
        }
        closed < open.len()
    }
}
