//! Challenges without memory: the nonce carries its own proof, so that any replica can check what another one gave out
//! and a storm of challenges costs nothing.
//!
//! A nonce is bound to its purpose, the node, the head of that node's chain and the time. Evidence that was taken in
//! moves the head, so the same nonce never opens twice (replay), and an old one ends after two minutes.

use croft_domain::digest::Sha256Digest;
use croft_domain::id::{InviteId, NodeId};
use croft_domain::time::Timestamp;
use ring::hmac;

use crate::limits;

/// Makes and checks nonces.
pub struct Nonces {
    key: hmac::Key,
}

/// What a nonce is for.
#[derive(Clone, Copy, Debug)]
pub enum Purpose {
    /// Evidence, on top of this head.
    Attest(Option<Sha256Digest>),
    /// A renewed certificate.
    Renew,
}

impl Nonces {
    /// From the controller's own key of 32 random bytes.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key) }
    }

    /// A fresh nonce.
    #[must_use]
    pub fn make(&self, purpose: Purpose, node: NodeId, now: Timestamp) -> Vec<u8> {
        let tag = hmac::sign(&self.key, &message(purpose, node, now));
        let mut nonce = now.0.to_be_bytes().to_vec();
        nonce.extend_from_slice(tag.as_ref());
        nonce
    }

    /// The secret of a credential for one invite and one pair of keys, made at that time. It is not kept: it can be made
    /// again when it comes back.
    #[must_use]
    pub fn credential(
        &self,
        invite: InviteId,
        endorsement: &[u8; 34],
        attestation: &[u8; 34],
        at: Timestamp,
    ) -> [u8; 32] {
        self.tag(&[&[4], invite.0.as_slice(), endorsement, attestation, &at.0.to_be_bytes()])
    }

    /// What stands for a TPM in the books: without this controller's secret it is compared with nothing.
    #[must_use]
    pub fn endorsement(&self, public: &[u8]) -> [u8; 32] {
        self.tag(&[&[5], public])
    }

    fn tag(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut tag = [0; 32];
        tag.copy_from_slice(hmac::sign(&self.key, &parts.concat()).as_ref());
        tag
    }

    /// Whether this is a nonce that was made here for this, not longer ago than nonces last.
    #[must_use]
    pub fn check(&self, nonce: &[u8], purpose: Purpose, node: NodeId, now: Timestamp) -> bool {
        let Some((time, tag)) = nonce.split_first_chunk::<8>() else { return false };
        let made = Timestamp(u64::from_be_bytes(*time));
        let fresh = made <= now && now.since(made) <= limits::NONCE_TTL_S;
        // Compared in constant time by ring.
        fresh && hmac::verify(&self.key, &message(purpose, node, made), tag).is_ok()
    }
}

fn message(purpose: Purpose, node: NodeId, at: Timestamp) -> Vec<u8> {
    let (kind, head) = match purpose {
        Purpose::Attest(None) => (1_u8, [0; 32]),
        Purpose::Attest(Some(head)) => (2, head.0),
        Purpose::Renew => (3, [0; 32]),
    };
    [&[kind], node.0.as_slice(), &head, &at.0.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_opens_only_what_it_was_made_for() {
        let nonces = Nonces::new(&[1; 32]);
        let (node, now) = (NodeId([1; 16]), Timestamp(1_000_000));
        let head = Some(Sha256Digest([2; 32]));
        let nonce = nonces.make(Purpose::Attest(head), node, now);
        assert_eq!(nonce.len(), 40);
        assert!(nonces.check(&nonce, Purpose::Attest(head), node, now));
        assert!(nonces.check(&nonce, Purpose::Attest(head), node, now.plus(limits::NONCE_TTL_S)));
        assert!(!nonces.check(&nonce, Purpose::Attest(head), node, now.plus(limits::NONCE_TTL_S + 1)));
        assert!(!nonces.check(&nonce, Purpose::Attest(head), node, now.minus(1)));
        assert!(!nonces.check(&nonce, Purpose::Attest(None), node, now));
        assert!(!nonces.check(&nonce, Purpose::Renew, node, now));
        assert!(!nonces.check(&nonce, Purpose::Attest(head), NodeId([3; 16]), now));
        assert!(!Nonces::new(&[2; 32]).check(&nonce, Purpose::Attest(head), node, now));
        assert!(!nonces.check(&nonce[..39], Purpose::Attest(head), node, now));
        assert!(!nonces.check(&[], Purpose::Renew, node, now));
    }

    #[test]
    fn a_nonce_whose_time_was_moved_is_refused() {
        let nonces = Nonces::new(&[1; 32]);
        let mut nonce = nonces.make(Purpose::Renew, NodeId([1; 16]), Timestamp(1_000_000));
        nonce[7] ^= 1;
        assert!(!nonces.check(&nonce, Purpose::Renew, NodeId([1; 16]), Timestamp(1_000_001)));
    }
}
