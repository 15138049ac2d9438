//! What may be typed behind `intake`.

use clap::{Args as ClapArgs, Subcommand};

/// `intake`
#[derive(Debug, Subcommand)]
pub enum Intake {
    /// List allowed licenses and sources, and what vetting accepts beyond its own lists
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
    /// An architecture of GGUF files whose shapes Croft does not know; repeat for more
    #[arg(long = "architecture", value_name = "NAME")]
    pub architectures: Vec<String>,
    /// What a pickle may import for `croftctl vet`, as module and name; repeat for more
    #[arg(long = "pickle-import", value_name = "MODULE.NAME")]
    pub pickle_imports: Vec<String>,
    /// What an ONNX or TensorFlow graph may hold for `croftctl vet`, as DOMAIN::NAME or NAME; repeat for more
    #[arg(long = "operator", value_name = "[DOMAIN::]NAME")]
    pub operators: Vec<String>,
    /// Why an architecture, an import or an operator is allowed
    #[arg(long, value_name = "WHY")]
    pub reason: Option<String>,
}
