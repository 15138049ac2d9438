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
    /// SHA-256 of a salt and the evidence.
    pub commitment: Sha256Digest,
    /// SHA-256 of another salt and the verdict, exactly as sent.
    pub verdict: Sha256Digest,
    /// Which rules it was judged by, see [`rules`].
    pub rules: Sha256Digest,
    /// When it was judged, by the controller's clock.
    pub at: Timestamp,
}

/// SHA-256 of salt and body. Once both are erased, it says nothing about what was erased. Evidence and verdict have salts
/// of their own, so that each can be erased without the other.
#[must_use]
pub fn commitment(salt: &[u8], body: &[u8]) -> Sha256Digest {
    sha256(&[salt, body].concat())
}

/// The rules of a judgment: SHA-256 of the digests of the signed baseline and of the signed waivers (zeros where none were
/// ever signed). Both are public documents of the fleet, so they need no salt.
#[must_use]
pub fn rules(baseline: &Sha256Digest, waivers: Option<&Sha256Digest>) -> Sha256Digest {
    let waivers = waivers.map_or([0; 32], |digest| digest.0);
    sha256(&[baseline.0, waivers].concat())
}

/// The head after a link: SHA-256 of the head before (zeros before the first), the commitments to evidence and verdict, the
/// rules and the time in seconds, big-endian.
#[must_use]
pub fn next_head(before: Option<Sha256Digest>, link: &Link) -> Sha256Digest {
    let before = before.map_or([0; 32], |head| head.0);
    let Link { commitment, verdict, rules, at } = link;
    sha256(&[&before[..], &commitment.0, &verdict.0, &rules.0, &at.0.to_be_bytes()].concat())
}

/// The head after several links.
#[must_use]
pub fn follow(from: Option<Sha256Digest>, links: &[Link]) -> Option<Sha256Digest> {
    links.iter().fold(from, |head, link| Some(next_head(head, link)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: Link = Link {
        commitment: Sha256Digest([1; 32]),
        verdict: Sha256Digest([2; 32]),
        rules: Sha256Digest([3; 32]),
        at: Timestamp(7),
    };

    #[test]
    fn p7_each_part_moves_the_head() {
        let base = next_head(None, &LINK);
        let others = [
            next_head(Some(Sha256Digest([0xff; 32])), &LINK),
            next_head(None, &Link { commitment: Sha256Digest([9; 32]), ..LINK }),
            next_head(None, &Link { verdict: Sha256Digest([9; 32]), ..LINK }),
            next_head(None, &Link { rules: Sha256Digest([9; 32]), ..LINK }),
            next_head(None, &Link { at: Timestamp(8), ..LINK }),
        ];
        assert!(others.iter().all(|other| *other != base));
        assert_ne!(commitment(&[0; 32], b"x"), commitment(&[1; 32], b"x"));
        let (a, b) = (Sha256Digest([1; 32]), Sha256Digest([2; 32]));
        assert_ne!(rules(&a, None), rules(&a, Some(&b)));
        assert_ne!(rules(&a, Some(&b)), rules(&b, Some(&a)));
    }

    #[test]
    fn following_is_stepping() {
        assert_eq!(follow(None, &[]), None);
        let second = Link { at: Timestamp(8), ..LINK };
        assert_eq!(follow(None, &[LINK, second]), Some(next_head(Some(next_head(None, &LINK)), &second)));
        assert_ne!(follow(None, &[LINK, second]), follow(None, &[second, LINK]));
    }
}
