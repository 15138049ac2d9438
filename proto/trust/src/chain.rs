//! The verdict chain: one hash that commits to everything that was ever judged about a node (P7).
//!
//! Controller, node and auditor compute it alike. The node keeps each head and signs it in its next evidence, so whoever
//! edits the past must also forge the node's signature. Bodies are not needed to follow the heads: they can be erased.

use croft_domain::digest::Sha256Digest;
use croft_domain::time::Timestamp;

use crate::digest::sha256;

/// One step of a chain: what its head commits to besides the head before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// SHA-256 of salt and evidence.
    pub commitment: Sha256Digest,
    /// SHA-256 of the verdict, exactly as sent.
    pub verdict: Sha256Digest,
    /// When it was judged, by the controller's clock.
    pub at: Timestamp,
}

/// SHA-256 of salt and evidence. Once body and salt are erased, it says nothing about what was erased.
#[must_use]
pub fn commitment(salt: &[u8], evidence: &[u8]) -> Sha256Digest {
    sha256(&[salt, evidence].concat())
}

/// The head after a link: SHA-256 of the head before (zeros before the first), the evidence's commitment, the verdict's
/// digest and the time in seconds, big-endian.
#[must_use]
pub fn next_head(before: Option<Sha256Digest>, link: &Link) -> Sha256Digest {
    let before = before.map_or([0; 32], |head| head.0);
    sha256(&[&before[..], &link.commitment.0, &link.verdict.0, &link.at.0.to_be_bytes()].concat())
}

/// The head after several links.
#[must_use]
pub fn follow(from: Option<Sha256Digest>, links: &[Link]) -> Option<Sha256Digest> {
    links.iter().fold(from, |head, link| Some(next_head(head, link)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: Link =
        Link { commitment: Sha256Digest([1; 32]), verdict: Sha256Digest([2; 32]), at: Timestamp(7) };

    #[test]
    fn p7_each_part_moves_the_head() {
        let base = next_head(None, &LINK);
        let others = [
            next_head(Some(Sha256Digest([0xff; 32])), &LINK),
            next_head(None, &Link { commitment: Sha256Digest([9; 32]), ..LINK }),
            next_head(None, &Link { verdict: Sha256Digest([9; 32]), ..LINK }),
            next_head(None, &Link { at: Timestamp(8), ..LINK }),
        ];
        assert!(others.iter().all(|other| *other != base));
        assert_ne!(commitment(&[0; 32], b"x"), commitment(&[1; 32], b"x"));
    }

    #[test]
    fn following_is_stepping() {
        assert_eq!(follow(None, &[]), None);
        let second = Link { at: Timestamp(8), ..LINK };
        assert_eq!(follow(None, &[LINK, second]), Some(next_head(Some(next_head(None, &LINK)), &second)));
        assert_ne!(follow(None, &[LINK, second]), follow(None, &[second, LINK]));
    }
}
