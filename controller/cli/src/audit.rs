//! Auditing verdict chains: recomputing what the controller claims about the past, without believing any of it (P7).
//!
//! Three parties hold a chain in place: its own hashes, the node that countersigned each head in its next evidence, and
//! the freshness key that signed checkpoints of all heads. No clock and no network in here.

mod chain;
mod checkpoint;

pub use chain::{Chain, Entry, Finding, verify};
pub use checkpoint::{Checkpoint, Head, signed_by};
