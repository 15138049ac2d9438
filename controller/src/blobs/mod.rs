//! Bundle bytes, by digest. What is under its digest's name was verified; what is not yet lies in a quarantine.
//!
//! Paths are built from digests and from nothing else. Uploads can be resumed; they are acknowledged after they are on
//! disk, and renamed only when SHA-256 of the whole file is the one announced.

mod upload;

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use croft_domain::code::Code;
use croft_domain::digest::Sha256Digest;

pub use upload::Upload;

/// A blob cannot be kept or given.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The disk failed.
    #[error("blob {digest}: cannot {operation}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// Which blob.
        digest: Sha256Digest,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// It is longer than any blob may be, or empty.
    #[error("blob {0}: expected 1 to 200000000000 bytes")]
    Length(Sha256Digest),
    /// A part does not follow the one before.
    #[error("blob {digest}: the next part begins at {expected}")]
    Offset {
        /// Which blob.
        digest: Sha256Digest,
        /// Where the next part begins, in bytes.
        expected: u64,
    },
    /// Its bytes are not those of its digest. They were thrown away.
    #[error("blob {0}: its bytes have another digest; they were thrown away, upload it again")]
    Corrupt(Sha256Digest),
    /// Somebody else uploads it right now.
    #[error("blob {0}: another upload of it is under way")]
    Busy(Sha256Digest),
}

impl BlobError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Io { .. } => Code::Store,
            Self::Length(_) => Code::Input,
            Self::Offset { .. } | Self::Busy(_) => Code::Conflict,
            Self::Corrupt(_) => Code::BlobCorrupt,
        }
    }
}

fn failed(operation: &'static str, digest: Sha256Digest) -> impl FnOnce(io::Error) -> BlobError {
    move |source| BlobError::Io { operation, digest, source }
}

/// A blob that is whole.
#[derive(Debug)]
pub struct Blob {
    /// Opened for reading.
    pub file: File,
    /// Its length in bytes.
    pub len_bytes: u64,
}

/// The folder of blobs.
#[derive(Clone, Debug)]
pub struct Blobs {
    whole: PathBuf,
    quarantine: PathBuf,
    busy: Arc<Mutex<HashSet<Sha256Digest>>>,
}

impl Blobs {
    /// Opens the folder, making it where it is missing.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let whole = folder.join("sha256");
        let quarantine = folder.join("quarantine");
        std::fs::create_dir_all(&whole)?;
        std::fs::create_dir_all(&quarantine)?;
        Ok(Self { whole, quarantine, busy: Arc::default() })
    }

    /// Opens a whole blob; none if it is not here.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn get(&self, digest: Sha256Digest) -> Result<Option<Blob>, BlobError> {
        let file = match File::open(self.path(digest)) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(failed("open it", digest)(e)),
        };
        let len_bytes = file.metadata().map_err(failed("read its length", digest))?.len();
        Ok(Some(Blob { file, len_bytes }))
    }

    /// Whether it is here whole, with this length.
    #[must_use]
    pub fn has(&self, digest: Sha256Digest, len_bytes: u64) -> bool {
        std::fs::metadata(self.path(digest)).is_ok_and(|found| found.len() == len_bytes)
    }

    /// How many bytes are here, and whether that is all of it.
    #[must_use]
    pub fn progress(&self, digest: Sha256Digest) -> (u64, bool) {
        if let Ok(whole) = std::fs::metadata(self.path(digest)) {
            return (whole.len(), true);
        }
        (std::fs::metadata(self.partial(digest)).map_or(0, |found| found.len()), false)
    }

    fn path(&self, digest: Sha256Digest) -> PathBuf {
        self.whole.join(digest.hex())
    }

    fn partial(&self, digest: Sha256Digest) -> PathBuf {
        self.quarantine.join(format!("{}.part", digest.hex()))
    }
}
