//! A set: all files of one consistent state, as exact bytes, in memory and in a directory.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;

use super::TrustError;
use crate::disk::{create_private_dir, swap_dir, write_new};
use crate::limits::{
    BUNDLE_TARGET_LEN_MAX, ROOT_LEN_MAX, ROOTS_STORED_MAX, SNAPSHOT_LEN_MAX, TARGETS_LEN_MAX, TARGETS_MAX,
    TIMESTAMP_LEN_MAX,
};
use crate::repository::is_target_name;

/// The three files that change with every refresh, each with its version in its served name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Current {
    pub(super) timestamp: Vec<u8>,
    pub(super) snapshot: (u64, Vec<u8>),
    pub(super) targets: (u64, Vec<u8>),
}

/// Exact bytes of everything that is believed.
#[derive(Clone, Debug, Default)]
pub(super) struct Set {
    /// Every root since the one that the invite named.
    pub(super) roots: BTreeMap<u64, Vec<u8>>,
    /// None until the first update.
    pub(super) current: Option<Current>,
    /// `HEX.name` to bytes.
    pub(super) documents: BTreeMap<String, Vec<u8>>,
}

impl Set {
    /// All files under the names in which they are served.
    pub(super) fn files(&self) -> Vec<(String, Vec<u8>)> {
        let mut files: Vec<_> = self.metadata().into_iter().collect();
        files.extend(self.documents.iter().map(|(name, bytes)| (name.clone(), bytes.clone())));
        files
    }

    /// The metadata under the names in which it is served.
    pub(super) fn metadata(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files: BTreeMap<_, _> = self
            .roots
            .iter()
            .map(|(version, bytes)| (format!("{version}.root.json"), bytes.clone()))
            .collect();
        if let Some(current) = &self.current {
            files.insert("timestamp.json".to_owned(), current.timestamp.clone());
            files.insert(format!("{}.snapshot.json", current.snapshot.0), current.snapshot.1.clone());
            files.insert(format!("{}.targets.json", current.targets.0), current.targets.1.clone());
        }
        files
    }

    /// Writes the set beside `path` and swaps it in. Until the swap, which syncs the new folder first, `path` is what it
    /// was.
    pub(super) fn write(&self, path: &Path) -> Result<(), TrustError> {
        let new = path.with_extension("new");
        remove_leftover(&new)?;
        create_private_dir(&new)?;
        for (name, bytes) in self.files() {
            write_new(&new.join(name), &bytes, 0o600)?;
        }
        Ok(swap_dir(&new, path)?)
    }

    /// Reads a stored set. Anything missing, unknown or too large is an alarm.
    pub(super) fn read(path: &Path) -> Result<Self, TrustError> {
        let alarm = |reason: String| TrustError::State { path: path.to_owned(), reason };
        let mut set = Self::default();
        let (mut timestamp, mut snapshot, mut targets) = (None, None, None);
        for entry in fs::read_dir(path).map_err(|error| alarm(error.to_string()))? {
            let entry = entry.map_err(|error| alarm(error.to_string()))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some((kind, len_max)) = kind_of(&name) else {
                return Err(alarm(format!("{name:?} does not belong here")));
            };
            let bytes =
                read_file(&entry.path(), len_max).map_err(|error| alarm(format!("{name}: {error}")))?;
            let repeated = match kind {
                Kind::Root(version) => set.roots.insert(version, bytes).is_some(),
                Kind::Timestamp => timestamp.replace(bytes).is_some(),
                Kind::Snapshot(version) => snapshot.replace((version, bytes)).is_some(),
                Kind::Targets(version) => targets.replace((version, bytes)).is_some(),
                Kind::Document => set.documents.insert(name.clone(), bytes).is_some(),
            };
            if repeated || set.roots.len() > ROOTS_STORED_MAX || set.documents.len() > TARGETS_MAX {
                return Err(alarm(format!("too many files, at {name}")));
            }
        }
        set.current = match (timestamp, snapshot, targets) {
            (Some(timestamp), Some(snapshot), Some(targets)) => {
                Some(Current { timestamp, snapshot, targets })
            }
            (None, None, None) if set.documents.is_empty() => None,
            _ => return Err(alarm("some of its files are missing".to_owned())),
        };
        let versions = set.roots.keys().copied();
        let first = versions.clone().next().ok_or_else(|| alarm("it holds no root".to_owned()))?;
        if versions.zip(first..).any(|(found, expected)| found != expected) {
            return Err(alarm("a root is missing".to_owned()));
        }
        Ok(set)
    }
}

/// Deletes what an interrupted write left.
pub(super) fn remove_leftover(path: &Path) -> Result<(), TrustError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(TrustError::State { path: path.to_owned(), reason: format!("cannot delete it: {error}") })
        }
        _ => Ok(()),
    }
}

enum Kind {
    Root(u64),
    Timestamp,
    Snapshot(u64),
    Targets(u64),
    Document,
}

fn kind_of(name: &str) -> Option<(Kind, u64)> {
    if name == "timestamp.json" {
        return Some((Kind::Timestamp, TIMESTAMP_LEN_MAX));
    }
    let (head, tail) = name.split_once('.')?;
    if head.len() == 64 {
        return is_target_name(tail).then_some((Kind::Document, BUNDLE_TARGET_LEN_MAX));
    }
    let version = head.parse::<u64>().ok().filter(|version| version.to_string() == head)?;
    match tail {
        "root.json" => Some((Kind::Root(version), ROOT_LEN_MAX)),
        "snapshot.json" => Some((Kind::Snapshot(version), SNAPSHOT_LEN_MAX)),
        "targets.json" => Some((Kind::Targets(version), TARGETS_LEN_MAX)),
        _ => None,
    }
}

fn read_file(path: &Path, len_max: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(len_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > len_max {
        return Err(std::io::Error::other(format!("larger than {len_max} bytes")));
    }
    Ok(bytes)
}
