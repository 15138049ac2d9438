//! What the daemon keeps on disk. Every write is durable before it counts (P9), and a damaged file is an alarm, never
//! a fresh start. Trust metadata is not here: `croft-trust` keeps it.

pub mod acceptance;
pub mod api_key;
pub mod consent;
pub mod counter;
pub mod erase;
pub mod exported;
pub mod files;
pub mod history;
pub mod identity;
pub mod lease;
pub mod measured;
pub mod node_key;
pub mod paths;
pub mod recalls;
pub mod recheck;
pub mod sent;
