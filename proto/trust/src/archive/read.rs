//! Reading an archive from front to back. Memory is bounded by what is read, never by what a header says.

use std::collections::BTreeMap;
use std::io::{self, Read};

use croft_domain::digest::Sha256Digest;
use croft_domain::signed::Envelope;

use super::{ArchiveError, Documents, Header, Place};
use crate::envelope::StoredEnvelope;
use crate::limits::{
    ARCHIVE_ENVELOPE_LEN_MAX, ARCHIVE_HEADER_LEN_MAX, ARCHIVE_LEASES_MAX, ARCHIVE_RECALLS_MAX,
    ARCHIVE_TRUST_FILES_MAX, ARCHIVE_TRUST_LEN_MAX, BUNDLE_TARGET_LEN_MAX,
};
use crate::tar::Reader;

/// An archive that is being read. After [`Self::next_blob`], [`Read`] gives that blob's bytes.
#[derive(Debug)]
pub struct Incoming<R> {
    tar: Option<Reader<R>>,
    last: Option<Place>,
    /// A blob whose header was read while looking for more documents.
    pending: Option<(Sha256Digest, u64)>,
}

impl<R: Read> Incoming<R> {
    /// Reads everything before the first blob.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub fn open(reader: R) -> Result<(Self, Documents), ArchiveError> {
        let mut archive = Self { tar: Some(Reader::new(reader)), last: None, pending: None };
        let header = archive.header()?;
        let mut documents =
            Documents { header, trust: BTreeMap::new(), recalls: BTreeMap::new(), leases: BTreeMap::new() };
        let mut budget = ARCHIVE_TRUST_LEN_MAX;
        while let Some((place, len)) = archive.next_place()? {
            let name = place.name();
            let full = |count: usize, max: usize| {
                if count < max { Ok(()) } else { Err(ArchiveError::entry(&name, "fewer files")) }
            };
            match place {
                Place::Trust(file) => {
                    full(documents.trust.len(), ARCHIVE_TRUST_FILES_MAX)?;
                    let bytes = archive.body(&name, len, BUNDLE_TARGET_LEN_MAX.min(budget))?;
                    budget -= len;
                    documents.trust.insert(file, bytes);
                }
                Place::Recall(id) => {
                    full(documents.recalls.len(), ARCHIVE_RECALLS_MAX)?;
                    documents.recalls.insert(id, archive.envelope(&name, len)?);
                }
                Place::Lease(node) => {
                    full(documents.leases.len(), ARCHIVE_LEASES_MAX)?;
                    documents.leases.insert(node, archive.envelope(&name, len)?);
                }
                Place::Blob(digest) => {
                    archive.pending = Some((digest, len));
                    break;
                }
                Place::Header => return Err(ArchiveError::entry(&name, "one header, in front")),
            }
        }
        Ok((archive, documents))
    }

    fn header(&mut self) -> Result<Header, ArchiveError> {
        let missing = || ArchiveError::entry("(first)", "croft-archive.json");
        let Some((Place::Header, len)) = self.next_place()? else { return Err(missing()) };
        let name = Place::Header.name();
        let bytes = self.body(&name, len, ARCHIVE_HEADER_LEN_MAX)?;
        let header: Header = serde_json::from_slice(&bytes)
            .map_err(|_| ArchiveError::entry(&name, "schema, fleet and bundles as JSON"))?;
        if header.schema != 1 {
            return Err(ArchiveError::entry(&name, "schema 1; a newer archive needs a newer Croft"));
        }
        if !header.bundles.is_sorted_by(|a, b| a < b) {
            return Err(ArchiveError::entry(&name, "bundles in rising order"));
        }
        Ok(header)
    }

    /// The next blob and its length in bytes, both claims; none at the archive's end, which is checked to be its end.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub fn next_blob(&mut self) -> Result<Option<(Sha256Digest, u64)>, ArchiveError> {
        if let Some(pending) = self.pending.take() {
            return Ok(Some(pending));
        }
        match self.next_place()? {
            Some((Place::Blob(digest), len)) => Ok(Some((digest, len))),
            Some((place, _)) => Err(ArchiveError::entry(&place.name(), "documents before blobs")),
            None => Ok(None),
        }
    }

    fn next_place(&mut self) -> Result<Option<(Place, u64)>, ArchiveError> {
        let Some(tar) = &mut self.tar else { return Ok(None) };
        let Some(entry) = tar.next_entry()? else {
            if let Some(tar) = self.tar.take() {
                tar.finish()?;
            }
            return Ok(None);
        };
        let place = Place::parse(&entry.name)
            .ok_or_else(|| ArchiveError::entry(&entry.name, "a name that an archive has"))?;
        if self.last.as_ref().is_some_and(|last| *last >= place) {
            return Err(ArchiveError::entry(&entry.name, "each name once, in rising order"));
        }
        self.last = Some(place.clone());
        Ok(Some((place, entry.len_bytes)))
    }

    fn body(&mut self, name: &str, len: u64, len_max: u64) -> Result<Vec<u8>, ArchiveError> {
        if len > len_max {
            return Err(ArchiveError::entry(name, "a shorter file"));
        }
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)
            .map_err(|source| crate::tar::TarError::Io { offset: self.offset(), source })?;
        Ok(bytes)
    }

    fn envelope(&mut self, name: &str, len: u64) -> Result<Envelope, ArchiveError> {
        let bytes = self.body(name, len, ARCHIVE_ENVELOPE_LEN_MAX)?;
        let malformed = || ArchiveError::entry(name, "payload, signature and key_id as JSON");
        let stored: StoredEnvelope = serde_json::from_slice(&bytes).map_err(|_| malformed())?;
        Envelope::try_from(&stored).map_err(|_| malformed())
    }

    fn offset(&self) -> u64 {
        self.tar.as_ref().map_or(0, Reader::offset)
    }
}

impl<R: Read> Read for Incoming<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.tar.as_mut().map_or(Ok(0), |tar| tar.read(buffer))
    }
}
