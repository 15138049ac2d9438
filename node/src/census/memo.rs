//! What was found out about files, kept between two censuses: a file with the same device, inode, length and times is
//! not read or judged again.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, PoisonError};

use croft_domain::digest::Blake3Digest;

use super::stores::Scan;

/// Most files remembered; beyond that everything is forgotten and found out anew.
const FILES_MAX: usize = 4096;

/// What makes a file the same file. The time of its last status change cannot be set by its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    device: u64,
    inode: u64,
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Mark {
    pub(super) fn of(file: &File) -> Option<Self> {
        let facts = file.metadata().ok()?;
        Some(Self {
            device: facts.dev(),
            inode: facts.ino(),
            len: facts.len(),
            modified: (facts.mtime(), facts.mtime_nsec()),
            changed: (facts.ctime(), facts.ctime_nsec()),
        })
    }
}

/// The memory of one daemon, or of one command.
#[derive(Debug, Default)]
pub struct Memo {
    heads: Mutex<BTreeMap<(Mark, u64), Option<Blake3Digest>>>,
    scans: Mutex<BTreeMap<Mark, Scan>>,
}

impl Memo {
    /// The digest of a file's first `len` bytes.
    pub(super) fn head(
        &self,
        mark: Mark,
        len: u64,
        measure: impl FnOnce() -> Option<Blake3Digest>,
    ) -> Option<Blake3Digest> {
        let mut heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        if heads.len() >= FILES_MAX {
            heads.clear();
        }
        *heads.entry((mark, len)).or_insert_with(measure)
    }

    /// What the scan of a file said before.
    pub(super) fn scan(&self, mark: Mark) -> Option<Scan> {
        self.scans.lock().unwrap_or_else(PoisonError::into_inner).get(&mark).copied()
    }

    /// Remembers what the scan of a file said.
    pub(super) fn keep_scan(&self, mark: Mark, scan: Scan) {
        let mut scans = self.scans.lock().unwrap_or_else(PoisonError::into_inner);
        if scans.len() >= FILES_MAX {
            scans.clear();
        }
        scans.insert(mark, scan);
    }
}
