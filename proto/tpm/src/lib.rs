//! TPM 2.0, both ends: a client that speaks the command format of the TCG's library specification (Part 3) to a device
//! by itself, and the verifier of what such a device signed. There is no TSS and no resource manager of our own.
//!
//! The client ([`client`], [`key`]) runs on the node; [`credential`], [`proof`] and [`manufacturer`] are pure and run on the
//! controller. Absent on purpose: every command that writes into a TPM, takes ownership of it or clears it.

mod activation;
pub mod attest;
pub mod client;
mod command;
pub mod credential;
pub mod error;
pub mod event_log;
pub mod key;
pub mod limits;
pub mod manufacturer;
pub mod proof;
pub mod public;
pub mod quote;
pub mod template;
pub mod transport;
pub mod wire;
