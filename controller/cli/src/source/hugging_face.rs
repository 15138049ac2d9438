//! The Hugging Face hub cache: `models--ORG--REPO/{refs,snapshots/REVISION,blobs}`.
//!
//! A snapshot's files are links into `blobs/`, named by SHA-256 for large files. Of a link only its last part is used,
//! and only if it is such a digest: where the rest of it leads does not matter.

use std::path::{Path, PathBuf};

use croft_domain::digest::Sha256Digest;

use super::blobs::{Blobs, Naming};
use super::{Choice, Found, choose, folder, is_plain, refused};
use crate::error::CtlError;
use crate::fleet_dir::read_text;
use crate::limits::FOLDER_ENTRIES_MAX;

/// Whether a folder is such a cache, or one repository of it.
pub fn is_one(path: &Path) -> bool {
    path.join("snapshots").is_dir() && path.join("blobs").is_dir() || !repositories(path).is_empty()
}

fn repositories(path: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(path) else { return Vec::new() };
    let names = entries.take(FOLDER_ENTRIES_MAX).filter_map(Result::ok).map(|entry| entry.file_name());
    names.filter_map(|name| name.to_str().filter(|n| n.starts_with("models--")).map(str::to_owned)).collect()
}

/// The chosen model.
pub fn find(path: &Path, choice: Choice<'_>) -> Result<Found, CtlError> {
    let (place, revision) = locate(path, choice)?;
    let snapshot = place.join("snapshots").join(&revision);
    let fail = |source| CtlError::FileRead { path: snapshot.clone(), source };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&snapshot).map_err(fail)?.take(FOLDER_ENTRIES_MAX) {
        let name = entry.map_err(fail)?.file_name();
        names.extend(name.to_str().filter(|name| folder::is_weights(name)).map(str::to_owned));
    }
    let candidates = folder::first_shards(&names);
    let chosen = match (choice.file, candidates.as_slice()) {
        (Some(name), _) if names.iter().any(|known| known == name) => name.to_owned(),
        (None, [one]) => one.clone(),
        _ => return Err(choose(&snapshot, "--file", candidates)),
    };
    let blobs = Blobs::open(&place.join("blobs"), Naming::Hex)?;
    let shards = folder::shard_names(&chosen).map_err(|message| refused(&snapshot.join(&chosen), message))?;
    let pieces = shards.iter().map(|name| blobs.piece(digest_of(&snapshot.join(name))?));
    let pieces = pieces.collect::<Result<Vec<_>, _>>()?;
    let repository =
        place.file_name().and_then(|name| name.to_str()).and_then(|n| n.strip_prefix("models--"));
    let origin = repository
        .and_then(|name| name.split_once("--"))
        .map(|(owner, name)| format!("https://huggingface.co/{owner}/{name}@{revision}"));
    Ok(Found { origin, ..Found::of("Hugging Face cache", pieces) })
}

/// The repository's folder and the revision in it.
fn locate(path: &Path, choice: Choice<'_>) -> Result<(PathBuf, String), CtlError> {
    let (typed, revision) = match choice.model.map(|model| model.split_once('@').unwrap_or((model, "main"))) {
        Some((typed, revision)) => (Some(typed), revision),
        None => (None, "main"),
    };
    let place = match typed {
        Some(typed) => {
            let parts: Vec<&str> = typed.split('/').collect();
            if parts.len() != 2 || !parts.iter().all(|part| is_plain(part) && !part.contains("--")) {
                return Err(refused(path, "models there are named ORGANIZATION/REPOSITORY[@REVISION]"));
            }
            path.join(format!("models--{}", parts.join("--")))
        }
        None if path.join("snapshots").is_dir() => path.to_owned(),
        None => return Err(choose(path, "--model", repositories(path))),
    };
    if is_revision(revision) {
        return Ok((place, revision.to_owned()));
    }
    if !is_plain(revision) {
        return Err(refused(path, "a revision is 40 digits, a branch or a tag"));
    }
    let reference = place.join("refs").join(revision);
    let revision = read_text(&reference, 64)?.trim().to_owned();
    if is_revision(&revision) { Ok((place, revision)) } else { Err(refused(&reference, "holds no revision")) }
}

fn is_revision(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The digest that a snapshot's link names.
fn digest_of(link: &Path) -> Result<Sha256Digest, CtlError> {
    let target = std::fs::read_link(link).map_err(|_| refused(link, "is no link to a blob"))?;
    let name = target.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    format!("sha256:{name}").parse().map_err(|_| refused(link, "does not name a blob by its SHA-256"))
}
