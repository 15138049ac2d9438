//! `lease`: what is typed where leases cross an air gap.

use std::path::PathBuf;

use clap::Subcommand;
use croft_domain::id::GroupName;

/// `lease`
#[derive(Debug, Subcommand)]
pub enum Lease {
    /// Make an offline lease key on this machine and list it in the fleet document
    Key,
    /// Judge evidence that was carried here, and write the lease that follows
    Issue {
        /// The file that `croft evidence export` wrote
        evidence: PathBuf,
        /// The node's group; remembered after the first time
        #[arg(long)]
        group: Option<GroupName>,
        /// Where the lease goes, for `croft import`
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// List what was judged at this desk
    List,
}
