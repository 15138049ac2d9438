//! Which uid holds the other end of a connection, as the kernel tells it over `NETLINK_SOCK_DIAG`.
//!
//! Both ends are looked up, theirs first. Their end counts only if it is established, still open in a process (an orphan
//! has no inode) and not root's. Our end must then still be the very socket that was accepted: of a connection that was
//! reset, the request may be read after its port was taken by somebody else. The lookup is made anew for each request.
//!
//! The socket is opened before the process is locked down; afterwards it is used with plain `sendto` without an address,
//! and `recvfrom`. It belongs to the namespaces of the daemon, so accounts are named as the machine names them; what
//! `SO_PEERCRED` would say inside the gateway's own user namespace is "nobody". Connections from another network
//! namespace, as containers have, are not found: they need the API key.

mod tcp;
#[cfg(test)]
mod tests;
mod unix;

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

const HEADER_LEN: usize = 16;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const STATE_ESTABLISHED: u8 = 1;

/// One connection as it was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// Over loopback.
    Tcp {
        /// Their end.
        client: SocketAddr,
        /// Our end.
        server: SocketAddr,
        /// Of our end.
        inode: u32,
    },
    /// Over the Unix socket.
    Unix {
        /// Of our end.
        inode: u32,
    },
}

impl Connection {
    /// A connection over loopback, right after it was accepted.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn tcp(stream: impl AsFd, client: SocketAddr, server: SocketAddr) -> io::Result<Self> {
        Ok(Self::Tcp { client, server, inode: inode(stream)? })
    }

    /// A connection over the Unix socket, right after it was accepted.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn unix(stream: impl AsFd) -> io::Result<Self> {
        Ok(Self::Unix { inode: inode(stream)? })
    }
}

fn inode(socket: impl AsFd) -> io::Result<u32> {
    let inode = rustix::fs::fstat(socket)?.st_ino;
    u32::try_from(inode).map_err(|_| io::Error::other("a socket with an inode beyond what sockets have"))
}

/// One end of a connection, as the kernel describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct End {
    uid: u32,
    /// 0 for one that no process holds.
    inode: u32,
}

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

    /// The uid of the process at the other end; `None` if there is any doubt.
    pub fn uid(&self, connection: Connection) -> Option<u32> {
        let theirs = match connection {
            Connection::Tcp { client, server, inode } => {
                if !client.ip().is_loopback() || !server.ip().is_loopback() {
                    return None;
                }
                let theirs =
                    self.ask(&tcp::request(client, server), |reply| tcp::end(reply, client, server))?;
                // As long as our end has these addresses, no other connection can.
                let ours =
                    self.ask(&tcp::request(server, client), |reply| tcp::end(reply, server, client))?;
                (ours.inode == inode).then_some(theirs)?
            }
            Connection::Unix { inode } => {
                let (_, peer) = self.ask(&unix::request(inode), |reply| unix::end(reply, inode))?;
                let (theirs, back) = self.ask(&unix::request(peer), |reply| unix::end(reply, peer))?;
                (back == inode).then_some(theirs)?
            }
        };
        (theirs.inode != 0 && theirs.uid != 0).then_some(theirs.uid)
    }

    /// Asks one question; `read` gets the body of the answer.
    fn ask<T>(&self, body: &[u8], read: impl FnOnce(&[u8]) -> Option<T>) -> Option<T> {
        let sequence = self.sequence.get();
        self.sequence.set(sequence.wrapping_add(1));
        let mut buffer = [0_u8; 1024];
        // Answers to earlier questions, of which there are none unless one was cut short.
        while rustix::net::recv(&self.socket, &mut buffer[..], RecvFlags::DONTWAIT).is_ok() {}
        rustix::net::send(&self.socket, &message(body, sequence), SendFlags::empty()).ok()?;
        // The kernel answers within the call above.
        let (_, len, from) =
            rustix::net::recvfrom(&self.socket, &mut buffer[..], RecvFlags::DONTWAIT).ok()?;
        let from_kernel = SocketAddrNetlink::try_from(from?).is_ok_and(|address| address.pid() == 0);
        if !from_kernel {
            return None;
        }
        read(body_of(buffer.get(..len)?, sequence)?)
    }
}

fn message(body: &[u8], sequence: u32) -> Vec<u8> {
    let len = HEADER_LEN + body.len();
    let mut out = Vec::with_capacity(len);
    out.extend((len as u32).to_ne_bytes());
    out.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    out.extend(NLM_F_REQUEST.to_ne_bytes());
    out.extend(sequence.to_ne_bytes());
    // From nobody in particular.
    out.extend(0_u32.to_ne_bytes());
    out.extend(body);
    out
}

/// The body of an answer, if that is exactly one message and answers our question.
fn body_of(reply: &[u8], sequence: u32) -> Option<&[u8]> {
    let len = usize::try_from(u32_at(reply, 0)?).ok()?;
    let is_one = len >= HEADER_LEN && len.next_multiple_of(4) == reply.len().next_multiple_of(4);
    if !is_one || u16_at(reply, 4)? != SOCK_DIAG_BY_FAMILY || u32_at(reply, 8)? != sequence {
        return None;
    }
    reply.get(HEADER_LEN..len)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
