//! `requests`: what people ask for.

use clap::{Subcommand, ValueEnum};
use croft_domain::id::RequestId;
use croft_domain::request::RequestOutcome;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Outcome {
    /// The model comes, or something that does the same
    Approved,
    /// It does not
    Denied,
}

impl From<Outcome> for RequestOutcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Approved => Self::Approved,
            Outcome::Denied => Self::Denied,
        }
    }
}

/// `requests`
#[derive(Debug, Subcommand)]
pub enum Requests {
    /// Open requests, oldest first
    List,
    /// Answer a request; who asked reads the answer with `croft request --list`
    Close {
        /// Which, as `requests list` shows it
        id: RequestId,
        /// What becomes of it
        #[arg(long, value_enum)]
        outcome: Outcome,
        /// What to tell who asked
        #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
        note: String,
    },
}
