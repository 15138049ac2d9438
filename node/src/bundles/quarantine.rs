//! From complete bytes in quarantine to a blob in the store: judged, measured, sealed, renamed. Whoever brought the
//! bytes, this is the only way in.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use croft_domain::bundle::BundleFile;
use croft_domain::code::Code;
use croft_domain::digest::Sha256Digest;
use croft_trust::digest::sha256_reader;
use croft_trust::disk::{sync_dir, write_code};
use rustix::fs::FallocateFlags;

use super::verity;
use super::vet::Vetting;
use crate::failure::Failure;
use crate::state::paths::Paths;

/// A failed write as a failure: a full disk has a code of its own.
pub fn unwritable(error: &io::Error) -> Failure {
    Failure::caused(write_code(error), error)
}

/// Gives a new file its length and its room on disk, so that a full disk is met before anything is fetched.
///
/// # Errors
/// There is no room.
pub fn reserve(file: &File, len_bytes: u64) -> io::Result<()> {
    file.set_len(len_bytes)?;
    if len_bytes == 0 {
        return Ok(());
    }
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, len_bytes) {
        // Not every filesystem can; a full disk is then met while writing.
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS | rustix::io::Errno::INVAL) => Ok(()),
        reserved => Ok(reserved?),
    }
}

/// Has the file at `path` judged in a confined process.
///
/// # Errors
/// `E-VET-REFUSED` with the broken rule, `E-BLOB-MISSING` if it is gone.
pub async fn vet(path: &Path, vetting: &Vetting) -> Result<(), Failure> {
    let file = File::open(path).map_err(|e| Failure::caused(Code::BlobMissing, &e))?;
    vetting.judge(&file).await
}

/// Whether the file at `path` is, whole, the approved one.
///
/// # Errors
/// It cannot be read.
pub fn is_approved(path: &Path, blob: &BundleFile) -> io::Result<bool> {
    let (digest, len) = sha256_reader(File::open(path)?)?;
    Ok(digest == blob.sha256 && len == blob.len_bytes)
}

/// Takes away the permission to write, syncs, and seals where the filesystem can.
///
/// # Errors
/// The disk fails, or what was sealed is not the approved file.
pub fn seal(paths: &Paths, path: &Path, blob: &BundleFile) -> Result<(), Failure> {
    let file = File::open(path).map_err(|e| unwritable(&e))?;
    file.set_permissions(Permissions::from_mode(0o444)).map_err(|e| unwritable(&e))?;
    file.sync_all().map_err(|e| unwritable(&e))?;
    verity::protect(paths, blob, &file).map(drop).map_err(|e| Failure::caused(e.code(), &e))
}

/// Renames a sealed file into the store, durably.
///
/// # Errors
/// The disk fails.
pub fn store(paths: &Paths, path: &Path, digest: &Sha256Digest) -> io::Result<()> {
    let target: PathBuf = paths.blob(digest);
    std::fs::rename(path, &target)?;
    target.parent().map_or(Ok(()), |folder| sync_dir(folder).map_err(|e| e.source))
}

/// Removes what an import that a crash cut off left behind.
pub fn sweep(paths: &Paths) {
    let Ok(entries) = std::fs::read_dir(paths.store().join("quarantine")) else { return };
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        if path.extension().is_some_and(|extension| extension == "incoming") {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Removes a blob from the store, with what was recorded of it.
///
/// # Errors
/// It cannot be removed.
pub fn remove(paths: &Paths, digest: &Sha256Digest) -> io::Result<()> {
    let removed = std::fs::remove_file(paths.blob(digest));
    verity::forget(paths, digest);
    removed
}
