//! The rules of Croft, pure.
//!
//! Everything both sides must agree on lives here: what a node may claim, what a baseline may demand, how the
//! one is judged by the other, and what follows from the judgment. Time and randomness are arguments. There is
//! deliberately no clock, file, socket, random source or cryptography in this crate: callers verify signatures
//! and digests first and hand over parsed values.

pub mod acceptance;
pub mod airgap;
pub mod appraise;
pub mod baseline;
pub mod bundle;
pub mod census;
pub mod code;
pub mod collection;
pub mod data_class;
pub mod digest;
pub mod evidence;
pub mod fact;
pub mod fleet;
pub mod hardware;
pub mod id;
pub mod invite;
pub mod lease;
pub mod limits;
pub mod memory;
pub mod moment;
pub mod printable;
pub mod probe;
pub mod recall;
pub mod remedy;
pub mod report;
pub mod request;
pub mod runtime;
pub mod signed;
pub mod tally;
pub mod time;
pub mod tree;
pub mod usage;
pub mod variant;
pub mod verdict;
pub mod version;
pub mod vetting;
pub mod waiver;
