//! One world: true time, a controller, nodes, and a network; one thing happens at a step.

use std::collections::BTreeMap;

use croft_domain::digest::Sha256Digest;
use croft_domain::fact::DiskState;
use croft_domain::id::{LeaseId, WaiverId};
use croft_domain::lease::Lease;
use croft_domain::time::Timestamp;
use croft_domain::verdict::Status;
use croft_domain::waiver::{Scope, Waiver};

use super::controller::{Books, Controller};
use super::network::{Keys, Message, Network};
use super::node::Node;
use super::random::Random;
use crate::sample::{self, NOW};

/// A defect on purpose, to see that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    LeaseDespiteBlock,
    LeaseBeyondWaiver,
    AnswerBeforeAppend,
    NodeTrustsItsClock,
    NodeFollowsAnything,
    BannedMayAttest,
    NodeKeepsRotatedLease,
    NodeTakesOldRoot,
    NodeTrustsAnyAuthority,
    ControllerStrandsOldCertificates,
}

/// How often something worth testing happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen(BTreeMap<&'static str, u64>);

impl Seen {
    pub fn count(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    pub fn add(&mut self, other: &Self) {
        for (what, count) in &other.0 {
            *self.0.entry(what).or_default() += count;
        }
    }

    pub fn assert_all_happened(&self) {
        for what in [
            "lease",
            "blocked",
            "waived",
            "warned",
            "caught up",
            "crash before the answer",
            "rewrite",
            "alarm",
            "banned",
            "clock set back",
            "serving",
            "lost",
            "repeated",
            "metadata expired",
            "rotated",
            "lease ended by rotation",
            "message across a rotation",
            "away through two rotations",
            "documents carried",
            "renewed by key proof",
            "old root refused",
            "old authority refused",
        ] {
            assert!(self.0.get(what).copied().unwrap_or(0) > 50, "{what} hardly happens: {:?}", self.0);
        }
    }
}

pub struct World {
    pub truth: Timestamp,
    pub controller: Controller,
    pub nodes: Vec<Node>,
    pub network: Network,
    /// Every lease that was ever given, with the time in truth.
    pub leases: BTreeMap<LeaseId, (Lease, Timestamp)>,
    /// Nodes whose history was rewritten on purpose.
    pub rewritten: Vec<bool>,
    /// The heads of each history that was rewritten after its node had been shown one of them.
    pub shown: Vec<Option<Vec<Sha256Digest>>>,
    pub banned_length: Vec<Option<usize>>,
    pub seen: Seen,
    pub broken: Option<String>,
    pub random: Random,
}

impl World {
    pub fn new(seed: u64, nodes: usize, fault: Fault) -> Self {
        let mut random = Random::new(seed);
        let (mode, grace_s) = if random.chance(50) { ("block", 0) } else { ("warn", 900) };
        let mut baseline = sample::baseline(mode, grace_s);
        baseline.lease_ttl_s =
            [600, 3_600, 86_400, 7 * 86_400][usize::try_from(random.below(4)).expect("small")];
        let controller = Controller {
            books: vec![Books::default(); nodes],
            baseline,
            group: "dev".parse().expect("a name"),
            waivers: Vec::new(),
            metadata_expires_at: NOW.plus(14 * 86_400),
            keys: Keys::default(),
            authority: 0,
            fault,
        };
        Self {
            truth: NOW,
            controller,
            nodes: (0..nodes).map(|index| Node::new(index, fault)).collect(),
            network: Network::default(),
            leases: BTreeMap::new(),
            rewritten: vec![false; nodes],
            shown: vec![None; nodes],
            banned_length: vec![None; nodes],
            seen: Seen::default(),
            broken: None,
            random,
        }
    }

    pub fn step(&mut self) {
        let node = usize::try_from(self.random.below(self.nodes.len() as u64)).expect("small");
        match self.random.below(100) {
            0..=19 => self.ask(node),
            20..=67 => self.deliver(),
            68..=72 => self.rotate_authority(),
            73 => self.carry(node),
            74 => self.attack_with_old_keys(node),
            75..=82 => self.pass_time(),
            83..=86 => self.nodes[node].disk = self.any_disk(),
            87 => self.rotate(),
            88..=89 => self.jump_clock(node),
            90..=92 => self.nodes[node].crash(self.truth),
            93..=95 => self.waive(node),
            96 => self.network.cut(),
            97 => self.ban(node),
            98 => self.rewrite(node),
            _ => self.refresh(),
        }
        self.check(node);
        let (lost, repeated) = (self.network.lost, self.network.repeated);
        (self.network.lost, self.network.repeated) = (0, 0);
        (0..lost).for_each(|_| self.seen.count("lost"));
        (0..repeated).for_each(|_| self.seen.count("repeated"));
    }

    pub fn ask(&mut self, node: usize) {
        let known = self.nodes[node].durable.head;
        let call = self.nodes[node].ask();
        let certificate = self.nodes[node].durable.certificate;
        self.network.send(Message::Ask { node, call, known, certificate }, &mut self.random);
    }

    fn any_disk(&mut self) -> DiskState {
        match self.random.below(10) {
            0..=5 => DiskState::Encrypted,
            6..=7 => DiskState::Plain,
            8 => DiskState::Unknown,
            _ => DiskState::Volatile,
        }
    }

    fn pass_time(&mut self) {
        let seconds = match self.random.below(20) {
            0..=9 => self.random.below(60),
            10..=16 => self.random.below(900),
            17..=18 => self.random.below(86_400),
            // Asleep over a holiday.
            _ => self.random.below(20 * 86_400),
        };
        self.truth = self.truth.plus(seconds);
        let truth = self.truth;
        self.nodes.iter_mut().for_each(|node| node.advance(truth));
    }

    // Nobody's clock is right for long; the user sets it back to gain time.
    fn jump_clock(&mut self, node: usize) {
        let distance = i64::try_from(self.random.below(10 * 86_400)).expect("small");
        let back = self.random.chance(60);
        self.nodes[node].skew += if back { -distance } else { distance / 100 };
        if back {
            self.seen.count("clock set back");
        }
    }

    fn waive(&mut self, node: usize) {
        let scope = if self.random.chance(70) {
            Scope::Node(self.nodes[node].id)
        } else {
            Scope::Group(self.controller.group.clone())
        };
        let waivers = &mut self.controller.waivers;
        if self.random.chance(20) {
            waivers.clear();
        }
        waivers.push(Waiver {
            id: WaiverId([1; 16]),
            scope,
            check: "disk-encryption".parse().expect("a name"),
            not_before: self.truth,
            not_after: self.truth.plus(self.random.below(3 * 3_600)),
            reason: "simulated".to_owned(),
        });
    }

    fn ban(&mut self, node: usize) {
        if self.random.chance(50) || self.controller.books[node].banned {
            return;
        }
        self.controller.books[node].banned = true;
        self.banned_length[node] = Some(self.controller.books[node].chain.len());
        self.seen.count("banned");
        self.network.send(Message::Revoked { node }, &mut self.random);
    }

    fn rewrite(&mut self, node: usize) {
        let heads: Vec<_> = self.controller.books[node].chain.iter().map(|row| row.head).collect();
        if self.random.chance(30) && self.controller.rewrite(node) {
            self.rewritten[node] = true;
            // One that already goes on from a history of before an earlier rewrite has its alarm.
            if self.nodes[node].durable.head.is_some_and(|head| heads.contains(&head)) {
                self.shown[node].get_or_insert(heads);
            }
            self.seen.count("rewrite");
        }
    }

    fn refresh(&mut self) {
        self.controller.metadata_expires_at =
            if self.random.chance(80) { self.truth.plus(14 * 86_400) } else { self.truth };
    }

    pub fn deliver(&mut self) {
        let Some(message) = self.network.receive(&mut self.random) else { return };
        match message {
            Message::Ask { node, call, known, certificate } => self.greet(node, call, known, certificate),
            Message::Challenge { node, call, .. } if self.nodes[node].call != call => {}
            Message::Challenge { node, authority, .. } if !self.nodes[node].trusts(authority) => {
                let is_old = authority < self.nodes[node].durable.keys.first_authority;
                self.seen.count(if is_old { "old authority refused" } else { "away through two rotations" });
            }
            Message::Challenge { node, nonce, head, links, keys, authority, .. } => {
                self.check_authority(node, authority);
                self.nodes[node].durable.certificate = authority;
                self.nodes[node].call += 1;
                if self.nodes[node].refresh(keys) {
                    self.seen.count("lease ended by rotation");
                }
                if !links.is_empty() {
                    self.seen.count("caught up");
                }
                let (nonce, evidence) = self.nodes[node].answer(head, &links, nonce, self.truth);
                if self.nodes[node].alarm {
                    self.seen.count("alarm");
                }
                let message = Message::Attest { node, nonce, evidence: Box::new(evidence) };
                self.network.send(message, &mut self.random);
            }
            Message::Attest { node, nonce, evidence } => self.judge(node, nonce, &evidence),
            Message::Answer { node, boxed } => {
                let Controller { baseline, waivers, group, .. } = &self.controller;
                let taken = self.nodes[node].take_in(&boxed, baseline, waivers, group, self.truth);
                if taken {
                    self.check_acknowledged(node, &boxed);
                }
            }
            Message::Revoked { node } => self.nodes[node].durable.revoked = true,
        }
    }

    fn judge(
        &mut self,
        node: usize,
        nonce: super::network::Nonce,
        evidence: &croft_domain::evidence::Evidence,
    ) {
        let crash = !self.network.is_honest && self.random.chance(10);
        if crash {
            self.seen.count("crash before the answer");
        }
        let Some(answer) = self.controller.attest(node, nonce, evidence, self.truth, crash) else { return };
        if self.controller.metadata_expires_at <= self.truth {
            self.seen.count("metadata expired");
        }
        for check in &answer.verdict.checks {
            match (check.status, answer.verdict.allows_serving()) {
                (Status::Waived, _) => self.seen.count("waived"),
                (Status::Fail | Status::Unknown, true) => self.seen.count("warned"),
                (Status::Fail | Status::Unknown, false) => self.seen.count("blocked"),
                _ => {}
            }
        }
        if let Some(lease) = &answer.lease {
            self.seen.count("lease");
            self.leases.insert(lease.id, (lease.clone(), self.truth));
            self.check_lease(lease, &answer.verdict);
        }
        self.network.send(Message::Answer { node, boxed: Box::new(answer) }, &mut self.random);
    }
}
