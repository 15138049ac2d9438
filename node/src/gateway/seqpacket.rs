//! An inherited `SOCK_SEQPACKET` socket under the runtime. Only `sendto` without an address and `recvfrom` are used:
//! descriptors cannot arrive here.
#![allow(unsafe_code)] // Watching a descriptor is a promise that it stays open.

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::{RecvFlags, SendFlags};
use tokio::io::unix::AsyncFd;

/// A socket that keeps the bounds of packets.
pub struct PacketSocket(AsyncFd<OwnedFd>);

impl PacketSocket {
    /// Takes over a descriptor.
    ///
    /// # Errors
    /// If it cannot be made non-blocking or watched.
    pub fn new(socket: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        // SAFETY: the descriptor is owned by the AsyncFd, which never gives it away, so it stays the same open socket
        // until it is deregistered.
        Ok(Self(unsafe { AsyncFd::register(socket) }?))
    }

    /// Waits for a packet and hands it to `take`. The buffer is not held while waiting, so many sockets share one.
    ///
    /// # Errors
    /// What the kernel says, and [`io::ErrorKind::UnexpectedEof`] when the peer is gone.
    pub async fn recv<T>(&self, mut take: impl FnMut(&OwnedFd) -> io::Result<T>) -> io::Result<T> {
        loop {
            let mut guard = self.0.readable().await?;
            if let Ok(result) = guard.try_io(|socket| take(socket.get_ref())) {
                return result;
            }
        }
    }

    /// Sends one packet.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn send(&self, packet: &[u8]) -> io::Result<()> {
        loop {
            let mut guard = self.0.writable().await?;
            let attempt = guard.try_io(|socket| {
                rustix::net::send(socket.get_ref(), packet, SendFlags::NOSIGNAL).map_err(io::Error::from)
            });
            if let Ok(result) = attempt {
                return result.map(|_| ());
            }
        }
    }
}

/// Reads the packet that is there.
///
/// # Errors
/// What the kernel says, and [`io::ErrorKind::UnexpectedEof`] when the peer is gone.
pub fn read_packet(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<usize> {
    match rustix::net::recv(socket, buffer, RecvFlags::DONTWAIT)? {
        (_, 0) => Err(io::ErrorKind::UnexpectedEof.into()),
        (_, len) => Ok(len),
    }
}
