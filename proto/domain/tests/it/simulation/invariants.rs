//! What must hold after every step, whatever happened.

use croft_domain::lease::Lease;
use croft_domain::limits::LEASE_TTL_MAX_S;
use croft_domain::verdict::{Status, Verdict};

use super::hash::next_head;
use super::network::Answer;
use super::node::{ADVANCED_EVERY_S, CALL_TIMEOUT_S};
use super::world::World;

impl World {
    pub fn require(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds && self.broken.is_none() {
            self.broken = Some(what());
        }
    }

    /// No lease without a passing verdict, and none that outlives what it rests on.
    pub fn check_lease(&mut self, lease: &Lease, verdict: &Verdict) {
        self.require(verdict.allows_serving(), || format!("lease {} on a blocking verdict", lease.id));
        let metadata = self.controller.metadata_expires_at;
        self.require(lease.expires_at <= metadata, || format!("lease {} outlives the metadata", lease.id));
        let ends: Vec<_> = verdict.checks.iter().filter(|c| c.status == Status::Waived).collect();
        for check in ends {
            let covering = self.controller.waivers.iter().filter(|w| w.is_in_force(self.truth));
            let end = covering.map(croft_domain::waiver::Waiver::ends_at).max();
            let is_warn = self.controller.baseline.checks[&check.check].grace_s > 0;
            let graced = check.since.plus(self.controller.baseline.checks[&check.check].grace_s);
            let end = if is_warn { end.map(|end| end.max(graced)) } else { end };
            self.require(end.is_some_and(|end| lease.expires_at <= end), || {
                format!("lease {} outlives its waiver", lease.id)
            });
        }
        for check in verdict.checks.iter().filter(|c| matches!(c.status, Status::Fail | Status::Unknown)) {
            let grace = self.controller.baseline.checks[&check.check].grace_s;
            self.require(lease.expires_at <= check.since.plus(grace), || {
                format!("lease {} outlives the grace", lease.id)
            });
        }
    }

    /// No acknowledged verdict is lost: what a node took in is in the chain.
    pub fn check_acknowledged(&mut self, node: usize, answer: &Answer) {
        let known = self.controller.books[node].chain.iter().any(|row| row.head == answer.head);
        let rewritten = self.rewritten[node];
        self.require(known || rewritten, || format!("node {node} was answered a verdict that is lost"));
    }

    /// A controller that a node speaks with has a certificate by an authority that the node's documents list.
    pub fn check_authority(&mut self, node: usize, authority: u64) {
        let is_listed = self.nodes[node].durable.keys.pin(authority);
        self.require(is_listed, || {
            format!("node {node} speaks with a controller of an authority that was rotated out")
        });
    }

    /// What must hold for one node at any time.
    pub fn check(&mut self, index: usize) {
        let (truth, node) = (self.truth, &self.nodes[index]);
        let (held, signed) = (node.durable.keys, self.controller.keys);
        self.require(held.newest(signed) == signed, || {
            format!("node {index} holds documents that nobody signed")
        });
        let node = &self.nodes[index];
        let serves = node.serves(truth);
        if serves {
            self.seen.count("serving");
            let node = &self.nodes[index];
            let Some(held) = node.durable.lease.clone() else {
                return self.require(false, || format!("node {index} serves without a lease"));
            };
            let issued = self.leases.get(&held.id).cloned();
            let is_own = issued.as_ref().is_some_and(|(lease, _)| *lease == held && lease.node == node.id);
            let revoked = node.durable.revoked;
            self.require(is_own, || format!("node {index} serves with a lease that nobody gave it"));
            let node = &self.nodes[index];
            let is_listed = node.durable.keys.list(node.durable.lease_key);
            self.require(is_listed, || format!("node {index} serves by a key that was rotated out"));
            self.require(!revoked, || format!("node {index} serves though it heard that it is out"));
            // Setting the clock back gains nothing while the machine runs, and no more than ten minutes at each boot.
            let since = issued.map_or(0, |(_, at)| truth.since(at));
            let bound = LEASE_TTL_MAX_S + CALL_TIMEOUT_S + ADVANCED_EVERY_S * self.nodes[index].boots;
            self.require(since <= bound, || {
                format!("node {index} serves {since} s after its lease was given")
            });
        }
        let banned = self.banned_length[index];
        let length = self.controller.books[index].chain.len();
        self.require(banned.is_none_or(|at| at == length), || format!("banned node {index} was judged"));
    }

    /// Chains are unbroken, counters rise, and each node countersigned what came before, unless somebody rewrote it: then
    /// the countersignatures say so.
    pub fn check_all(&mut self) {
        for index in 0..self.nodes.len() {
            self.check(index);
            let (mut before, mut counter, mut contradicted) = (None, 0, false);
            let (mut linked, mut rises) = (true, true);
            for row in &self.controller.books[index].chain {
                linked &= next_head(before, &row.link) == row.head;
                rises &= row.counter > counter;
                contradicted |= row.countersigned != before;
                (before, counter) = (Some(row.head), row.counter);
            }
            self.require(linked, || format!("the chain of node {index} is broken"));
            self.require(rises, || format!("a counter of node {index} does not rise"));
            let rewritten = self.rewritten[index];
            self.require(rewritten || !contradicted, || {
                format!("node {index} countersigned another history, and nobody rewrote it")
            });
            let known = self.nodes[index].durable.head;
            let chain = &self.controller.books[index].chain;
            let is_ancestor = known.is_none_or(|head| chain.iter().any(|row| row.head == head));
            self.require(rewritten || is_ancestor, || {
                format!("the controller does not have the head that node {index} was shown")
            });
            // Whoever was shown a head before the rewrite goes on from that history or not at all.
            let evades =
                self.shown[index].as_ref().is_some_and(|heads| known.is_none_or(|h| !heads.contains(&h)));
            self.require(!evades, || format!("node {index} took in a rewritten history"));
        }
    }
}
