//! One upload: a thread reads parts of a file, a bounded queue holds them, gRPC takes them out. Memory stays flat
//! however large the file and however slow the network.

use std::fs::File;
use std::os::unix::fs::FileExt;

use croft_domain::bundle::BundleFile;
use croft_proto::grpc::UploadBlobRequest;
use futures_util::stream::poll_fn;
use indicatif::ProgressBar;
use tokio::sync::mpsc;

use crate::client::{Admin, refused};
use crate::error::CtlError;
use crate::limits::{UPLOAD_PART_LEN, UPLOAD_QUEUE};

/// Sends `file` from `offset` on. Success means that the controller took what it got, not that the blob is complete.
///
/// # Errors
/// The file cannot be read, or the controller refuses.
pub async fn run(
    admin: &mut Admin,
    file: &File,
    expected: &BundleFile,
    offset: u64,
    bar: &ProgressBar,
) -> Result<(), CtlError> {
    let (sender, mut receiver) = mpsc::channel(UPLOAD_QUEUE);
    let read = |source| CtlError::Process { operation: "read the file while uploading", source };
    let reader = Reader {
        file: file.try_clone().map_err(read)?,
        sha256: expected.sha256.0.to_vec(),
        len_bytes: expected.len_bytes,
        bar: bar.clone(),
    };
    let reading = tokio::task::spawn_blocking(move || reader.run(offset, &sender));
    let answer = admin.upload_blob(poll_fn(move |context| receiver.poll_recv(context))).await;
    // The stream is gone by now, so the reader ends at its next part at the latest.
    let finished = reading.await.map_err(|e| read(std::io::Error::other(e)))?;
    answer.map_err(refused("upload a blob"))?;
    finished.map_err(read)
}

struct Reader {
    file: File,
    sha256: Vec<u8>,
    len_bytes: u64,
    bar: ProgressBar,
}

impl Reader {
    fn run(&self, mut offset: u64, sender: &mpsc::Sender<UploadBlobRequest>) -> std::io::Result<()> {
        while offset < self.len_bytes {
            let left = usize::try_from(self.len_bytes - offset).unwrap_or(usize::MAX);
            let mut data = vec![0; left.min(UPLOAD_PART_LEN)];
            self.file.read_exact_at(&mut data, offset)?;
            let next = offset + data.len() as u64;
            let part =
                UploadBlobRequest { sha256: self.sha256.clone(), len_bytes: self.len_bytes, offset, data };
            if sender.blocking_send(part).is_err() {
                // The controller ended the call; its answer says why.
                return Ok(());
            }
            offset = next;
            self.bar.set_position(offset);
        }
        Ok(())
    }
}
