//! The client and the verifier against swtpm, which is a real TPM in software, and against what lies.

#![allow(clippy::unwrap_used)]

mod boot_log;
mod enrollment;
mod hostile;
mod makers;
mod quotes;
mod swtpm;
