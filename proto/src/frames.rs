//! Frames on inherited sockets, and how a frame is cut into packets.
//!
//! Gateway and worker share a `SOCK_SEQPACKET` pair that is made once a slot and outlives workers. A frame is one prost
//! message, cut into packets of at most [`PACKET_LEN_MAX`] bytes: a marker byte, then a part of the message. A packet is
//! atomic, so a worker that dies cannot leave half a packet, and the next one begins with [`Marker::Only`] or
//! [`Marker::First`], which discards an unfinished frame of its predecessor.
//!
//! There is no I/O here: the worker blocks on its socket, the gateway polls its own.

mod packet;

pub use packet::{Assembler, FrameError, Marker, packets};

/// Largest packet, in bytes, marker included: well under the default socket buffer of 208 KiB.
pub const PACKET_LEN_MAX: usize = 64 * 1024;

/// Largest frame, in bytes: a prompt that fills a context of a million tokens, and no more.
pub const FRAME_LEN_MAX: usize = 8 * 1024 * 1024;

/// Slots for workers that a gateway is born with.
pub const SLOTS: usize = 8;

#[allow(missing_docs, clippy::all, clippy::pedantic)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/frames/croft.v1.rs"));
}
pub use generated::*;
