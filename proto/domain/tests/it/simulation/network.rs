//! The network: it delivers what it likes, when it likes, as often as it likes.

use croft_domain::digest::Sha256Digest;
use croft_domain::evidence::Evidence;
use croft_domain::lease::Lease;
use croft_domain::time::Timestamp;
use croft_domain::verdict::Verdict;

use super::hash::Link;
use super::random::Random;

/// A controller's challenge: it proves itself, so the controller keeps nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonce {
    pub node: usize,
    pub head: Option<Sha256Digest>,
    pub made_at: Timestamp,
}

/// What the newest signed documents list, by generation: of lease keys and of the controller's authorities the first that
/// counts and the last, and the root by which they are signed. None ever goes back, because nodes refuse older documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    pub root: u64,
    pub first: u64,
    pub last: u64,
    pub first_authority: u64,
    pub last_authority: u64,
}

impl Keys {
    pub const fn list(self, key: u64) -> bool {
        self.first <= key && key <= self.last
    }

    pub const fn pin(self, authority: u64) -> bool {
        self.first_authority <= authority && authority <= self.last_authority
    }

    /// Both, each number the higher one.
    pub fn newest(self, other: Self) -> Self {
        Self {
            root: self.root.max(other.root),
            first: self.first.max(other.first),
            last: self.last.max(other.last),
            first_authority: self.first_authority.max(other.first_authority),
            last_authority: self.last_authority.max(other.last_authority),
        }
    }
}

#[derive(Clone, Debug)]
pub enum Message {
    Ask {
        node: usize,
        call: u64,
        known: Option<Sha256Digest>,
        /// Which authority signed the node's certificate.
        certificate: u64,
    },
    Challenge {
        node: usize,
        call: u64,
        nonce: Nonce,
        head: Option<Sha256Digest>,
        links: Vec<Link>,
        keys: Keys,
        /// Which authority signed the controller's certificate, and which the node's own from now on.
        authority: u64,
    },
    Attest {
        node: usize,
        nonce: Nonce,
        evidence: Box<Evidence>,
    },
    Answer {
        node: usize,
        boxed: Box<Answer>,
    },
    Revoked {
        node: usize,
    },
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub verdict: Verdict,
    pub link: Link,
    pub head: Sha256Digest,
    pub lease: Option<Lease>,
    /// Which lease key signed it.
    pub key: u64,
}

#[derive(Default)]
pub struct Network {
    under_way: Vec<Message>,
    /// It delivers everything, in order, once.
    pub is_honest: bool,
    pub lost: u64,
    pub repeated: u64,
}

impl Network {
    pub fn send(&mut self, message: Message, random: &mut Random) {
        if self.is_honest {
            return self.under_way.push(message);
        }
        if random.chance(12) {
            self.lost += 1;
            return;
        }
        if random.chance(8) {
            self.repeated += 1;
            self.under_way.push(message.clone());
        }
        self.under_way.push(message);
    }

    /// Any message that is under way, not the oldest: this is the reordering.
    pub fn receive(&mut self, random: &mut Random) -> Option<Message> {
        if self.under_way.is_empty() {
            return None;
        }
        let index = random.below(self.under_way.len() as u64);
        Some(self.under_way.swap_remove(usize::try_from(index).expect("small")))
    }

    /// A cable is cut: everything under way is gone.
    pub fn cut(&mut self) {
        self.lost += self.under_way.len() as u64;
        self.under_way.clear();
    }
}
