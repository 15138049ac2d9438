//! One upload: parts in order, then the judgment. Blocking; callers run it off the async threads.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};

use croft_domain::digest::Sha256Digest;

use super::{BlobError, Blobs, failed};
use crate::limits;

/// An upload in progress. Only one of a blob exists at a time; dropping it keeps what arrived.
#[derive(Debug)]
pub struct Upload {
    blobs: Blobs,
    digest: Sha256Digest,
    len_bytes: u64,
    received: u64,
    file: Option<File>,
}

impl Upload {
    /// Begins or resumes the upload of a blob of `len_bytes` bytes.
    ///
    /// # Errors
    /// [`BlobError::Busy`] while another upload of it runs; [`BlobError::Length`]; or the disk's.
    pub fn begin(blobs: &Blobs, digest: Sha256Digest, len_bytes: u64) -> Result<Self, BlobError> {
        if !(1..=limits::BLOB_LEN_MAX).contains(&len_bytes) {
            return Err(BlobError::Length(digest));
        }
        if !blobs.busy.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(digest) {
            return Err(BlobError::Busy(digest));
        }
        let mut upload = Self { blobs: blobs.clone(), digest, len_bytes, received: 0, file: None };
        if blobs.has(digest, len_bytes) {
            upload.received = len_bytes;
            return Ok(upload);
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(blobs.partial(digest))
            .map_err(failed("open the quarantine", digest))?;
        upload.received =
            file.seek(SeekFrom::End(0)).map_err(failed("find the end of what arrived", digest))?;
        if upload.received > len_bytes {
            return Err(upload.discard());
        }
        upload.file = Some(file);
        Ok(upload)
    }

    /// How many bytes are here.
    #[must_use]
    pub const fn received(&self) -> u64 {
        self.received
    }

    /// Takes the part at `offset`.
    ///
    /// # Errors
    /// [`BlobError::Offset`] if it does not follow; [`BlobError::Length`] if it goes past the end; or the disk's.
    pub fn part(&mut self, offset: u64, data: &[u8]) -> Result<(), BlobError> {
        let Some(file) = &mut self.file else { return Ok(()) };
        if offset != self.received {
            return Err(BlobError::Offset { digest: self.digest, expected: self.received });
        }
        let after = offset.saturating_add(data.len() as u64);
        if after > self.len_bytes {
            return Err(BlobError::Length(self.digest));
        }
        file.write_all(data).map_err(failed("write", self.digest))?;
        self.received = after;
        Ok(())
    }

    /// Makes what arrived durable and, when that is all, judges it. Returns whether the blob is whole now.
    ///
    /// # Errors
    /// [`BlobError::Corrupt`] if the digest is another one; what arrived is gone then. Or the disk's.
    pub fn finish(mut self) -> Result<bool, BlobError> {
        let Some(mut file) = self.file.take() else { return Ok(true) };
        file.sync_all().map_err(failed("make durable", self.digest))?;
        if self.received < self.len_bytes {
            return Ok(false);
        }
        let found = digest_of(&mut file).map_err(failed("read back", self.digest))?;
        if found != self.digest {
            return Err(self.discard());
        }
        // Verified bytes are not to be written again, not even by us.
        let mut permissions =
            file.metadata().map_err(failed("read its permissions", self.digest))?.permissions();
        permissions.set_readonly(true);
        file.set_permissions(permissions).map_err(failed("protect", self.digest))?;
        std::fs::rename(self.blobs.partial(self.digest), self.blobs.path(self.digest))
            .map_err(failed("rename", self.digest))?;
        File::open(&self.blobs.whole)
            .and_then(|folder| folder.sync_all())
            .map_err(failed("make the rename durable", self.digest))?;
        Ok(true)
    }

    fn discard(&self) -> BlobError {
        match std::fs::remove_file(self.blobs.partial(self.digest)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => failed("throw away", self.digest)(e),
            _ => BlobError::Corrupt(self.digest),
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.blobs.busy.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(&self.digest);
    }
}

fn digest_of(file: &mut File) -> io::Result<Sha256Digest> {
    file.seek(SeekFrom::Start(0))?;
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    let mut buffer = vec![0_u8; limits::UPLOAD_PART_LEN_MAX];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            len => context.update(&buffer[..len]),
        }
    }
    let mut out = [0_u8; 32];
    out.copy_from_slice(context.finish().as_ref());
    Ok(Sha256Digest(out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ca::sha256;

    fn blobs() -> (tempfile::TempDir, Blobs) {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        (folder, blobs)
    }

    #[test]
    fn an_upload_resumes_where_it_broke_off() {
        let (_folder, blobs) = blobs();
        let data = b"weights and more weights";
        let digest = sha256(data);
        let len = data.len() as u64;
        let mut upload = Upload::begin(&blobs, digest, len).unwrap();
        upload.part(0, &data[..7]).unwrap();
        assert!(matches!(Upload::begin(&blobs, digest, len), Err(BlobError::Busy(_))));
        assert!(!upload.finish().unwrap());
        assert_eq!(blobs.progress(digest), (7, false));
        let mut upload = Upload::begin(&blobs, digest, len).unwrap();
        assert!(matches!(upload.part(0, &data[..7]), Err(BlobError::Offset { expected: 7, .. })));
        upload.part(7, &data[7..]).unwrap();
        assert!(upload.finish().unwrap());
        assert_eq!(blobs.progress(digest), (len, true));
        assert!(blobs.has(digest, len) && !blobs.has(digest, len + 1));
        assert!(Upload::begin(&blobs, digest, len).unwrap().finish().unwrap());
    }

    #[test]
    fn p2_other_bytes_than_announced_are_thrown_away() {
        let (folder, blobs) = blobs();
        let digest = sha256(b"approved");
        let mut upload = Upload::begin(&blobs, digest, 8).unwrap();
        upload.part(0, b"tampered").unwrap();
        assert!(matches!(upload.finish(), Err(BlobError::Corrupt(_))));
        assert_eq!(blobs.progress(digest), (0, false));
        assert!(blobs.get(digest).unwrap().is_none());
        assert_eq!(std::fs::read_dir(folder.path().join("quarantine")).unwrap().count(), 0);
    }

    #[test]
    fn more_bytes_than_announced_are_refused() {
        let (_folder, blobs) = blobs();
        let mut upload = Upload::begin(&blobs, sha256(b"x"), 1).unwrap();
        assert!(matches!(upload.part(0, b"xy"), Err(BlobError::Length(_))));
        assert!(matches!(Upload::begin(&blobs, sha256(b"y"), 0), Err(BlobError::Length(_))));
    }
}
