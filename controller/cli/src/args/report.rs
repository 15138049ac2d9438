//! `report`: which report, in which form, and what a reviewer concludes.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use croft_domain::digest::Sha256Digest;
use croft_domain::id::ReportId;

use crate::review::Outcome;

/// `report`
#[derive(Debug, Subcommand)]
pub enum Report {
    /// Take a report of the fleet as it stands
    Create,
    /// List reports
    List,
    /// Print or save a report
    Show {
        /// Which [default: the newest]
        id: Option<ReportId>,
        /// Its form
        #[arg(long, value_enum, default_value_t = ReportFormat::Html)]
        format: ReportFormat,
        /// Write it there instead of to stdout
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Print how much models are used, by group, model and class of data; nothing about fewer than five nodes
    Usage {
        /// Of which report [default: the newest]
        id: Option<ReportId>,
    },
    /// Make this machine's reviewer key, and list it in the fleet document
    Key,
    /// Recompute all chains, then sign a review of a report
    Review(Review),
    /// Check a signed review and its report, offline
    Verify {
        /// The folder that `report review` wrote, or a file in it
        #[arg(value_name = "FILE")]
        path: PathBuf,
        /// Digest of the reviewer's key, as the reviewer names it [default: the keys of the fleet document here]
        #[arg(long, value_name = "sha256:HEX")]
        key: Option<Sha256Digest>,
    },
}

/// `report review`
#[derive(Debug, ClapArgs)]
pub struct Review {
    /// Which report [default: the newest]
    pub id: Option<ReportId>,
    /// Who reviews
    #[arg(long, value_name = "NAME")]
    pub reviewer: String,
    /// With which outcome
    #[arg(long, value_enum)]
    pub outcome: Outcome,
    /// What there is to say
    #[arg(long, default_value = "")]
    pub comment: String,
    /// Folder for the review, the report and how to verify them; it must not exist
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
}

/// Forms of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// For people: one self-contained page
    Html,
    /// For programs
    Json,
}
