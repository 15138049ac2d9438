//! `recall` and `runtime`: what may not run any more, and which workers may.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};
use croft_domain::digest::Sha256Digest;
use croft_domain::id::{PolicyRef, RuntimeRef};
use croft_domain::recall::RecallTarget;

/// `recall`
#[derive(Debug, ClapArgs)]
pub struct Recall {
    /// NAME@VERSION, sha256:… of a file, runtime:NAME@VERSION, or runtime:sha256:… of a worker executable
    #[arg(value_parser = recall_target)]
    pub target: RecallWhat,
    /// Why, for the people whose model goes away or comes back
    #[arg(long)]
    pub reason: String,
    /// Take back every order that names exactly this; needs the publishers' signatures, a recall key does not suffice
    #[arg(long)]
    pub undo: bool,
}

/// What a recall names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecallWhat {
    /// What a recall order can say itself.
    Target(RecallTarget),
    /// Every file of a published runtime.
    Runtime(RuntimeRef),
}

/// `runtime`
#[derive(Debug, Subcommand)]
pub enum Runtime {
    /// Sign which worker executables and libraries may run; the first one makes all others refused
    Publish {
        /// NAME@VERSION
        runtime: RuntimeRef,
        /// croft-worker of each platform, and its libraries
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

/// `policy`
#[derive(Debug, Subcommand)]
pub enum Policy {
    /// Sign and publish the text that people accept before they use a model
    Publish {
        /// NAME@VERSION
        policy: PolicyRef,
        /// Its text, in Markdown
        file: PathBuf,
    },
}

fn recall_target(text: &str) -> Result<RecallWhat, String> {
    let digest = |text: &str| text.parse::<Sha256Digest>().map_err(|e| e.to_string());
    if let Some(runtime) = text.strip_prefix("runtime:") {
        return match runtime.parse() {
            Ok(runtime) => Ok(RecallWhat::Runtime(runtime)),
            Err(_) => digest(runtime).map(|digest| RecallWhat::Target(RecallTarget::Runtime(digest))),
        };
    }
    if text.starts_with("sha256:") {
        return digest(text).map(|digest| RecallWhat::Target(RecallTarget::Blob(digest)));
    }
    text.parse()
        .map(|bundle| RecallWhat::Target(RecallTarget::Bundle(bundle)))
        .map_err(|e: croft_domain::id::IdError| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recall_targets_say_what_they_stop() {
        let hex = format!("sha256:{}", "ab".repeat(32));
        assert!(matches!(recall_target("starter@1"), Ok(RecallWhat::Target(RecallTarget::Bundle(_)))));
        assert!(matches!(recall_target(&hex), Ok(RecallWhat::Target(RecallTarget::Blob(_)))));
        assert!(matches!(
            recall_target(&format!("runtime:{hex}")),
            Ok(RecallWhat::Target(RecallTarget::Runtime(_)))
        ));
        assert!(matches!(recall_target("runtime:worker@2"), Ok(RecallWhat::Runtime(_))));
        for bad in ["starter", "sha256:xyz", "runtime:starter@0", ""] {
            assert!(recall_target(bad).is_err(), "{bad}");
        }
    }
}
