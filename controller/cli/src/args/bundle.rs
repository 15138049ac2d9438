//! What may be typed behind `bundle`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use croft_domain::bundle::CheckPrompt;
use croft_domain::id::{BundleName, BundleRef, GroupName, ModelAlias};

/// `bundle`
#[derive(Debug, Subcommand)]
pub enum Bundle {
    /// Vet a model in a confined process and draft its manifest
    Import(Box<Import>),
    /// Sign a draft as approved
    Approve {
        /// NAME@VERSION
        bundle: BundleRef,
        /// Also allow the bundle's license in this fleet from now on
        #[arg(long)]
        allow_license: bool,
        /// Also allow the bundle's source in this fleet from now on
        #[arg(long)]
        allow_source: bool,
        /// Add a signature to what another publisher approved, from their handover.json
        #[arg(long, value_name = "FILE")]
        proposal: Option<PathBuf>,
    },
    /// Print a bundle's bill of materials (CycloneDX 1.6)
    Bom {
        /// NAME@VERSION
        bundle: BundleRef,
    },
    /// Upload an approved bundle's bytes and publish its manifest
    Publish {
        /// NAME@VERSION
        bundle: BundleRef,
    },
    /// Write one file that brings bundles across an air gap: croft import takes it in
    Export(Export),
}

/// `bundle export`
#[derive(Debug, ClapArgs)]
pub struct Export {
    /// NAME@VERSION; several for one file with all of them
    #[arg(required_unless_present_any = ["group", "documents_only"])]
    pub bundles: Vec<BundleRef>,
    /// Also the newest approved version of every bundle that this group may have
    #[arg(long)]
    pub group: Option<GroupName>,
    /// No bytes of models: fresh metadata, manifests and recalls alone
    #[arg(long, conflicts_with_all = ["bundles", "group"])]
    pub documents_only: bool,
    /// Where to write, - for standard output [default: NAME-VERSION.croft or FLEET.croft, here]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Do not ask the controller for recalls that were signed on other machines
    #[arg(long)]
    pub offline: bool,
}

/// `bundle import`
#[derive(Debug, ClapArgs)]
pub struct Import {
    /// What the bundle is called
    pub name: BundleName,
    /// GGUF file or folder, OCI layout, Ollama or LM Studio store, Hugging Face cache
    #[arg(value_name = "SOURCE")]
    pub from: PathBuf,
    /// Which model of a store: llama3:8b (Ollama), ORG/REPO[@REVISION] (Hugging Face), PUBLISHER/MODEL (LM Studio),
    /// tag or digest (OCI)
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// Which GGUF file of several; of a split model, any of its shards
    #[arg(long, value_name = "NAME")]
    pub file: Option<String>,
    /// The same model in another quantization (GGUF file or folder), to be approved with it; repeat for more, the best
    /// answers first. Each machine serves the fastest that fits its memory
    #[arg(long = "variant", value_name = "FILE")]
    pub variants: Vec<PathBuf>,
    /// OMS signature of the publisher of the weights, over the very files that come in
    #[arg(long, value_name = "SIGNATURE", requires = "key")]
    pub oms: Option<PathBuf>,
    /// Public key (PEM, P-256) under which that signature must hold
    #[arg(long, value_name = "PUBKEY", requires = "oms")]
    pub key: Option<PathBuf>,
    /// SPDX identifier of the weights' license
    #[arg(long, value_name = "SPDX")]
    pub license: String,
    /// The license's text [default: the one that came with the model]
    #[arg(long, value_name = "FILE")]
    pub license_text: Option<PathBuf>,
    /// Whether the license lets the weights be passed on
    #[arg(long, value_enum, value_name = "HOW")]
    pub redistribution: Option<Redistribution>,
    /// What the license forbids or demands of a user; repeat for more
    #[arg(long = "use-restriction", value_name = "TEXT")]
    pub use_restrictions: Vec<String>,
    /// Who accepted the terms for the organization
    #[arg(long, value_name = "WHO")]
    pub accepted_by: Option<String>,
    /// Where the model came from: an address with a revision, or a description [default: what the store says]
    #[arg(long, value_name = "TEXT")]
    pub source: Option<String>,
    /// Draft it although the fleet lists neither its source nor its license; approving asks again
    #[arg(long)]
    pub unlisted: bool,
    /// The model that this one was made from, for the bill of materials
    #[arg(long, value_name = "NAME")]
    pub base_model: Option<String>,
    /// Version [default: one above the newest here]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub version: Option<u32>,
    /// Chat template (Jinja) instead of the one inside the file
    #[arg(long, value_name = "FILE")]
    pub template: Option<PathBuf>,
    /// What clients may call it besides its name: chat, complete, embed; repeat for more
    #[arg(long = "alias", value_name = "ALIAS")]
    pub aliases: Vec<ModelAlias>,
    /// A question whose greedy answer must contain a text; repeat for more
    #[arg(long = "check", value_name = "PROMPT=>CONTAINS", value_parser = check_prompt)]
    pub checks: Vec<CheckPrompt>,
    /// Context of one conversation, in tokens [default: the file's own, at most 8192]
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(1..=1 << 24))]
    pub context: Option<u32>,
    /// Conversations at once
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub slots: u32,
    /// Sampling temperature where a client asks for none, 0 to 2; 0 is greedy
    #[arg(long, default_value_t = 0.2, value_name = "NUMBER")]
    pub temperature: f32,
    /// The most sensitive data that it may be given [default: whatever the baseline says]
    #[arg(long, value_enum, value_name = "CLASS")]
    pub data_class_max: Option<Sensitivity>,
    /// Nodes that have this version never go back to an older one, not even by an assignment
    #[arg(long)]
    pub no_return: bool,
}

/// How sensitive data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Sensitivity {
    /// Anybody may read it
    Public,
    /// The organization's own work
    Internal,
    /// Customers', and what contracts protect
    Confidential,
    /// What a law or regulator protects
    Restricted,
}

impl From<Sensitivity> for croft_domain::usage::Sensitivity {
    fn from(typed: Sensitivity) -> Self {
        match typed {
            Sensitivity::Public => Self::Public,
            Sensitivity::Internal => Self::Internal,
            Sensitivity::Confidential => Self::Confidential,
            Sensitivity::Restricted => Self::Restricted,
        }
    }
}

/// Whether weights may be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Redistribution {
    /// As everybody likes
    Allowed,
    /// Under conditions of the license
    Conditional,
    /// Not at all
    Forbidden,
}

impl From<Redistribution> for croft_domain::bundle::Redistribution {
    fn from(typed: Redistribution) -> Self {
        match typed {
            Redistribution::Allowed => Self::Allowed,
            Redistribution::Conditional => Self::Conditional,
            Redistribution::Forbidden => Self::Forbidden,
        }
    }
}

fn check_prompt(text: &str) -> Result<CheckPrompt, String> {
    match text.split_once("=>") {
        Some((prompt, contains)) if !prompt.trim().is_empty() && !contains.trim().is_empty() => {
            Ok(CheckPrompt { prompt: prompt.trim().to_owned(), contains: contains.trim().to_owned() })
        }
        _ => Err("PROMPT=>CONTAINS, both not empty".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_prompts_need_both_sides() {
        let check = check_prompt("What is 2+2? => 4").expect("a check");
        assert_eq!((check.prompt.as_str(), check.contains.as_str()), ("What is 2+2?", "4"));
        for bad in ["", "a", "a=>", "=>b", " => "] {
            assert!(check_prompt(bad).is_err(), "{bad}");
        }
    }
}
