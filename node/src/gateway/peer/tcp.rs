//! `inet_diag`: one TCP socket by its two addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{End, STATE_ESTABLISHED, u32_at};

const FAMILY_V4: u8 = 2;
const FAMILY_V6: u8 = 10;
const PROTOCOL_TCP: u8 = 6;
const SOCKET_ID_LEN: usize = 48;
const REQUEST_LEN: usize = 8 + SOCKET_ID_LEN;

/// Asks for the established socket whose own address is `own` and whose other end is `other`.
pub fn request(own: SocketAddr, other: SocketAddr) -> [u8; REQUEST_LEN] {
    let mut out = [0_u8; REQUEST_LEN];
    out[0] = if own.is_ipv4() { FAMILY_V4 } else { FAMILY_V6 };
    out[1] = PROTOCOL_TCP;
    out[4..8].copy_from_slice(&(1_u32 << STATE_ESTABLISHED).to_ne_bytes());
    out[8..10].copy_from_slice(&own.port().to_be_bytes());
    out[10..12].copy_from_slice(&other.port().to_be_bytes());
    write_address(&mut out[12..28], own.ip());
    write_address(&mut out[28..44], other.ip());
    // Any interface, and no cookie.
    out[48..56].fill(0xff);
    out
}

fn write_address(out: &mut [u8], address: IpAddr) {
    match address {
        IpAddr::V4(address) => out[..4].copy_from_slice(&address.octets()),
        IpAddr::V6(address) => out.copy_from_slice(&address.octets()),
    }
}

fn read_address(family: u8, bytes: &[u8]) -> Option<IpAddr> {
    match family {
        FAMILY_V4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes.get(..4)?).ok()?).into()),
        // A client may use an IPv6 socket to reach an IPv4 address.
        FAMILY_V6 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes.get(..16)?).ok()?).to_canonical()),
        _ => None,
    }
}

/// Reads the answer: an established socket between exactly these addresses, or none.
pub fn end(reply: &[u8], own: SocketAddr, other: SocketAddr) -> Option<End> {
    let port_at = |at: usize| Some(u16::from_be_bytes(reply.get(at..at + 2)?.try_into().ok()?));
    let family = *reply.first()?;
    let same_connection = *reply.get(1)? == STATE_ESTABLISHED
        && port_at(4)? == own.port()
        && port_at(6)? == other.port()
        && read_address(family, reply.get(8..24)?)? == own.ip()
        && read_address(family, reply.get(24..40)?)? == other.ip();
    let (uid, inode) = (u32_at(reply, 64)?, u32_at(reply, 68)?);
    same_connection.then_some(End { uid, inode })
}

#[cfg(test)]
mod tests {
    use super::super::{HEADER_LEN, SOCK_DIAG_BY_FAMILY, body_of};
    use super::*;

    const REPLY_LEN: usize = HEADER_LEN + 4 + SOCKET_ID_LEN + 20;

    fn reply(client: SocketAddr, server: SocketAddr, state: u8) -> Vec<u8> {
        let mut out = vec![0_u8; REPLY_LEN];
        out[0..4].copy_from_slice(&(REPLY_LEN as u32).to_ne_bytes());
        out[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        out[8..12].copy_from_slice(&7_u32.to_ne_bytes());
        out[16] = FAMILY_V4;
        out[17] = state;
        out[20..22].copy_from_slice(&client.port().to_be_bytes());
        out[22..24].copy_from_slice(&server.port().to_be_bytes());
        write_address(&mut out[24..40], client.ip());
        write_address(&mut out[40..56], server.ip());
        out[80..84].copy_from_slice(&1000_u32.to_ne_bytes());
        out[84..88].copy_from_slice(&5_u32.to_ne_bytes());
        out
    }

    #[test]
    fn only_one_established_socket_between_these_addresses_counts() {
        let client: SocketAddr = "127.0.0.1:4001".parse().expect("an address");
        let server: SocketAddr = "127.0.0.1:11535".parse().expect("an address");
        let read = |reply: &[u8], sequence| end(body_of(reply, sequence)?, client, server);
        let good = reply(client, server, STATE_ESTABLISHED);
        assert_eq!(read(&good, 7), Some(End { uid: 1000, inode: 5 }));
        assert_eq!(read(&good, 8), None, "another question");
        assert_eq!(end(body_of(&good, 7).expect("one"), server, client), None, "the other side");
        assert_eq!(read(&reply(client, server, 10), 7), None, "listening");
        assert_eq!(read(&reply(client, server, 6), 7), None, "waiting for its time to pass");
        let twice = [good.clone(), good.clone()].concat();
        assert_eq!(read(&twice, 7), None, "two matches");
        for len in 0..good.len() {
            assert_eq!(read(&good[..len], 7), None, "{len}");
        }
    }
}
