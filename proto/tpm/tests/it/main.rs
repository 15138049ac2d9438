//! The client and the verifier against swtpm, which is a real TPM in software, and against what lies.

#![allow(clippy::unwrap_used)]

mod enrollment;
mod hostile;
mod quotes;
mod swtpm;
