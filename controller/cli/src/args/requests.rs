//! `requests`: what people ask for.

use clap::Subcommand;
use croft_domain::id::RequestId;

/// `requests`
#[derive(Debug, Subcommand)]
pub enum Requests {
    /// Open requests, oldest first
    List,
    /// Remove a request; the audit log keeps what it was for and the note
    Close {
        /// Which, as `requests list` shows it
        id: RequestId,
        /// What became of it
        #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
        note: String,
    },
}
