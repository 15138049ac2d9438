//! A blob that comes out of an archive: landed in quarantine under a name of its own, so that a fetch of the same blob
//! is not disturbed, and removed again unless it gets into the store.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use croft_domain::bundle::BundleFile;
use croft_domain::code::Code;
use croft_domain::digest::Sha256Digest;
use croft_trust::digest::verify_chunk;

use super::quarantine::{self, reserve, unwritable};
use super::verity;
use super::vet::Vetting;
use crate::failure::Failure;
use crate::state::paths::Paths;

/// A blob in quarantine.
#[derive(Debug)]
pub struct Landed {
    blob: BundleFile,
    paths: Paths,
    path: PathBuf,
    is_stored: bool,
}

/// Takes a blob's bytes from `reader`, each chunk verified before it is written.
///
/// # Errors
/// `E-BLOB-CORRUPT`, `E-ARCHIVE-REFUSED` if the bytes end early, `E-DISK-FULL`.
pub fn land(reader: &mut dyn Read, blob: &BundleFile, paths: &Paths) -> Result<Landed, Failure> {
    let path = paths.incoming(&blob.sha256);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&path)
        .map_err(|e| unwritable(&e))?;
    // From here on the file goes with the value.
    let landed = Landed { blob: blob.clone(), paths: paths.clone(), path, is_stored: false };
    reserve(&file, blob.len_bytes).map_err(|e| unwritable(&e))?;
    pour(reader, blob, &mut file)?;
    file.sync_all().map_err(|e| unwritable(&e))?;
    Ok(landed)
}

fn pour(reader: &mut dyn Read, blob: &BundleFile, file: &mut File) -> Result<(), Failure> {
    let mut bytes = Vec::new();
    for (index, expected) in blob.chunks.iter().enumerate() {
        let Some(range) = blob.chunk_range(index) else { continue };
        bytes.resize(usize::try_from(range.end - range.start).unwrap_or(usize::MAX), 0);
        reader.read_exact(&mut bytes).map_err(|e| Failure::caused(Code::ArchiveRefused, &e))?;
        if !verify_chunk(&bytes, expected) {
            let text = format!("chunk {index} of {} in the archive is not the approved one", blob.sha256);
            return Err(Failure::new(Code::BlobCorrupt, text));
        }
        file.write_all(&bytes).map_err(|e| unwritable(&e))?;
    }
    Ok(())
}

impl Landed {
    /// Which blob.
    #[must_use]
    pub const fn digest(&self) -> Sha256Digest {
        self.blob.sha256
    }

    /// Has it judged, measured and sealed, as after a fetch.
    ///
    /// # Errors
    /// `E-VET-REFUSED`, `E-BLOB-CORRUPT`, or the disk's failure; the file is gone then.
    pub async fn judge(self, vetting: &Vetting) -> Result<Self, Failure> {
        quarantine::vet(&self.path, vetting).await?;
        let sealed = tokio::task::spawn_blocking(move || {
            let is_approved = quarantine::is_approved(&self.path, &self.blob);
            if !is_approved.map_err(|e| Failure::caused(Code::BlobCorrupt, &e))? {
                return Err(Failure::new(Code::BlobCorrupt, "the bytes on disk differ from what landed"));
            }
            quarantine::seal(&self.paths, &self.path, &self.blob)?;
            Ok(self)
        });
        sealed.await.map_err(|e| Failure::caused(Code::Internal, &e))?
    }

    /// Brings it into the store.
    ///
    /// # Errors
    /// The disk fails.
    pub fn store(mut self) -> std::io::Result<()> {
        quarantine::store(&self.paths, &self.path, &self.blob.sha256)?;
        self.is_stored = true;
        Ok(())
    }
}

impl Drop for Landed {
    fn drop(&mut self) {
        if !self.is_stored {
            let _ = std::fs::remove_file(&self.path);
            if !self.paths.blob(&self.blob.sha256).exists() {
                verity::forget(&self.paths, &self.blob.sha256);
            }
        }
    }
}
