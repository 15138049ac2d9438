//! Taking in bundle bytes. Disk work leaves the async threads; the verdict on the bytes is the blob folder's.

use bytes::Bytes;
use croft_domain::digest::Sha256Digest;
use croft_domain::time::Timestamp;

use super::{Actor, App, AppError};
use crate::blobs::{BlobError, Upload};

impl App {
    /// How many bytes of a blob are here, and whether that is all of it.
    #[must_use]
    pub fn query_blob(&self, digest: Sha256Digest) -> (u64, bool) {
        self.blobs.progress(digest)
    }

    /// Begins or resumes an upload.
    ///
    /// # Errors
    /// See [`BlobError`].
    pub async fn begin_upload(&self, digest: Sha256Digest, len_bytes: u64) -> Result<Upload, AppError> {
        let blobs = self.blobs.clone();
        off_thread(move || Upload::begin(&blobs, digest, len_bytes)).await
    }

    /// Takes one part; gives the upload back for the next.
    ///
    /// # Errors
    /// See [`BlobError`].
    pub async fn upload_part(
        &self,
        mut upload: Upload,
        offset: u64,
        data: Bytes,
    ) -> Result<Upload, AppError> {
        off_thread(move || upload.part(offset, &data).map(|()| upload)).await
    }

    /// Ends an upload. Returns how many bytes are here, and whether the blob is whole and verified.
    ///
    /// # Errors
    /// [`BlobError::Corrupt`] among others.
    pub async fn finish_upload(
        &self,
        actor: &Actor,
        digest: Sha256Digest,
        upload: Upload,
        now: Timestamp,
    ) -> Result<(u64, bool), AppError> {
        let received = upload.received();
        let complete = off_thread(move || upload.finish()).await?;
        if complete {
            self.audit(actor, "blob.upload", &digest.to_string(), &format!("{received} bytes"), now).await?;
        }
        Ok((received, complete))
    }
}

async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BlobError> + Send + 'static,
) -> Result<T, AppError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| AppError::Internal("a disk task ended early"))?
        .map_err(AppError::Blob)
}
