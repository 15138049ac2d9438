//! A slot: the socket between the gateway and whichever worker serves a model. It outlives workers, so a worker that
//! died can leave packets in it that its successor must not read. They hold prompts, so the daemon throws them away
//! without reading a byte.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{RecvFlags, recv};

use super::packets::pair;
use crate::limits::STALE_PACKETS_MAX;

/// The workers' end of one slot.
#[derive(Debug)]
pub struct Slot {
    worker_end: OwnedFd,
}

impl Slot {
    /// A new slot and the gateway's end of it.
    ///
    /// # Errors
    /// If the system has no descriptors left.
    pub fn new() -> io::Result<(Self, OwnedFd)> {
        let (gateway_end, worker_end) = pair()?;
        // The gateway polls, a worker blocks; the flag belongs to each end.
        rustix::io::ioctl_fionbio(&gateway_end, true)?;
        Ok((Self { worker_end }, gateway_end))
    }

    /// The end that a worker is born with.
    #[must_use]
    pub const fn worker_end(&self) -> &OwnedFd {
        &self.worker_end
    }

    /// Throws away what was sent to a worker that is gone: each packet is received into no buffer at all.
    ///
    /// # Errors
    /// If the socket fails, or if more is in it than a socket can hold.
    pub fn discard_stale(&self) -> io::Result<usize> {
        for discarded in 0..STALE_PACKETS_MAX {
            let mut nothing = [0_u8; 0];
            let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
            match recv(self.worker_end.as_fd(), &mut nothing, flags) {
                // Packets are never empty, so this is the gateway's end closing.
                Ok((_, 0)) | Err(rustix::io::Errno::AGAIN) => return Ok(discarded),
                Ok(_) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Err(io::Error::other("the slot does not run dry"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{SendFlags, send};

    #[test]
    fn p6_stale_packets_are_thrown_away_and_fresh_ones_are_not() {
        let (slot, gateway_end) = Slot::new().expect("a slot");
        for text in ["\0one", "\0two"] {
            send(&gateway_end, text.as_bytes(), SendFlags::empty()).expect("sent");
        }
        assert_eq!(slot.discard_stale().expect("dry"), 2);
        assert_eq!(slot.discard_stale().expect("dry"), 0);
        send(&gateway_end, b"\0new", SendFlags::empty()).expect("sent");
        let mut buffer = [0_u8; 16];
        let (_, len) = recv(slot.worker_end(), &mut buffer, RecvFlags::DONTWAIT).expect("received");
        assert_eq!(&buffer[..len], b"\0new");
    }

    #[test]
    fn a_closed_gateway_ends_the_discarding() {
        let (slot, gateway_end) = Slot::new().expect("a slot");
        drop(gateway_end);
        assert_eq!(slot.discard_stale().expect("dry"), 0);
    }
}
