//! The head of a node's verdict chain: a commitment to everything that was ever judged about it (P7).

use croft_domain::digest::Sha256Digest;
use croft_domain::time::Timestamp;
use croft_trust::digest::sha256;

/// SHA-256 of salt and evidence. Once body and salt are erased, it says nothing about what was erased.
#[must_use]
pub fn commitment(salt: &[u8; 32], evidence: &[u8]) -> Sha256Digest {
    sha256(&[salt.as_slice(), evidence].concat())
}

/// The head after a verdict: SHA-256 of the head before (zeros before the first), the evidence's commitment, the
/// verdict's digest and the time in seconds, big-endian.
#[must_use]
pub fn next_head(
    before: Option<Sha256Digest>,
    commitment: Sha256Digest,
    verdict_json: &[u8],
    at: Timestamp,
) -> Sha256Digest {
    let before = before.map_or([0; 32], |head| head.0);
    sha256(&[&before[..], &commitment.0, &sha256(verdict_json).0, &at.0.to_be_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p7_each_part_moves_the_head() {
        let at = Timestamp(7);
        let base = next_head(None, Sha256Digest([1; 32]), b"{}", at);
        assert_ne!(base, next_head(Some(Sha256Digest([0xff; 32])), Sha256Digest([1; 32]), b"{}", at));
        assert_ne!(base, next_head(None, Sha256Digest([2; 32]), b"{}", at));
        assert_ne!(base, next_head(None, Sha256Digest([1; 32]), b"{ }", at));
        assert_ne!(base, next_head(None, Sha256Digest([1; 32]), b"{}", Timestamp(8)));
        assert_ne!(commitment(&[0; 32], b"x"), commitment(&[1; 32], b"x"));
    }
}
