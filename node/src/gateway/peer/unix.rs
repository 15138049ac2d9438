//! `unix_diag`: one Unix socket by its inode, with its peer and its owner (Linux 5.3 and later say the owner).

use super::{End, STATE_ESTABLISHED, u16_at, u32_at};

const FAMILY_UNIX: u8 = 1;
const SHOW_PEER: u32 = 4;
const SHOW_UID: u32 = 0x40;
const ATTRIBUTE_PEER: u16 = 2;
const ATTRIBUTE_UID: u16 = 7;
const REQUEST_LEN: usize = 24;
const MESSAGE_LEN: usize = 16;
const ATTRIBUTE_HEADER_LEN: usize = 4;

/// Asks for the socket with that inode.
pub fn request(inode: u32) -> [u8; REQUEST_LEN] {
    let mut out = [0_u8; REQUEST_LEN];
    out[0] = FAMILY_UNIX;
    out[4..8].copy_from_slice(&(1_u32 << STATE_ESTABLISHED).to_ne_bytes());
    out[8..12].copy_from_slice(&inode.to_ne_bytes());
    out[12..16].copy_from_slice(&(SHOW_PEER | SHOW_UID).to_ne_bytes());
    // No cookie.
    out[16..24].fill(0xff);
    out
}

/// Reads the answer: the established socket with that inode, and the inode of its peer; none if either is missing.
pub fn end(reply: &[u8], inode: u32) -> Option<(End, u32)> {
    let is_it = *reply.first()? == FAMILY_UNIX
        && *reply.get(2)? == STATE_ESTABLISHED
        && u32_at(reply, 4)? == inode
        && inode != 0;
    let (mut peer, mut uid) = (None, None);
    let mut rest = reply.get(MESSAGE_LEN..)?;
    while !rest.is_empty() {
        let (len, kind) = (usize::from(u16_at(rest, 0)?), u16_at(rest, 2)?);
        let value = rest.get(ATTRIBUTE_HEADER_LEN..len)?;
        let into = match kind {
            ATTRIBUTE_PEER => Some(&mut peer),
            ATTRIBUTE_UID => Some(&mut uid),
            _ => None,
        };
        if let Some(into) = into {
            // Said twice, it says nothing.
            if into.replace(u32_at(value, 0)?).is_some() {
                return None;
            }
        }
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    let (peer, uid) = (peer.filter(|peer| *peer != 0)?, uid?);
    is_it.then_some((End { uid, inode }, peer))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: u32) -> Vec<u8> {
        [&8_u16.to_ne_bytes()[..], &kind.to_ne_bytes(), &value.to_ne_bytes()].concat()
    }

    fn reply(state: u8, inode: u32, attributes: &[(u16, u32)]) -> Vec<u8> {
        let mut out = vec![FAMILY_UNIX, 1, state, 0];
        out.extend(inode.to_ne_bytes());
        out.extend([0; 8]);
        attributes.iter().for_each(|(kind, value)| out.extend(attribute(*kind, *value)));
        out
    }

    #[test]
    fn only_one_established_socket_with_a_peer_and_an_owner_counts() {
        let both = [(ATTRIBUTE_PEER, 9), (5, 0), (ATTRIBUTE_UID, 1000)];
        let good = reply(STATE_ESTABLISHED, 5, &both);
        assert_eq!(end(&good, 5), Some((End { uid: 1000, inode: 5 }, 9)));
        assert_eq!(end(&good, 6), None, "another socket");
        assert_eq!(end(&reply(10, 5, &both), 5), None, "listening");
        assert_eq!(end(&reply(STATE_ESTABLISHED, 0, &both), 0), None, "an orphan");
        assert_eq!(end(&reply(STATE_ESTABLISHED, 5, &both[..2]), 5), None, "an older kernel says no owner");
        assert_eq!(end(&reply(STATE_ESTABLISHED, 5, &both[1..]), 5), None, "alone");
        let orphaned = reply(STATE_ESTABLISHED, 5, &[(ATTRIBUTE_PEER, 0), (ATTRIBUTE_UID, 1000)]);
        assert_eq!(end(&orphaned, 5), None, "the other end is closed");
        let twice = [both[0], both[2], (ATTRIBUTE_UID, 1001)];
        assert_eq!(end(&reply(STATE_ESTABLISHED, 5, &twice), 5), None, "two owners");
        for len in 0..good.len() {
            assert_eq!(end(&good[..len], 5), None, "{len}");
        }
        let endless = [reply(STATE_ESTABLISHED, 5, &[]), vec![0; 8]].concat();
        assert_eq!(end(&endless, 5), None, "an attribute of no length");
    }
}
