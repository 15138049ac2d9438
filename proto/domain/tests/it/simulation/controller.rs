//! The controller: everything it knows is in its database. A restart loses nothing but what was being answered.

use croft_domain::appraise::{History, Subject, appraise, history_of};
use croft_domain::baseline::Baseline;
use croft_domain::digest::Sha256Digest;
use croft_domain::evidence::Evidence;
use croft_domain::id::{GroupName, LeaseId, NodeId, VerdictId};
use croft_domain::lease::{Lease, LeaseRequest};
use croft_domain::time::Timestamp;
use croft_domain::verdict::Verdict;
use croft_domain::waiver::Waiver;

use super::hash::{Link, next_head};
use super::network::{Answer, Keys, Nonce};
use super::world::Fault;

const NONCE_TTL_S: u64 = 120;

#[derive(Clone, Debug)]
pub struct Row {
    pub link: Link,
    pub head: Sha256Digest,
    pub counter: u64,
    pub countersigned: Option<Sha256Digest>,
    pub verdict: Verdict,
}

#[derive(Clone, Debug, Default)]
pub struct Books {
    pub chain: Vec<Row>,
    pub banned: bool,
}

impl Books {
    pub fn head(&self) -> Option<Sha256Digest> {
        self.chain.last().map(|row| row.head)
    }
}

pub struct Controller {
    pub books: Vec<Books>,
    pub baseline: Baseline,
    pub group: GroupName,
    pub waivers: Vec<Waiver>,
    pub metadata_expires_at: Timestamp,
    /// The signed document that lists its lease keys, and the one it signs with.
    pub keys: Keys,
    /// Which of its authorities signed the certificate that it shows and those that it gives out.
    pub authority: u64,
    pub fault: Fault,
}

impl Controller {
    pub fn challenge(
        &self,
        node: usize,
        known: Option<Sha256Digest>,
        now: Timestamp,
    ) -> Option<(Nonce, Option<Sha256Digest>, Vec<Link>)> {
        let books = &self.books[node];
        if books.banned && self.fault != Fault::BannedMayAttest {
            return None;
        }
        let position = match known {
            None => Some(0),
            Some(head) => books.chain.iter().position(|row| row.head == head).map(|index| index + 1),
        };
        let links = position.map(|from| books.chain[from..].iter().map(|row| row.link).collect());
        let nonce = Nonce { node, head: books.head(), made_at: now };
        Some((nonce, books.head(), links.unwrap_or_default()))
    }

    /// Judges and appends, or refuses. `crash` ends it after the append and before the answer.
    pub fn attest(
        &mut self,
        node: usize,
        nonce: Nonce,
        evidence: &Evidence,
        now: Timestamp,
        crash: bool,
    ) -> Option<Answer> {
        let books = &self.books[node];
        let head = books.head();
        let fresh = nonce.made_at <= now && now.since(nonce.made_at) <= NONCE_TTL_S;
        let is_banned = books.banned && self.fault != Fault::BannedMayAttest;
        let counter = books.chain.last().map_or(0, |row| row.counter);
        if is_banned || !fresh || nonce.node != node || nonce.head != head || evidence.counter <= counter {
            return None;
        }
        let history = books.chain.last().map_or_else(History::new, |row| history_of(&row.verdict));
        let subject = Subject::self_reported(&self.group);
        let verdict = appraise(&self.baseline, &self.waivers, evidence, &history, &subject, now);
        let link =
            Link { evidence: evidence.counter + ((node as u64) << 32), verdict: now.0 ^ 0xabcd, at: now };
        let head = next_head(head, &link);
        let lease = self.lease(evidence.node, &verdict, head, now);
        let row = Row {
            link,
            head,
            counter: evidence.counter,
            countersigned: evidence.chain_head,
            verdict: verdict.clone(),
        };
        let answer = Answer { verdict, link, head, lease, key: self.keys.last };
        if self.fault == Fault::AnswerBeforeAppend && crash {
            return Some(answer);
        }
        self.books[node].chain.push(row);
        (!crash).then_some(answer)
    }

    fn lease(&self, node: NodeId, verdict: &Verdict, head: Sha256Digest, now: Timestamp) -> Option<Lease> {
        let mut judged = verdict.clone();
        if self.fault == Fault::LeaseDespiteBlock {
            judged.checks.clear();
        }
        if self.fault == Fault::LeaseBeyondWaiver {
            judged.checks.iter_mut().for_each(|check| check.blocks_at = None);
        }
        let id: [u8; 16] = head.0[..16].try_into().expect("sixteen bytes");
        let mut lease = Lease::grant(LeaseRequest {
            id: LeaseId(id),
            node,
            node_key: Sha256Digest([node.0[15]; 32]),
            verdict_id: VerdictId(id),
            verdict: &judged,
            evidence: head,
            runtime: None,
            unseen_since: now,
            bundles: Vec::new(),
            ttl_s: self.baseline.lease_ttl_s,
            metadata_expires_at: self.metadata_expires_at,
            now,
        })
        .ok()?;
        lease.baseline = verdict.baseline.clone();
        Some(lease)
    }

    /// The owner edits the past consistently: every hash is right again.
    pub fn rewrite(&mut self, node: usize) -> bool {
        let chain = &mut self.books[node].chain;
        let Some(first) = chain.first_mut() else { return false };
        first.link.verdict += 1;
        let mut before = None;
        for row in chain {
            row.head = next_head(before, &row.link);
            before = Some(row.head);
        }
        true
    }
}
