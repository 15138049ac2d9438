//! Which uid holds the other end of a loopback connection, as the kernel tells it over `NETLINK_SOCK_DIAG`.
//!
//! The lookup names both addresses and ports, so at most one socket answers. It counts only if that socket is
//! established, still open in a process (an orphan has no inode) and not root's. The socket is opened before the
//! process is locked down; afterwards it is used with plain `sendto` without an address, and `recvfrom`.

use std::cell::Cell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

const HEADER_LEN: usize = 16;
const REQUEST_LEN: usize = HEADER_LEN + 8 + SOCKET_ID_LEN;
const REPLY_LEN: usize = HEADER_LEN + 4 + SOCKET_ID_LEN + 20;
const SOCKET_ID_LEN: usize = 48;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const FAMILY_V4: u8 = 2;
const FAMILY_V6: u8 = 10;
const PROTOCOL_TCP: u8 = 6;
const STATE_ESTABLISHED: u8 = 1;

/// Asks the kernel.
pub struct PeerLookup {
    socket: OwnedFd,
    sequence: Cell<u32>,
}

impl PeerLookup {
    /// Opens the socket. To be called before the process is confined.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn open() -> io::Result<Self> {
        let socket = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            Some(SOCK_DIAG),
        )?;
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, 0))?;
        Ok(Self { socket, sequence: Cell::new(1) })
    }

    /// The descriptor, to be kept while others are closed.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// The uid of the process that connected from `client` to `server`; `None` if there is any doubt.
    pub fn uid(&self, client: SocketAddr, server: SocketAddr) -> Option<u32> {
        if !client.ip().is_loopback() || !server.ip().is_loopback() {
            return None;
        }
        let sequence = self.sequence.get();
        self.sequence.set(sequence.wrapping_add(1));
        let mut buffer = [0_u8; 1024];
        // Answers to earlier questions, of which there are none unless one was cut short.
        while rustix::net::recv(&self.socket, &mut buffer[..], RecvFlags::DONTWAIT).is_ok() {}
        let request = request(client, server, sequence);
        rustix::net::send(&self.socket, &request, SendFlags::empty()).ok()?;
        // The kernel answers within the call above.
        let (_, len, from) =
            rustix::net::recvfrom(&self.socket, &mut buffer[..], RecvFlags::DONTWAIT).ok()?;
        let from_kernel = SocketAddrNetlink::try_from(from?).is_ok_and(|address| address.pid() == 0);
        if !from_kernel {
            return None;
        }
        owner(buffer.get(..len)?, client, server, sequence)
    }
}

// The client's side: its own port is the source.
fn request(client: SocketAddr, server: SocketAddr, sequence: u32) -> [u8; REQUEST_LEN] {
    let mut out = [0_u8; REQUEST_LEN];
    out[0..4].copy_from_slice(&(REQUEST_LEN as u32).to_ne_bytes());
    out[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    out[6..8].copy_from_slice(&NLM_F_REQUEST.to_ne_bytes());
    out[8..12].copy_from_slice(&sequence.to_ne_bytes());
    out[16] = if client.is_ipv4() { FAMILY_V4 } else { FAMILY_V6 };
    out[17] = PROTOCOL_TCP;
    out[20..24].copy_from_slice(&(1_u32 << STATE_ESTABLISHED).to_ne_bytes());
    out[24..26].copy_from_slice(&client.port().to_be_bytes());
    out[26..28].copy_from_slice(&server.port().to_be_bytes());
    write_address(&mut out[28..44], client.ip());
    write_address(&mut out[44..60], server.ip());
    // Any interface, and no cookie.
    out[64..72].fill(0xff);
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

fn owner(reply: &[u8], client: SocketAddr, server: SocketAddr, sequence: u32) -> Option<u32> {
    let u16_at = |at: usize| Some(u16::from_ne_bytes(reply.get(at..at + 2)?.try_into().ok()?));
    let u32_at = |at: usize| Some(u32::from_ne_bytes(reply.get(at..at + 4)?.try_into().ok()?));
    let port_at = |at: usize| Some(u16::from_be_bytes(reply.get(at..at + 2)?.try_into().ok()?));
    let len = usize::try_from(u32_at(0)?).ok()?;
    // Exactly one message.
    let well_formed = len >= REPLY_LEN && len.next_multiple_of(4) == reply.len().next_multiple_of(4);
    if !well_formed || u16_at(4)? != SOCK_DIAG_BY_FAMILY || u32_at(8)? != sequence {
        return None;
    }
    let family = *reply.get(16)?;
    let same_connection = *reply.get(17)? == STATE_ESTABLISHED
        && port_at(20)? == client.port()
        && port_at(22)? == server.port()
        && read_address(family, reply.get(24..40)?)? == client.ip()
        && read_address(family, reply.get(40..56)?)? == server.ip();
    let (uid, inode) = (u32_at(80)?, u32_at(84)?);
    (same_connection && inode != 0 && uid != 0).then_some(uid)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn reply(client: SocketAddr, server: SocketAddr, state: u8, uid: u32, inode: u32) -> Vec<u8> {
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
        out[80..84].copy_from_slice(&uid.to_ne_bytes());
        out[84..88].copy_from_slice(&inode.to_ne_bytes());
        out
    }

    #[test]
    fn only_an_established_socket_with_an_inode_and_a_person_counts() {
        let client: SocketAddr = "127.0.0.1:4001".parse().expect("an address");
        let server: SocketAddr = "127.0.0.1:11535".parse().expect("an address");
        let good = reply(client, server, STATE_ESTABLISHED, 1000, 5);
        assert_eq!(owner(&good, client, server, 7), Some(1000));
        assert_eq!(owner(&good, client, server, 8), None, "another question");
        assert_eq!(owner(&good, server, client, 7), None, "the other side");
        assert_eq!(owner(&reply(client, server, 10, 1000, 5), client, server, 7), None, "listening");
        assert_eq!(
            owner(&reply(client, server, STATE_ESTABLISHED, 1000, 0), client, server, 7),
            None,
            "orphan"
        );
        assert_eq!(owner(&reply(client, server, STATE_ESTABLISHED, 0, 5), client, server, 7), None, "root");
        let twice = [good.clone(), good.clone()].concat();
        assert_eq!(owner(&twice, client, server, 7), None, "two matches");
        for len in 0..good.len() {
            assert_eq!(owner(&good[..len], client, server, 7), None, "{len}");
        }
    }

    #[test]
    fn the_kernel_names_the_owner_of_a_real_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let server = listener.local_addr().expect("address");
        let stream = TcpStream::connect(server).expect("connect");
        let client = stream.local_addr().expect("address");
        let lookup = PeerLookup::open().expect("netlink");
        let own = rustix::process::getuid().as_raw();
        assert_eq!(lookup.uid(client, server), (own != 0).then_some(own));
        drop(stream);
        assert_eq!(lookup.uid(client, server), None);
    }
}
