//! Attacks on what Croft believes, each named after the promise that it attacks.

mod archives;
mod attack_table;
mod blobs;
mod ceremonies;
mod fleet;
mod forger;
mod invites;
mod keys;
mod oms;
mod publisher;
mod signatures;
mod stored_state;
mod update;
