//! A slot's socket: packets in and out, forever. The socket outlives workers, so a frame that a worker's death cut
//! short is given up on either side, and the next frame's first packet starts afresh.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use croft_proto::frames::{Assembler, FrameError, FromWorker, PACKET_LEN_MAX, packets};

use super::super::seqpacket::{PacketSocket, read_packet};
use super::Slot;

/// A buffer for one packet, shared by all sockets; a byte longer than allowed, so that too long a packet shows.
pub type PacketBuffer = Rc<RefCell<Vec<u8>>>;

/// A new buffer.
#[must_use]
pub fn packet_buffer() -> PacketBuffer {
    Rc::new(RefCell::new(vec![0; PACKET_LEN_MAX + 1]))
}

/// Serves a slot's socket until it fails. The daemon holds the other end, so there is no ordinary end.
pub async fn serve(slot: Rc<Slot>, socket: PacketSocket, buffer: PacketBuffer) {
    let (Ok(()) | Err(_)) =
        tokio::try_join!(read(&slot, &socket, &buffer), write(&slot, &socket)).map(|((), ())| ());
    tracing::warn!(slot = slot.index, "the socket to the worker is gone");
    slot.worker_down("", "");
}

async fn read(slot: &Slot, socket: &PacketSocket, buffer: &PacketBuffer) -> io::Result<()> {
    let mut assembler = Assembler::default();
    loop {
        let frame = socket
            .recv(|fd| {
                let buffer = &mut *buffer.borrow_mut();
                let len = read_packet(fd, buffer)?;
                Ok(assembler.push::<FromWorker>(&buffer[..len]))
            })
            .await?;
        match frame {
            Ok(None) => {}
            Ok(Some(frame)) => slot.take(frame),
            // The rest of what a dead worker began.
            Err(FrameError::Orphan) if !slot.is_up() => {}
            Err(_) => {
                assembler = Assembler::default();
                if slot.is_up() {
                    slot.state.borrow_mut().distrust();
                }
            }
        }
    }
}

async fn write(slot: &Slot, socket: &PacketSocket) -> io::Result<()> {
    loop {
        let next = {
            let mut state = slot.state.borrow_mut();
            state.next_outgoing().map(|frame| (frame, state.epoch()))
        };
        let Some((frame, epoch)) = next else {
            slot.outgoing.notified().await;
            continue;
        };
        // The front refuses what is too long before it gets here.
        let Ok(packets) = packets(&frame) else { continue };
        for packet in packets {
            if slot.state.borrow().epoch() != epoch {
                break;
            }
            socket.send(&packet).await?;
        }
    }
}
