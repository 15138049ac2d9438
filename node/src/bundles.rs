//! Bundles on this machine: which are wanted, fetching them piece by piece, installing what was verified, and opening
//! what is loaded. Nothing here believes a name, a path or a byte that a signed manifest does not vouch for.

pub mod adopt;
pub mod fetch;
pub mod have;
pub mod incoming;
pub mod install;
pub mod load;
pub mod plan;
pub mod quarantine;
pub mod recalled;
pub mod recheck;
pub mod stores;
pub mod variants;
pub mod verity;
pub mod vet;
