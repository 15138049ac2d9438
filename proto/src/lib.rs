//! The wire: gRPC services between controller, admin and node, the local socket, and frames between the gateway and
//! its workers. Generated code stays inside this crate's modules; only the API rooms of other crates name it.
//!
//! Signed documents travel as opaque bytes ([`grpc::SignedDocument`]) and are the JSON of `croft-domain`.

pub mod frames;
#[cfg(feature = "grpc")]
pub mod grpc;
