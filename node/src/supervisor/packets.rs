//! Frames over a `SOCK_SEQPACKET` descriptor, without blocking the daemon.

use std::io;
use std::os::fd::OwnedFd;

use croft_proto::frames::{Assembler, FrameError, PACKET_LEN_MAX, packets};
use prost::Message;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::spawn::observe;

/// A peer broke the framing, or its socket failed.
#[derive(Debug, thiserror::Error)]
pub enum PacketError {
    /// The socket failed.
    #[error("socket to a child process failed")]
    Socket(#[from] io::Error),
    /// Framing or decoding failed.
    #[error("a child process broke the framing")]
    Frame(#[from] FrameError),
}

/// The daemon's end and the child's end of a new channel.
///
/// # Errors
/// [`PacketError::Socket`] if the system has no descriptors left.
pub fn channel() -> Result<(Packets, OwnedFd), PacketError> {
    let (ours, theirs) = pair()?;
    rustix::io::ioctl_fionbio(&ours, true).map_err(io::Error::from)?;
    Ok((Packets::new(ours)?, theirs))
}

/// A bare pair, both ends blocking.
///
/// # Errors
/// If the system has no descriptors left.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// One end, for frames in both directions.
pub struct Packets {
    fd: AsyncFd<OwnedFd>,
    assembler: Assembler,
    buffer: Vec<u8>,
}

impl Packets {
    fn new(fd: OwnedFd) -> Result<Self, PacketError> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        Ok(Self {
            fd: observe(fd, interest)?,
            assembler: Assembler::default(),
            buffer: vec![0; PACKET_LEN_MAX + 1],
        })
    }

    /// Sends one frame.
    ///
    /// # Errors
    /// If the peer is gone or the frame is beyond its bound.
    pub async fn send<M: Message>(&self, message: &M) -> Result<(), PacketError> {
        for packet in packets(message)? {
            self.fd.async_io(Interest::WRITABLE, |fd| Ok(send(fd, &packet, SendFlags::NOSIGNAL)?)).await?;
        }
        Ok(())
    }

    /// The next frame, or none when the peer has closed its end. Safe to drop and call again.
    ///
    /// # Errors
    /// If the peer broke the framing; it is then not to be listened to any more.
    pub async fn receive<M: Message + Default>(&mut self) -> Result<Option<M>, PacketError> {
        loop {
            let buffer = &mut self.buffer;
            let (_, len) = self
                .fd
                .async_io(Interest::READABLE, |fd| Ok(recv(fd, buffer.as_mut_slice(), RecvFlags::TRUNC)?))
                .await
                .or_else(|e| match e.kind() {
                    // A peer that was killed with unread packets resets instead of closing.
                    io::ErrorKind::ConnectionReset => Ok((0, 0)),
                    _ => Err(e),
                })?;
            if len == 0 {
                return Ok(None);
            }
            if len > PACKET_LEN_MAX {
                return Err(FrameError::Packet.into());
            }
            if let Some(frame) = self.assembler.push(&self.buffer[..len])? {
                return Ok(Some(frame));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use croft_proto::frames::{ToGateway, Usage};

    #[tokio::test]
    async fn frames_arrive_whole_and_a_closed_peer_is_the_end() {
        let (ours, theirs) = channel().expect("a pair");
        rustix::io::ioctl_fionbio(&theirs, true).expect("a flag");
        let mut peer = Packets::new(theirs).expect("registers");
        let usage =
            Usage { slot: 3, requests: 1, prompt_tokens: 2, completion_tokens: 3, ..Usage::default() };
        ours.send(&usage).await.expect("sent");
        assert_eq!(peer.receive::<Usage>().await.expect("received"), Some(usage));
        drop(ours);
        assert_eq!(peer.receive::<ToGateway>().await.expect("the end"), None);
    }

    #[tokio::test]
    async fn p1_a_peer_that_breaks_the_framing_is_refused() {
        let (mut ours, theirs) = channel().expect("a pair");
        send(&theirs, &[9, 9, 9], SendFlags::empty()).expect("sent");
        assert!(matches!(ours.receive::<Usage>().await, Err(PacketError::Frame(_))));
    }
}
