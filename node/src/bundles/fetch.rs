//! Fetching a blob: ranges in parallel, each verified by its own digest as it lands, resumed where it stopped. A mirror
//! needs no trust, and what was interrupted costs at most the chunks that were under way.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use croft_domain::bundle::BundleFile;
use croft_domain::code::Code;
use croft_link::LinkError;
use croft_link::backoff::Backoff;
use croft_link::fetch::HttpsClient;
use croft_trust::digest::verify_chunk;
use croft_trust::disk::write_code;
use futures_util::StreamExt;

use super::have::Have;
use super::quarantine::reserve;
use crate::limits::{CHUNK_ATTEMPTS_MAX, CHUNK_RETRY_MAX, CHUNK_RETRY_MIN, FETCH_PARALLEL};
use crate::state::paths::Paths;

/// A blob could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The bytes that came are not the approved ones.
    #[error("chunk {index} is not the approved one")]
    Corrupt {
        /// Which chunk.
        index: usize,
    },
    /// The link failed, again and again.
    #[error("cannot fetch chunk {index}")]
    Link {
        /// Which chunk.
        index: usize,
        /// Why.
        #[source]
        source: LinkError,
    },
    /// The disk failed.
    #[error("cannot {operation} {path}")]
    Disk {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl FetchError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Corrupt { .. } => Code::BlobCorrupt,
            Self::Link { source, .. } => source.code(),
            Self::Disk { source, .. } => write_code(source),
        }
    }
}

/// A blob on its way.
pub(super) struct Landing {
    pub(super) part: File,
    part_path: PathBuf,
    have: Mutex<Have>,
}

impl Landing {
    /// The chunks that have not landed.
    pub(super) fn missing(&self) -> Vec<usize> {
        lock(&self.have).missing()
    }

    /// Says that chunks landed whose bytes were verified, once they are on disk.
    pub(super) fn landed(&self, chunks: &[usize]) -> io::Result<()> {
        // Bytes first, then the bits that stand for them.
        self.part.sync_data()?;
        let mut have = lock(&self.have);
        chunks.iter().try_for_each(|index| have.set(*index))
    }
}

/// Fetches what is missing of `blob` into quarantine. `progress` is told how many bytes have landed.
///
/// # Errors
/// [`FetchError`]; what has landed stays for the next attempt.
pub async fn fetch(
    client: &HttpsClient,
    blob: &BundleFile,
    paths: &Paths,
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<(), FetchError> {
    let landing = Arc::new(open(blob, paths)?);
    let missing = landing.missing();
    let mut landed: u64 = blob.len_bytes.saturating_sub(missing.iter().map(|i| chunk_len(blob, *i)).sum());
    progress(landed);
    let mut chunks = futures_util::stream::iter(missing.into_iter().map(|index| {
        let landing = Arc::clone(&landing);
        async move {
            land(client, blob, index, &landing).await?;
            Ok::<u64, FetchError>(chunk_len(blob, index))
        }
    }))
    .buffer_unordered(FETCH_PARALLEL);
    while let Some(len) = chunks.next().await {
        landed += len?;
        progress(landed);
    }
    Ok(())
}

pub(super) fn open(blob: &BundleFile, paths: &Paths) -> Result<Landing, FetchError> {
    let part_path = paths.part(&blob.sha256);
    let have_path = paths.have(&blob.sha256);
    let failed = |operation, path: &PathBuf| {
        let path = path.clone();
        move |source| FetchError::Disk { operation, path, source }
    };
    // Without its bytes a bitmap says nothing.
    if !part_path.exists() {
        match std::fs::remove_file(&have_path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed("remove", &have_path)(e)),
            _ => {}
        }
    }
    let part = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&part_path)
        .map_err(failed("open", &part_path))?;
    if let Err(e) = reserve(&part, blob.len_bytes) {
        // A reservation that failed half-way would keep the room that the next attempt needs.
        let _ = std::fs::remove_file(&part_path);
        return Err(failed("reserve room for", &part_path)(e));
    }
    let have = Have::open(&have_path, blob).map_err(failed("open", &have_path))?;
    Ok(Landing { part, part_path, have: Mutex::new(have) })
}

fn lock(have: &Mutex<Have>) -> std::sync::MutexGuard<'_, Have> {
    have.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn chunk_len(blob: &BundleFile, index: usize) -> u64 {
    blob.chunk_range(index).map_or(0, |range| range.end - range.start)
}

async fn land(
    client: &HttpsClient,
    blob: &BundleFile,
    index: usize,
    landing: &Arc<Landing>,
) -> Result<(), FetchError> {
    let Some(range) = blob.chunk_range(index) else { return Err(FetchError::Corrupt { index }) };
    let Some(expected) = blob.chunks.get(index).copied() else { return Err(FetchError::Corrupt { index }) };
    let path = format!("/blobs/sha256/{}", blob.sha256.hex());
    let len = range.end - range.start;
    let mut backoff = Backoff::new(CHUNK_RETRY_MIN, CHUNK_RETRY_MAX);
    let mut attempt = 1;
    loop {
        let failure = match client.get(&path, Some(range.clone()), len).await {
            Ok(bytes) => match keep(landing, index, range.start, bytes, expected).await? {
                Kept::Yes => return Ok(()),
                Kept::NotApproved => FetchError::Corrupt { index },
            },
            Err(source) if source.is_retryable() => FetchError::Link { index, source },
            Err(source) => return Err(FetchError::Link { index, source }),
        };
        if attempt >= CHUNK_ATTEMPTS_MAX {
            return Err(failure);
        }
        attempt += 1;
        tokio::time::sleep(backoff.next_delay()).await;
    }
}

enum Kept {
    Yes,
    NotApproved,
}

async fn keep(
    landing: &Arc<Landing>,
    index: usize,
    offset: u64,
    bytes: Bytes,
    expected: croft_domain::digest::Blake3Digest,
) -> Result<Kept, FetchError> {
    let landing = Arc::clone(landing);
    let path = landing.part_path.clone();
    let written = tokio::task::spawn_blocking(move || {
        if !verify_chunk(&bytes, &expected) {
            return Ok(Kept::NotApproved);
        }
        landing.part.write_all_at(&bytes, offset)?;
        landing.landed(&[index])?;
        Ok(Kept::Yes)
    });
    written.await.unwrap_or_else(|e| Err(io::Error::other(e))).map_err(|source| FetchError::Disk {
        operation: "write",
        path,
        source,
    })
}
