//! What the daemon keeps on disk. Every write is durable before it counts (P9), and a damaged file is an alarm, never
//! a fresh start. Trust metadata is not here: `croft-trust` keeps it.

pub mod paths;
