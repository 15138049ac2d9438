//! Frames over an inherited SOCK_SEQPACKET socket, blocking.
//!
//! Packets go through plain `read` and `write`: the second stage of the confinement takes every socket call away.

use std::os::fd::OwnedFd;
use std::sync::mpsc::SyncSender;

use croft_proto::frames::{Assembler, FrameError, PACKET_LEN_MAX, packets};
use prost::Message;
use rustix::io::{Errno, retry_on_intr};

use crate::fault::Fault;

/// What the reader hands to the engine.
#[derive(Debug)]
pub enum Inbound<M> {
    /// A frame.
    Frame(M),
    /// Nothing has come, and the engine has better to do than wait.
    Nothing,
    /// The peer closed its end.
    Closed,
    /// The peer broke the framing, or the socket failed. Nothing follows.
    Broken(Fault),
}

/// Sends one frame, waiting while the peer's buffer is full.
///
/// # Errors
/// [`Fault::Frame`] if it is too long, [`Fault::Socket`] if the peer is gone.
pub fn send<M: Message>(socket: &OwnedFd, frame: &M) -> Result<(), Fault> {
    for packet in packets(frame)? {
        let sent = retry_on_intr(|| rustix::io::write(socket, &packet))?;
        if sent != packet.len() {
            return Err(Fault::Internal("a packet was cut"));
        }
    }
    Ok(())
}

/// Reads frames until the peer closes, the framing breaks, or the engine is gone.
///
/// A worker that takes over a slot may find the rest of a frame that its predecessor began to read, so
/// continuations are passed over until a first frame is whole.
///
/// `first` sees everything before the engine does, which may be in the middle of a step.
pub fn read_frames<M: Message + Default>(
    socket: &OwnedFd,
    engine: &SyncSender<Inbound<M>>,
    first: impl Fn(&Inbound<M>),
) {
    let mut assembler = Assembler::default();
    let mut begun = false;
    // One byte more than a packet may have, so that a longer one is seen and refused.
    let mut buffer = vec![0_u8; PACKET_LEN_MAX + 1];
    loop {
        let inbound = match retry_on_intr(|| rustix::io::read(socket, &mut *buffer)) {
            Ok(0) | Err(Errno::CONNRESET) => Inbound::Closed,
            Err(errno) => Inbound::Broken(errno.into()),
            Ok(len) => match assembler.push::<M>(&buffer[..len]) {
                Ok(None) => continue,
                Err(FrameError::Orphan) if !begun => continue,
                Ok(Some(frame)) => {
                    begun = true;
                    Inbound::Frame(frame)
                }
                Err(error) => Inbound::Broken(error.into()),
            },
        };
        let last = !matches!(inbound, Inbound::Frame(_));
        first(&inbound);
        if engine.send(inbound).is_err() || last {
            return;
        }
    }
}
