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
#[derive(Clone, Copy, Debug, ClapArgs)]
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
}

impl Confined {
    /// Which formats may pass.
    pub const fn scope(self) -> Scope {
        match self {
            Self { agreement: true, .. } => Scope::Agreement,
            Self { template: true, .. } => Scope::Template,
            Self { any: true, .. } => Scope::Any,
            _ => Scope::Gguf,
        }
    }
}
