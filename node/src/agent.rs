//! The agent: unenrolled → enrolled → attested → leased, and back at once when something no longer holds.
//!
//! What is allowed is decided by pure functions over values ([`decide`], [`schedule`], [`crate::bundles::plan`]); the
//! tasks around them only fetch, ask and carry out. Everything fails closed: a task that dies stops renewing, and what
//! is not renewed ends by itself.

pub mod acceptance;
pub mod airgap;
pub mod catalog;
pub mod chain;
pub mod consent;
pub mod counters;
pub mod decide;
pub mod documents;
pub mod enroll;
pub mod evidence;
pub mod fetching;
#[cfg(test)]
mod floors_tests;
pub mod herald;
pub mod import;
pub mod keeper;
pub mod leave;
pub mod measuring;
pub mod memory;
pub mod order;
pub mod recheck;
pub mod request;
pub mod schedule;
pub mod senses;
pub mod session;
pub mod succession;
