//! Hashing of bytes and of files that are larger than memory.
//!
//! SHA-256 (FIPS 180-4, by ring) names a blob; BLAKE3 per chunk, listed in the signed manifest, verifies it piece by
//! piece and on all cores. Files are read by offset (`pread`), so that one descriptor serves all threads and its
//! position, which other processes may share, is never used.

use std::fs::File;
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use croft_domain::bundle::BundleFile;
use croft_domain::code::Code;
use croft_domain::digest::{Blake3Digest, Sha256Digest};
use ring::digest::{Context, SHA256};

use crate::limits::{HASH_WINDOW_LEN, READ_LEN};

/// Bytes are not the approved ones.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// Shorter than approved.
    #[error("file ends after {found} of {expected} bytes")]
    Truncated {
        /// Approved length, in bytes.
        expected: u64,
        /// Length found, in bytes.
        found: u64,
    },
    /// Longer than approved.
    #[error("file has {found} bytes instead of {expected}")]
    TooLong {
        /// Approved length, in bytes.
        expected: u64,
        /// Length found, in bytes.
        found: u64,
    },
    /// A chunk differs.
    #[error("chunk {chunk} at byte {offset} is not the approved one")]
    Corrupt {
        /// Index of the first chunk that differs.
        chunk: usize,
        /// Where it begins, in bytes.
        offset: u64,
    },
    /// The approved list of chunks does not cover the file.
    #[error("the list of {listed} chunks does not cover the file")]
    Uncovered {
        /// How many chunks are listed.
        listed: usize,
    },
    /// Cannot be read.
    #[error("cannot read at byte {offset}")]
    Read {
        /// Where, in bytes.
        offset: u64,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl BlobError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Truncated { .. } => Code::BlobTruncated,
            Self::TooLong { .. } | Self::Corrupt { .. } | Self::Uncovered { .. } | Self::Read { .. } => {
                Code::BlobCorrupt
            }
        }
    }
}

/// SHA-256 of `bytes`.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Sha256Digest {
    let mut context = Context::new(&SHA256);
    context.update(bytes);
    finish(context)
}

/// SHA-256 and length of everything that `reader` gives.
///
/// # Errors
/// When reading fails.
pub fn sha256_reader(mut reader: impl Read) -> io::Result<(Sha256Digest, u64)> {
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; READ_LEN];
    let mut len = 0;
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok((finish(context), len)),
            Ok(count) => {
                context.update(&buffer[..count]);
                len += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn finish(context: Context) -> Sha256Digest {
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    Sha256Digest(out)
}

/// Describes `file` for a manifest: its SHA-256, its length in bytes, and BLAKE3 of each chunk of `chunk_len` bytes.
///
/// Reads once from the beginning; a window of chunks is hashed on all cores while one thread goes on with SHA-256.
///
/// # Errors
/// When reading fails or `chunk_len` is not in 64 KiB to 64 MiB.
pub fn describe_file(file: &mut File, chunk_len: u64) -> io::Result<(Sha256Digest, u64, Vec<Blake3Digest>)> {
    if !(1 << 16..=1 << 26).contains(&chunk_len) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "chunk length must be 64 KiB to 64 MiB"));
    }
    let chunk_len = usize::try_from(chunk_len).map_err(io::Error::other)?;
    let window_len = (HASH_WINDOW_LEN as usize / chunk_len).clamp(1, 4 * threads()) * chunk_len;
    let mut window = vec![0; window_len];
    let mut context = Context::new(&SHA256);
    let mut chunks = Vec::new();
    let mut len = 0_u64;
    loop {
        let filled = read_full(file, &mut window, len)?;
        len += filled as u64;
        hash_window(&window[..filled], chunk_len, &mut context, &mut chunks);
        if filled < window_len {
            return Ok((finish(context), len, chunks));
        }
    }
}

fn read_full(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn hash_window(window: &[u8], chunk_len: usize, context: &mut Context, chunks: &mut Vec<Blake3Digest>) {
    let pieces: Vec<&[u8]> = window.chunks(chunk_len).collect();
    let mut digests = vec![Blake3Digest([0; 32]); pieces.len()];
    let share = pieces.len().div_ceil(threads()).max(1);
    std::thread::scope(|scope| {
        scope.spawn(|| context.update(window));
        for (pieces, digests) in pieces.chunks(share).zip(digests.chunks_mut(share)) {
            scope.spawn(move || {
                for (piece, digest) in pieces.iter().zip(digests) {
                    *digest = Blake3Digest(*blake3::hash(piece).as_bytes());
                }
            });
        }
    });
    chunks.append(&mut digests);
}

/// Whether `bytes` are the chunk that `expected` names.
#[must_use]
pub fn verify_chunk(bytes: &[u8], expected: &Blake3Digest) -> bool {
    blake3::hash(bytes).as_bytes() == &expected.0
}

/// Gives a blob's bytes from its beginning, each chunk only after it was verified: what reads from it never sees a byte
/// that is not approved, whatever the source does meanwhile.
pub struct ChunkReader<'a, S> {
    blob: &'a BundleFile,
    source: S,
    next: usize,
    chunk: io::Cursor<Vec<u8>>,
}

impl<'a, S: FnMut(std::ops::Range<u64>) -> io::Result<Vec<u8>>> ChunkReader<'a, S> {
    /// A reader of `blob`, whose bytes of a range `source` gives.
    pub const fn new(blob: &'a BundleFile, source: S) -> Self {
        Self { blob, source, next: 0, chunk: io::Cursor::new(Vec::new()) }
    }
}

impl<S: FnMut(std::ops::Range<u64>) -> io::Result<Vec<u8>>> Read for ChunkReader<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.chunk.position() == self.chunk.get_ref().len() as u64
            && let Some(range) = self.blob.chunk_range(self.next)
        {
            let offset = range.start;
            let bytes = (self.source)(range)?;
            if !verify_chunk(&bytes, &self.blob.chunks[self.next]) {
                return Err(io::Error::other(BlobError::Corrupt { chunk: self.next, offset }));
            }
            self.next += 1;
            self.chunk = io::Cursor::new(bytes);
        }
        self.chunk.read(buffer)
    }
}

/// Verifies every chunk of `file` on all cores.
///
/// Memory is one [`READ_LEN`] per core, whatever the file's size. Work stops soon after a difference, but the chunk in
/// the error is always the first one that differs: a person who repairs a download begins there.
///
/// # Errors
/// See [`BlobError`].
pub fn verify_file(file: &File, expected: &BundleFile) -> Result<(), BlobError> {
    let found = file.metadata().map_err(|source| BlobError::Read { offset: 0, source })?.len();
    if found < expected.len_bytes {
        return Err(BlobError::Truncated { expected: expected.len_bytes, found });
    }
    if found > expected.len_bytes {
        return Err(BlobError::TooLong { expected: expected.len_bytes, found });
    }
    let listed = expected.chunks.len();
    if expected.len_bytes.checked_div(expected.chunk_len_bytes).is_none()
        || expected.len_bytes.div_ceil(expected.chunk_len_bytes) != listed as u64
    {
        // A list that does not cover the file would let the rest of it pass unseen.
        return Err(BlobError::Uncovered { listed });
    }
    let next = AtomicUsize::new(0);
    let first_bad: Mutex<Option<(usize, BlobError)>> = Mutex::new(None);
    let bad_index = AtomicUsize::new(usize::MAX);
    std::thread::scope(|scope| {
        for _ in 0..threads().min(expected.chunks.len()) {
            scope.spawn(|| {
                let mut buffer = vec![0; READ_LEN];
                loop {
                    // Indices are handed out in order, so whatever is below a bad one is already being looked at.
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= expected.chunks.len() || index > bad_index.load(Ordering::Relaxed) {
                        return;
                    }
                    if let Err(error) = verify_one(file, expected, index, &mut buffer) {
                        bad_index.fetch_min(index, Ordering::Relaxed);
                        let mut slot = first_bad.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                        if slot.as_ref().is_none_or(|(known, _)| index < *known) {
                            *slot = Some((index, error));
                        }
                    }
                }
            });
        }
    });
    let first_bad = first_bad.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    first_bad.map_or(Ok(()), |(_, error)| Err(error))
}

fn verify_one(file: &File, expected: &BundleFile, index: usize, buffer: &mut [u8]) -> Result<(), BlobError> {
    let Some(range) = expected.chunk_range(index) else {
        return Err(BlobError::Corrupt { chunk: index, offset: expected.len_bytes });
    };
    let mut hasher = blake3::Hasher::new();
    let mut offset = range.start;
    while offset < range.end {
        let len = usize::try_from(range.end - offset).map_or(buffer.len(), |left| left.min(buffer.len()));
        let piece = &mut buffer[..len];
        file.read_exact_at(piece, offset).map_err(|source| match source.kind() {
            // The file shrank while it was read.
            io::ErrorKind::UnexpectedEof => {
                BlobError::Truncated { expected: expected.len_bytes, found: offset }
            }
            _ => BlobError::Read { offset, source },
        })?;
        hasher.update(piece);
        offset += len as u64;
    }
    if hasher.finalize().as_bytes() == &expected.chunks[index].0 {
        Ok(())
    } else {
        Err(BlobError::Corrupt { chunk: index, offset: range.start })
    }
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}
