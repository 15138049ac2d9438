//! House rules as tests: which crate and which room may know which, that every file says why it exists, that the
//! documents name only what is there.

mod crates;
mod docs;
mod files;
mod protocol;
mod rooms;

use std::path::{Path, PathBuf};

/// The repository's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository")
}

/// Every tracked or new file with this ending, relative to the root, without what is built or installed.
fn sources(ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a readable folder") {
            let entry = entry.expect("a readable entry");
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type().expect("a file type").is_dir() {
                if !matches!(name.as_str(), "target" | ".git" | ".venv") {
                    folders.push(entry.path());
                }
            } else if name.ends_with(ending) {
                found.push(entry.path().strip_prefix(root()).expect("below the root").to_owned());
            }
        }
    }
    found.sort();
    found
}

/// A file's text.
fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
