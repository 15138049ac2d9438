//! `vet`, and the hidden command that is its confined half.

use std::path::PathBuf;

use clap::Args as ClapArgs;

use crate::vet::Scope;

/// `vet`
#[derive(Debug, ClapArgs)]
pub struct Vet {
    /// Files, and folders with all that is in them; links are not followed
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
}

/// `vet-confined`
#[derive(Clone, Debug, ClapArgs)]
pub struct Confined {
    /// Any format, not only GGUF
    #[arg(long, conflicts_with = "template")]
    pub any: bool,
    /// It is a chat template
    #[arg(long)]
    pub template: bool,
    /// It is a chat template with what llama.cpp made of it
    #[arg(long, conflicts_with_all = ["any", "template"])]
    pub agreement: bool,
    /// One of several files, by its descriptor; instead of standard input
    #[arg(long = "shard", value_name = "FD:NAME", conflicts_with_all = ["any", "template", "agreement"])]
    pub shards: Vec<String>,
    /// An architecture that the fleet allows
    #[arg(long = "architecture", value_name = "NAME")]
    pub architectures: Vec<String>,
    /// What the fleet lets pickles import
    #[arg(long = "pickle-import", value_name = "MODULE.NAME")]
    pub imports: Vec<String>,
    /// An operator that the fleet lets graphs hold
    #[arg(long = "operator", value_name = "[DOMAIN::]NAME")]
    pub operators: Vec<String>,
}

impl Confined {
    /// Which formats may pass.
    pub const fn scope(&self) -> Scope {
        match self {
            Self { agreement: true, .. } => Scope::Agreement,
            Self { template: true, .. } => Scope::Template,
            Self { any: true, .. } => Scope::Any,
            _ => Scope::Gguf,
        }
    }
}
