//! What may be typed behind `intake`.

use clap::{Args as ClapArgs, Subcommand};

/// `intake`
#[derive(Debug, Subcommand)]
pub enum Intake {
    /// List allowed licenses and sources
    List,
    /// Allow more, and publish
    Allow(Change),
    /// Allow less, and publish; what is approved already stays approved
    Withdraw(Change),
}

/// What is allowed or withdrawn.
#[derive(Debug, ClapArgs)]
#[group(required = true, multiple = true)]
pub struct Change {
    /// A license (SPDX identifier); repeat for more
    #[arg(long = "license", value_name = "SPDX")]
    pub licenses: Vec<String>,
    /// How a source begins, up to the end of a part of its name; repeat for more
    #[arg(long = "source", value_name = "PREFIX")]
    pub sources: Vec<String>,
}
