//! The node's rooms against a real peer: fetching over pinned TLS from a server that fails in every way a mirror can,
//! and leaving.

mod fetching;
mod leaving;
mod mirror;
