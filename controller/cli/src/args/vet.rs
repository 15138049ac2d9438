//! `vet`, and the hidden command that is its confined half.

use std::path::PathBuf;

use clap::Args as ClapArgs;

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
    #[arg(long)]
    pub any: bool,
}
