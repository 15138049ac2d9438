//! What Croft believes, and how it knows: durable files, digests, signatures, invites, and The Update Framework (TUF)
//! on both of its sides.
//!
//! `repository` is the publisher's side and runs where the offline keys are; `store` is the client's side and runs on
//! nodes and on the controller, which is only a mirror. No key of the publisher's side is ever needed on the client's.
//! There is deliberately no network here: bytes come through [`store::TrustSource`].

pub mod archive;
pub mod carried;
pub mod chain;
pub mod clock;
pub mod digest;
pub mod disk;
pub mod envelope;
pub mod invite_line;
pub mod keys;
pub mod limits;
pub mod oms;
pub mod repository;
pub mod sign;
pub mod store;
pub mod tar;
