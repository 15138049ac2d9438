//! A node: a durable half that survives crashes, and a volatile half that does not.

use croft_domain::appraise::{History, Subject, appraise, history_of};
use croft_domain::baseline::Baseline;
use croft_domain::digest::Sha256Digest;
use croft_domain::evidence::Evidence;
use croft_domain::fact::{Confidence, DiskState, Fact, Observation};
use croft_domain::id::{GroupName, NodeId};
use croft_domain::lease::Lease;
use croft_domain::time::Timestamp;
use croft_domain::verdict::Verdict;
use croft_domain::waiver::Waiver;

use super::hash::{Link, follow, next_head};
use super::network::{Answer, Keys, Nonce};
use super::world::Fault;
use crate::sample;

/// How often the counted time is made durable, in seconds.
pub const ADVANCED_EVERY_S: u64 = 600;

/// How long a call waits, in seconds, by the boot clock: a lease that took longer would count from its arrival.
pub const CALL_TIMEOUT_S: u64 = 120;

#[derive(Clone, Debug, Default)]
pub struct Durable {
    pub head: Option<Sha256Digest>,
    pub counter: u64,
    pub history: History,
    pub lease: Option<Lease>,
    pub verdict: Option<Verdict>,
    pub latest_seen: Timestamp,
    pub revoked: bool,
    /// The newest signed list of lease keys that it took in.
    pub keys: Keys,
    /// Which key signed its lease.
    pub lease_key: u64,
    /// Which authority signed its certificate.
    pub certificate: u64,
}

pub struct Node {
    pub id: NodeId,
    pub durable: Durable,
    /// What its disk is really like.
    pub disk: DiskState,
    /// By how much its clock is wrong, in seconds.
    pub skew: i64,
    pub alarm: bool,
    /// Evidence that was sent and not answered yet: its counter, its head, and itself.
    waiting: Option<Evidence>,
    /// When it was sent, in truth.
    waiting_since: Timestamp,
    /// The call that it waits for. What answers an older one goes nowhere, as with any call over a connection.
    pub call: u64,
    /// Boots since the lease came.
    pub boots: u64,
    /// True time until which the lease may last, as the boot clock counts it.
    pub lease_until_true: Timestamp,
    pub fault: Fault,
}

impl Node {
    pub fn new(index: usize, fault: Fault) -> Self {
        let mut id = [0; 16];
        id[8..].copy_from_slice(&(index as u64 + 1).to_be_bytes());
        Self {
            id: NodeId(id),
            durable: Durable::default(),
            disk: DiskState::Encrypted,
            skew: 0,
            alarm: false,
            waiting: None,
            waiting_since: Timestamp(0),
            call: 0,
            boots: 0,
            lease_until_true: Timestamp(0),
            fault,
        }
    }

    /// Its own clock.
    pub fn clock(&self, truth: Timestamp) -> Timestamp {
        Timestamp(truth.0.saturating_add_signed(self.skew))
    }

    /// Its own clock, never behind what was signed.
    pub fn now(&self, truth: Timestamp) -> Timestamp {
        if self.fault == Fault::NodeTrustsItsClock {
            return self.clock(truth);
        }
        self.clock(truth).max(self.durable.latest_seen)
    }

    /// Begins to attest: whatever it waited for before is given up.
    pub fn ask(&mut self) -> u64 {
        self.waiting = None;
        self.call += 1;
        self.call
    }

    /// The newest signed time plus what the boot clock counted since, made durable every ten minutes and at the lease's end: a
    /// reboot with the clock set back gains no more than that, and nothing once the lease has ended.
    pub fn advance(&mut self, truth: Timestamp) {
        let Some(lease) = &self.durable.lease else { return };
        let counted = lease.expires_at.minus(self.lease_until_true.since(truth));
        let has_ended = counted >= lease.expires_at && self.durable.latest_seen < lease.expires_at;
        let is_due = has_ended || counted.since(self.durable.latest_seen) >= ADVANCED_EVERY_S;
        if is_due && self.fault != Fault::NodeTrustsItsClock {
            self.durable.latest_seen = counted;
        }
    }

    pub fn crash(&mut self, truth: Timestamp) {
        self.boots += 1;
        self.call += 1;
        self.waiting = None;
        // After a boot, what is left of the lease is counted by the wall clock alone.
        if let Some(lease) = &self.durable.lease {
            let left = lease.expires_at.since(self.now(truth));
            self.lease_until_true = truth.plus(left);
        }
    }

    /// Whether it serves at this moment.
    pub fn serves(&self, truth: Timestamp) -> bool {
        let Some(lease) = &self.durable.lease else { return false };
        let key = Sha256Digest([self.id.0[15]; 32]);
        let is_allowed = self.durable.verdict.as_ref().is_some_and(Verdict::allows_serving);
        let in_time = self.fault == Fault::NodeTrustsItsClock || truth < self.lease_until_true;
        let seen =
            if self.fault == Fault::NodeTrustsItsClock { Timestamp(0) } else { self.durable.latest_seen };
        !self.durable.revoked
            && is_allowed
            && in_time
            && lease.check(self.id, &key, self.clock(truth), seen).is_ok()
    }

    /// Whether it speaks with a controller whose certificate this authority signed.
    pub fn trusts(&self, authority: u64) -> bool {
        self.durable.keys.pin(authority) || self.fault == Fault::NodeTrustsAnyAuthority
    }

    /// Takes in the signed documents, which it fetches before it attests, or which somebody carries to it; older ones change
    /// nothing, and what an older root signed is not looked at. A lease whose key is no longer listed ends here. Whether one
    /// did.
    pub fn refresh(&mut self, keys: Keys) -> bool {
        let durable = &mut self.durable;
        if keys.root < durable.keys.root && self.fault != Fault::NodeTakesOldRoot {
            return false;
        }
        durable.keys = durable.keys.newest(keys);
        let is_out = durable.lease.is_some() && !durable.keys.list(durable.lease_key);
        if is_out && self.fault != Fault::NodeKeepsRotatedLease {
            durable.lease = None;
        }
        is_out
    }

    /// Answers a challenge with evidence; the counter is durable before anything is sent.
    pub fn answer(
        &mut self,
        head: Option<Sha256Digest>,
        links: &[Link],
        nonce: Nonce,
        truth: Timestamp,
    ) -> (Nonce, Evidence) {
        let resumed = follow(self.durable.head, links) == head;
        if resumed || self.fault == Fault::NodeFollowsAnything {
            self.durable.head = head;
            self.alarm = false;
        } else {
            self.alarm = true;
        }
        self.durable.counter += 1;
        let fact = |subject: &str| sample::disk(subject, self.disk, Confidence::Uuid);
        let mut facts: Vec<Fact> = vec![fact("/"), fact("home")];
        if self.disk == DiskState::Unknown {
            facts[0].observation = Observation::Unavailable { reason: "sysfs is gone".to_owned() };
        }
        let mut evidence = template();
        evidence.facts = facts;
        evidence.node = self.id;
        evidence.counter = self.durable.counter;
        evidence.chain_head = self.durable.head;
        evidence.taken_at = self.clock(truth);
        self.waiting = Some(evidence.clone());
        self.waiting_since = truth;
        (nonce, evidence)
    }

    /// Takes in an answer to what it waits for; any other is old or not for it. Whether it did.
    pub fn take_in(
        &mut self,
        answer: &Answer,
        baseline: &Baseline,
        waivers: &[Waiver],
        group: &GroupName,
        truth: Timestamp,
    ) -> bool {
        let Some(evidence) = &self.waiting else { return false };
        if truth.since(self.waiting_since) > CALL_TIMEOUT_S {
            return false;
        }
        if evidence.counter != answer.link.evidence & 0xffff_ffff {
            return false;
        }
        let now = self.now(truth);
        if next_head(evidence.chain_head, &answer.link) == answer.head {
            self.durable.head = Some(answer.head);
        } else if self.fault != Fault::NodeFollowsAnything {
            self.alarm = true;
        }
        let subject = Subject::self_reported(group);
        let own = appraise(baseline, waivers, evidence, &self.durable.history, &subject, now);
        self.durable.history = history_of(&own);
        let verdict = answer.verdict.clone().stricter(own);
        let is_allowed = verdict.allows_serving();
        self.durable.verdict = Some(verdict);
        let is_listed = self.durable.keys.list(answer.key);
        self.durable.lease = answer.lease.clone().filter(|_| is_allowed && is_listed);
        self.durable.lease_key = answer.key;
        if let Some(lease) = &self.durable.lease {
            self.durable.latest_seen = self.durable.latest_seen.max(lease.issued_at);
            self.boots = 0;
            self.lease_until_true = truth.plus(lease.expires_at.since(self.now(truth)));
        }
        self.waiting = None;
        true
    }
}

// Parsing it once a thread keeps thousands of worlds within seconds.
fn template() -> Evidence {
    thread_local! {
        static TEMPLATE: Evidence = sample::evidence(Vec::new());
    }
    TEMPLATE.with(Clone::clone)
}
