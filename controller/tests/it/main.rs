//! Integration tests of the controller: its library against real databases, real TLS and real clients.

// A whole file of tests: a failed `unwrap` is a failed test.
#![allow(clippy::unwrap_used)]

mod attest;
mod engines;
mod enroll;
mod fleet;
mod hardware;
mod publish;
mod revoke;
mod store;
mod tls;
mod usage;
