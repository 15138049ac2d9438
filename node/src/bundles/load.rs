//! Opening an installed model: at every load, the kernel vouches for it (fs-verity) or every chunk is verified on all
//! cores, over the descriptor that the worker then gets.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;

use croft_domain::bundle::BundleFile;
use croft_domain::code::Code;
use croft_trust::digest::verify_file;

use super::verity;
use crate::failure::Failure;
use crate::state::paths::Paths;

/// Opens and verifies a blob of the store. Blocks for as long as reading it takes, unless the kernel vouches for it.
///
/// # Errors
/// `E-BLOB-MISSING` if it is not there, `E-BLOB-TRUNCATED` or `E-BLOB-CORRUPT` if it is not what was approved.
pub fn open_verified(paths: &Paths, blob: &BundleFile) -> Result<File, Failure> {
    let path = paths.blob(&blob.sha256);
    // No link is followed: the store holds files that were put there, and nothing else.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&path)
        .map_err(|e| Failure::caused(Code::BlobMissing, &e))?;
    let is_file = file.metadata().is_ok_and(|meta| meta.is_file());
    if !is_file {
        return Err(Failure::new(Code::BlobCorrupt, "what is in the store is no file"));
    }
    if verity::vouches(paths, blob, &file) {
        return Ok(file);
    }
    verify_file(&file, blob).map_err(|e| Failure::caused(e.code(), &e))?;
    Ok(file)
}

/// Opens and verifies all files of a bundle, in their order.
///
/// # Errors
/// As [`open_verified`].
pub fn open_all(paths: &Paths, blobs: &[BundleFile]) -> Result<Vec<File>, Failure> {
    blobs.iter().map(|blob| open_verified(paths, blob)).collect()
}

/// Opens the files of a bundle without verifying them: for the linter, which believes nothing.
///
/// # Errors
/// `E-BLOB-MISSING` if one is not there.
pub fn open_unverified(paths: &Paths, blobs: &[BundleFile]) -> Result<Vec<File>, Failure> {
    let open = |blob: &BundleFile| {
        OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(paths.blob(&blob.sha256))
    };
    blobs.iter().map(open).collect::<Result<_, _>>().map_err(|e| Failure::caused(Code::BlobMissing, &e))
}
