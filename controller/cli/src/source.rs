//! Where a model can be taken from: a file, a folder, an OCI layout, or the store of another tool on this machine.
//!
//! A store is reached by digest names only. What its documents say becomes a [`croft_domain::digest::Sha256Digest`] or
//! is refused; no path is ever built from a text of theirs (CVE-2024-37032 and its successors). Whether the bytes are
//! those of the digest is measured later, over the descriptor that was opened here.

mod blobs;
mod folder;
mod hugging_face;
mod lm_studio;
mod oci;
mod ollama;
mod scratch;
mod tar_layer;

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use croft_domain::digest::Sha256Digest;

use crate::error::CtlError;

pub use folder::shard_names;
pub use scratch::Scratch;

/// Which model of a store is meant.
#[derive(Clone, Copy, Debug, Default)]
pub struct Choice<'a> {
    /// As the store names models.
    pub model: Option<&'a str>,
    /// One GGUF file of several.
    pub file: Option<&'a str>,
}

/// One file of weights, open.
#[derive(Debug)]
pub struct Piece {
    /// Where it lies, so that publishing finds it again.
    pub path: PathBuf,
    /// What was opened there.
    pub file: File,
    /// What the store says its bytes are.
    pub digest: Option<Sha256Digest>,
}

/// A model that was found.
#[derive(Debug)]
pub struct Found {
    /// What kind of source it is, for people.
    pub kind: &'static str,
    /// Its weights, in the order of their shards.
    pub pieces: Vec<Piece>,
    /// The chat template that came with it, apart from the one inside the weights.
    pub template: Option<String>,
    /// The text of its license.
    pub license_text: Option<Vec<u8>>,
    /// Where the store says it came from.
    pub origin: Option<String>,
}

impl Found {
    /// Weights and nothing beside them.
    const fn of(kind: &'static str, pieces: Vec<Piece>) -> Self {
        Self { kind, pieces, template: None, license_text: None, origin: None }
    }
}

/// Finds the model that `choice` means in `path`. What must be unpacked goes into `scratch`.
///
/// # Errors
/// There is no such source, it holds several models and none was chosen, or it breaks a rule.
pub fn find(path: &Path, choice: Choice<'_>, scratch: &Scratch) -> Result<Found, CtlError> {
    // The person may point at a link; what lies inside a store may not be one.
    let path = &crate::fleet_dir::real_path(path)?;
    if !path.is_dir() {
        return folder::file(path);
    }
    let has = |name: &str| path.join(name).exists();
    if has("oci-layout") {
        return oci::find(path, choice, scratch);
    }
    for store in [path.clone(), path.join("models")] {
        if store.join("manifests").is_dir() && store.join("blobs").is_dir() {
            return ollama::find(&store, choice);
        }
    }
    for hub in [path.clone(), path.join("hub")] {
        if hugging_face::is_one(&hub) {
            return hugging_face::find(&hub, choice);
        }
    }
    if choice.model.is_some() {
        return lm_studio::find(path, choice);
    }
    folder::find(path, choice)
}

/// Opens a regular file that is no link.
fn open_regular(path: &Path) -> Result<File, CtlError> {
    let file = File::options()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
        .map_err(|source| CtlError::FileRead { path: path.to_owned(), source })?;
    if !file.metadata().is_ok_and(|meta| meta.is_file()) {
        return Err(refused(path, "is no regular file"));
    }
    Ok(file)
}

fn refused(place: &Path, message: impl Into<String>) -> CtlError {
    CtlError::Store { place: place.to_owned(), message: message.into() }
}

/// A part of a name that a person typed: it becomes part of a path, so it keeps to what cannot leave a folder.
fn is_plain(part: &str) -> bool {
    part.len() <= 128
        && part.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

/// The refusal of a store that holds more than one model, or none.
fn choose(place: &Path, option: &str, mut names: Vec<String>) -> CtlError {
    names.sort();
    names.truncate(crate::limits::CHOICES_SHOWN_MAX);
    let message = if names.is_empty() {
        format!("holds no model, or none that {option} names")
    } else {
        format!("holds several; choose one with {option}: {}", names.join(", "))
    };
    refused(place, crate::output::clean(&message))
}
