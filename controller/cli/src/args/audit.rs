//! `audit`: what may be asked about the past.

use std::path::PathBuf;

use clap::Subcommand;

/// `audit`
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Recompute every node's verdict chain and compare it with the nodes' signatures and the checkpoints
    Verify {
        /// Only this node: its id, or enough of its beginning to be the only one
        #[arg(long, value_name = "ID")]
        node: Option<String>,
        /// A checkpoint from elsewhere; repeat for more. Those in the config folder are always used
        #[arg(long = "checkpoint", value_name = "FILE")]
        checkpoints: Vec<PathBuf>,
    },
    /// Verify all chains, then sign their heads with the freshness key
    Checkpoint {
        /// Also write it there, for an auditor
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}
