//! The parts of an archive, as one caller streams them, for a reader that blocks. What is not read yet stays with the
//! caller.

use std::io::{self, Cursor, Read};

use croft_proto::grpc::ImportArchiveRequest;
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use crate::limits::{IMPORT_PART_LEN_MAX, IMPORT_QUEUE};

/// Reads what comes.
pub struct Parts {
    queue: mpsc::Receiver<Result<Vec<u8>, Status>>,
    part: Cursor<Vec<u8>>,
}

impl Parts {
    /// Begins to take parts from `stream`, as many as wait in the queue.
    #[must_use]
    pub fn new(mut stream: Streaming<ImportArchiveRequest>) -> Self {
        let (sender, queue) = mpsc::channel(IMPORT_QUEUE);
        tokio::spawn(async move {
            while let Some(part) = stream.message().await.transpose() {
                let is_last = part.is_err();
                if sender.send(part.map(|part| part.data)).await.is_err() || is_last {
                    return;
                }
            }
        });
        Self { queue, part: Cursor::new(Vec::new()) }
    }
}

impl Read for Parts {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.part.position() == self.part.get_ref().len() as u64 {
            match self.queue.blocking_recv() {
                None => return Ok(0),
                Some(Ok(part)) if part.len() <= IMPORT_PART_LEN_MAX => self.part = Cursor::new(part),
                Some(Ok(_)) => return Err(io::Error::other("a part is longer than 2 MiB")),
                Some(Err(status)) => return Err(io::Error::other(status)),
            }
        }
        self.part.read(buffer)
    }
}
