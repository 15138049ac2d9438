//! fs-verity (Linux, ext4, f2fs and btrfs): the kernel seals a file and checks every block of it as it is read, so that
//! verifying at load takes no reading. What the kernel measured is kept apart from the store and bound to the digest that
//! the fleet signed; where a filesystem has no fs-verity, every load verifies every chunk instead.
//!
//! The digest alone proves nothing about content: it is recorded only after every chunk was verified over the sealed
//! file, which nobody can change any more.
#![allow(unsafe_code)] // fs-verity is asked for by ioctl, which no safe wrapper offers.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use croft_domain::bundle::BundleFile;
use croft_domain::digest::Sha256Digest;
use croft_trust::digest::verify_file;
use serde::{Deserialize, Serialize};

use crate::state::files::{StateError, read_json, write_json};
use crate::state::paths::Paths;

/// What the kernel measured of a stored blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Measured {
    /// The blob.
    sha256: Sha256Digest,
    /// Its length, in bytes.
    len_bytes: u64,
    /// Its fs-verity digest with SHA-256 and blocks of 4096 bytes.
    verity: Sha256Digest,
}

/// `struct fsverity_enable_arg` of `linux/fsverity.h`.
#[repr(C)]
struct EnableArgument {
    version: u32,
    hash_algorithm: u32,
    block_size: u32,
    salt_size: u32,
    salt_ptr: u64,
    sig_size: u32,
    reserved1: u32,
    sig_ptr: u64,
    reserved2: [u64; 11],
}

/// `struct fsverity_digest` with room for the only digest that we ask for.
#[repr(C)]
struct DigestArgument {
    algorithm: u16,
    size: u16,
    digest: [u8; 32],
}

const FS_IOC_ENABLE_VERITY: libc::Ioctl = request(1, 133, size_of::<EnableArgument>());
const FS_IOC_MEASURE_VERITY: libc::Ioctl = request(3, 134, 4);
const SHA256: u32 = 1;
const BLOCK_SIZE: u32 = 4096;

/// `_IOC(direction, 'f', number, size)` as most architectures have it.
const fn request(direction: u64, number: u64, size: usize) -> libc::Ioctl {
    (direction << 30 | (size as u64) << 16 | (b'f' as u64) << 8 | number) as libc::Ioctl
}

/// Seals a file for good. It must be open for reading only, and nobody may have it open for writing.
///
/// # Errors
/// The filesystem or kernel cannot, or somebody writes.
pub fn enable(file: &File) -> io::Result<()> {
    let argument = EnableArgument {
        version: 1,
        hash_algorithm: SHA256,
        block_size: BLOCK_SIZE,
        salt_size: 0,
        salt_ptr: 0,
        sig_size: 0,
        reserved1: 0,
        sig_ptr: 0,
        reserved2: [0; 11],
    };
    // SAFETY: the argument is the kernel's struct, lives until the call returns, and is only read.
    let done = unsafe { libc::ioctl(file.as_raw_fd(), FS_IOC_ENABLE_VERITY, &raw const argument) };
    match done {
        0 => Ok(()),
        _ => match io::Error::last_os_error() {
            // Sealed before a crash.
            e if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            e => Err(e),
        },
    }
}

/// What the kernel vouches for, if the file is sealed as we seal.
#[must_use]
pub fn measure(file: &File) -> Option<Sha256Digest> {
    let mut argument = DigestArgument { algorithm: 0, size: 32, digest: [0; 32] };
    // SAFETY: the kernel writes at most `size` bytes behind the header, and there is room for exactly as many.
    let done = unsafe { libc::ioctl(file.as_raw_fd(), FS_IOC_MEASURE_VERITY, &raw mut argument) };
    let is_ours = done == 0 && u32::from(argument.algorithm) == SHA256 && argument.size == 32;
    is_ours.then_some(Sha256Digest(argument.digest))
}

/// Seals a complete file and records what the kernel measured, after every chunk was verified over the sealed file.
/// Says whether it is sealed; where the filesystem has no fs-verity it is not, and nothing is lost but time at each load.
///
/// # Errors
/// The sealed file is not the approved one, or what was measured cannot be kept.
pub fn protect(paths: &Paths, blob: &BundleFile, file: &File) -> Result<bool, VerityError> {
    if let Err(e) = enable(file) {
        tracing::debug!(error = %e, "no fs-verity here: every load verifies every chunk");
        return Ok(false);
    }
    let Some(verity) = measure(file) else { return Ok(false) };
    verify_file(file, blob)?;
    let measured = Measured { sha256: blob.sha256, len_bytes: blob.len_bytes, verity };
    write_json(&paths.verity(&blob.sha256), &measured)?;
    Ok(true)
}

/// Whether the kernel vouches that this open file is what was verified when it was installed.
#[must_use]
pub fn vouches(paths: &Paths, blob: &BundleFile, file: &File) -> bool {
    let Some(verity) = measure(file) else { return false };
    // A damaged record vouches for nothing; the chunks are verified then.
    let recorded: Option<Measured> = read_json(&paths.verity(&blob.sha256)).ok().flatten();
    recorded == Some(Measured { sha256: blob.sha256, len_bytes: blob.len_bytes, verity })
}

/// Forgets what was measured of a blob that is gone.
pub fn forget(paths: &Paths, digest: &Sha256Digest) {
    let _ = std::fs::remove_file(paths.verity(digest));
}

/// A file could not be sealed so that it counts.
#[derive(Debug, thiserror::Error)]
pub enum VerityError {
    /// It is not the approved one.
    #[error("the sealed file is not the approved one")]
    Blob(#[from] croft_trust::digest::BlobError),
    /// What was measured cannot be kept.
    #[error("cannot keep what was measured")]
    State(#[from] StateError),
}

impl VerityError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> croft_domain::code::Code {
        match self {
            Self::Blob(e) => e.code(),
            Self::State(e) => e.code(),
        }
    }
}

const _: () = assert!(size_of::<EnableArgument>() == 128 && size_of::<DigestArgument>() == 36);

#[cfg(test)]
#[path = "verity_tests.rs"]
pub(crate) mod tests;
