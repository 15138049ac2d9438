//! The link between Croft's processes over a network: TLS 1.3 pinned both ways, gRPC channels, ranged HTTPS fetches,
//! and the pace of trying again.
//!
//! Nothing here decides what is said over a link. There is deliberately no trust in the machine's certificate store
//! and no way to switch verification off.

pub mod backoff;
pub mod channel;
pub mod connector;
pub mod csr;
pub mod error;
pub mod fetch;
pub mod held;
pub mod limits;
pub mod node_name;
pub mod pin;
pub mod proxy;
pub mod tls;

pub use error::LinkError;
