//! A GGUF file, one of its shards, or a folder with one model.

use std::path::Path;

use super::{Choice, Found, Piece, choose, open_regular, refused};
use crate::error::CtlError;
use crate::limits::{DOCUMENT_LEN_MAX, FOLDER_ENTRIES_MAX};
use croft_domain::limits::BUNDLE_FILES_MAX;

/// The file that was named; with its siblings, if its name says that it is a shard.
pub fn file(path: &Path) -> Result<Found, CtlError> {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let folder = path.parent().unwrap_or(Path::new("/"));
    Ok(Found::of("file", pieces(folder, name)?))
}

/// The one model of a folder.
pub fn find(path: &Path, choice: Choice<'_>) -> Result<Found, CtlError> {
    let pieces = one_model(path, choice)?;
    let license = ["LICENSE", "LICENSE.txt", "LICENSE.md"].iter().find_map(|name| {
        let file = open_regular(&path.join(name)).ok()?;
        let len = file.metadata().ok()?.len();
        (len <= DOCUMENT_LEN_MAX).then_some(path.join(name))
    });
    let license_text = license.map(|file| crate::fleet_dir::read(&file, DOCUMENT_LEN_MAX)).transpose()?;
    Ok(Found { license_text, ..Found::of("folder", pieces) })
}

/// The pieces of the one model among a folder's files.
pub fn one_model(path: &Path, choice: Choice<'_>) -> Result<Vec<Piece>, CtlError> {
    if let Some(name) = choice.file {
        if name.contains('/') || !is_weights(name) {
            return Err(refused(path, "has no such GGUF file"));
        }
        return pieces(path, name);
    }
    let names = names(path)?;
    let candidates = first_shards(&names);
    match candidates.as_slice() {
        [one] => pieces(path, one),
        _ => Err(choose(path, "--file", candidates)),
    }
}

/// Names of the files of weights, without those of vision adapters, which are models of their own kind.
fn names(path: &Path) -> Result<Vec<String>, CtlError> {
    let fail = |source| CtlError::FileRead { path: path.to_owned(), source };
    let mut names = Vec::new();
    for (count, entry) in std::fs::read_dir(path).map_err(fail)?.enumerate() {
        if count >= FOLDER_ENTRIES_MAX {
            return Err(refused(path, format!("has more than {FOLDER_ENTRIES_MAX} entries")));
        }
        let name = entry.map_err(fail)?.file_name();
        names.extend(name.to_str().filter(|name| is_weights(name)).map(str::to_owned));
    }
    Ok(names)
}

/// Whether a file is one of weights, by its name.
pub fn is_weights(name: &str) -> bool {
    name.ends_with(".gguf") && !name.starts_with("mmproj")
}

/// Each model once, by its file or its first shard.
pub fn first_shards(names: &[String]) -> Vec<String> {
    names.iter().filter(|name| shard(name).is_none_or(|(_, number, _)| number == 1)).cloned().collect()
}

/// The open pieces of the model that `name` is, or is a shard of.
fn pieces(folder: &Path, name: &str) -> Result<Vec<Piece>, CtlError> {
    shard_names(name)
        .map_err(|message| refused(&folder.join(name), message))?
        .iter()
        .map(|name| {
            let path = folder.join(name);
            Ok(Piece { file: open_regular(&path)?, path, digest: None })
        })
        .collect()
}

/// The names of all shards of the set that `name` belongs to, in their order; itself, if it is whole.
///
/// # Errors
/// The count is not one that a bundle may have.
pub fn shard_names(name: &str) -> Result<Vec<String>, &'static str> {
    match shard(name) {
        None => Ok(vec![name.to_owned()]),
        Some((_, number, count)) if number == 0 || number > count => Err("is a shard beyond its own count"),
        Some((_, _, count)) if count > BUNDLE_FILES_MAX => Err("is one of more than 128 shards"),
        Some((stem, _, count)) => {
            Ok((1..=count).map(|number| format!("{stem}-{number:05}-of-{count:05}.gguf")).collect())
        }
    }
}

/// Stem, number and count of a name like `model-00001-of-00003.gguf` (rule P01).
fn shard(name: &str) -> Option<(&str, usize, usize)> {
    let (rest, count) = name.strip_suffix(".gguf")?.rsplit_once("-of-")?;
    let (stem, number) = rest.rsplit_once('-')?;
    let five = |text: &str| {
        (text.len() == 5 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
    };
    Some((stem, five(number)?, five(count)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_named_in_their_order() {
        let three = shard_names("m-00002-of-00003.gguf").expect("a set");
        assert_eq!(three, ["m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf"]);
        assert_eq!(shard_names("m.gguf").expect("one"), ["m.gguf"]);
        assert_eq!(shard_names("m-1-of-3.gguf").expect("one"), ["m-1-of-3.gguf"]);
        for bad in ["m-00004-of-00003.gguf", "m-00000-of-00003.gguf", "m-00001-of-00129.gguf"] {
            assert!(shard_names(bad).is_err(), "{bad}");
        }
    }
}
