//! A hash that is good enough against accidents: the domain has no cryptography, and nobody attacks it in here.

use croft_domain::digest::Sha256Digest;
use croft_domain::time::Timestamp;

/// What a head commits to besides the head before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    pub evidence: u64,
    pub verdict: u64,
    pub at: Timestamp,
}

pub fn next_head(before: Option<Sha256Digest>, link: &Link) -> Sha256Digest {
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    let mut feed = |byte: u8| state = (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    before.map_or([0; 32], |head| head.0).into_iter().for_each(&mut feed);
    for part in [link.evidence, link.verdict, link.at.0] {
        part.to_be_bytes().into_iter().for_each(&mut feed);
    }
    let mut digest = [0; 32];
    for chunk in digest.chunks_exact_mut(8) {
        state = state.wrapping_mul(0xff51_afd7_ed55_8ccd) ^ (state >> 29);
        chunk.copy_from_slice(&state.to_be_bytes());
    }
    Sha256Digest(digest)
}

pub fn follow(from: Option<Sha256Digest>, links: &[Link]) -> Option<Sha256Digest> {
    links.iter().fold(from, |head, link| Some(next_head(head, link)))
}
