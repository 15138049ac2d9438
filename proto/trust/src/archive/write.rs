//! Writing an archive: the same contents are the same bytes, whoever writes them and when.

use std::io::{self, Read, Write};

use croft_domain::digest::Sha256Digest;

use super::{Documents, Place};
use crate::envelope::StoredEnvelope;
use crate::tar::Writer;

/// An archive that is being written.
#[derive(Debug)]
pub struct Outgoing<W> {
    tar: Writer<W>,
    last: Option<Sha256Digest>,
}

impl<W: Write> Outgoing<W> {
    /// Begins an archive with everything but the bytes of models.
    ///
    /// # Errors
    /// Writing fails.
    pub fn begin(inner: W, documents: &Documents) -> io::Result<Self> {
        let mut tar = Writer::new(inner);
        let mut put =
            |place: Place, bytes: &[u8]| tar.file(&place.name(), bytes.len() as u64, &mut &bytes[..]);
        put(Place::Header, &serde_json::to_vec(&documents.header)?)?;
        for (name, bytes) in &documents.trust {
            put(Place::Trust(name.clone()), bytes)?;
        }
        for (id, envelope) in &documents.recalls {
            put(Place::Recall(*id), &serde_json::to_vec(&StoredEnvelope::from(envelope))?)?;
        }
        for (node, envelope) in &documents.leases {
            put(Place::Lease(*node), &serde_json::to_vec(&StoredEnvelope::from(envelope))?)?;
        }
        Ok(Self { tar, last: None })
    }

    /// Writes one blob of `len_bytes` bytes. Blobs come in rising order of their digests.
    ///
    /// # Errors
    /// The order is another, `content` has another length, or writing fails.
    pub fn blob(&mut self, digest: Sha256Digest, len_bytes: u64, content: &mut dyn Read) -> io::Result<()> {
        if self.last.is_some_and(|last| last >= digest) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "blobs in rising order"));
        }
        self.last = Some(digest);
        self.tar.file(&Place::Blob(digest).name(), len_bytes, content)
    }

    /// Writes the end, and gives back what was written to.
    ///
    /// # Errors
    /// Writing fails.
    pub fn finish(self) -> io::Result<W> {
        self.tar.finish()
    }
}
