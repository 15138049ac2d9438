//! `trust`: the ceremonies.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use croft_domain::digest::Sha256Digest;

use super::duration;

/// `trust`
#[derive(Debug, Subcommand)]
pub enum Trust {
    /// Who signs what, until when, and what waits for a signature
    Status,
    /// Verify everything again, sign the short-lived metadata and publish it
    Refresh {
        /// How long it is good for: 90s to 30d; a withheld recall stops serving after it [default: 14d]
        #[arg(long, value_parser = duration, value_name = "TIME")]
        lifetime: Option<u64>,
        /// Take over what the publishers signed, from their handover.json; without an admin's key here, the sealed
        /// handover goes back to them
        #[arg(long, value_name = "FILE")]
        handover: Option<PathBuf>,
    },
    /// Let another person approve; needs the root keys
    AddPublisher {
        /// Their public key (PEM), as `croftctl trust make-key publisher` wrote it on their machine
        #[arg(value_name = "PUBKEY")]
        key: PathBuf,
        /// What to call them here
        #[arg(long)]
        name: String,
        /// How many publishers must sign from now on [default: as before]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=9))]
        threshold: Option<u64>,
    },
    /// Take the right to approve away; needs the root keys
    RemovePublisher {
        /// Name or beginning of the key id, as `trust status` shows them
        publisher: String,
        /// How many publishers must sign from now on [default: as before, at most those who remain]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=9))]
        threshold: Option<u64>,
    },
    /// Sign the next root: prolongs it, and replaces the keys that are named
    RotateRoot {
        /// A role whose key on this machine is replaced by a new one; repeat for more
        #[arg(long, value_enum, value_name = "ROLE")]
        replace: Vec<Replaceable>,
        /// Hand freshness to the host that made this public key (PEM) with `croftctl trust make-key freshness`
        #[arg(long, value_name = "PUBKEY")]
        freshness: Option<PathBuf>,
    },
    /// Write what is signed to a file, for another key holder's machine; the key id of its root is printed
    Export {
        /// Where to
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Take a fleet over on the machine of a further key holder, from what `croftctl trust export` wrote
    Join {
        /// What was exported
        file: PathBuf,
        /// Digest of the fleet's first root, as its founder reads it out
        #[arg(long, value_name = "sha256:HEX")]
        root: Sha256Digest,
        /// Where the controller answers
        #[arg(long, value_name = "URL")]
        controller: String,
    },
    /// Publish what enough publishers and the freshness key have signed
    Publish,
    /// Encrypt a key on this machine with another passphrase
    ChangePassphrase {
        /// Which: root, root-1 to root-9, targets, freshness, recall, admin
        #[arg(value_name = "KEY")]
        key: String,
        /// File with the new passphrase, readable by you alone [default: a prompt]
        #[arg(long, value_name = "FILE", conflicts_with = "no_passphrase")]
        new_passphrase_file: Option<PathBuf>,
        /// Do not encrypt it any more
        #[arg(long)]
        no_passphrase: bool,
    },
    /// Make a key on this machine and print its public part
    MakeKey {
        /// For whom
        #[arg(value_enum)]
        role: NewKey,
    },
    /// Take what another publisher signed, after showing what it changes
    Adopt {
        /// Their handover.json
        file: PathBuf,
        /// Add this machine's signature
        #[arg(long)]
        sign: bool,
    },
    /// For a freshness host
    #[command(subcommand)]
    Service(Service),
}

/// `trust service`
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum Service {
    /// Print a systemd service and timer that refresh twice a week
    Print,
}

/// Keys that `rotate-root` replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Replaceable {
    /// Of a fleet with one root key
    Root,
    /// This machine's publisher
    Targets,
    /// The freshness host's
    Freshness,
}

/// Keys that `make-key` makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NewKey {
    /// To approve bundles
    Publisher,
    /// To say that all is current
    Freshness,
}
