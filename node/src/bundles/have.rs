//! Which chunks of a blob have landed: a bitmap that is on disk before it is believed. A chunk's bytes are synced before
//! its bit is set, so a crash loses at most what was under way, and a bit never stands for bytes that are not there.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use croft_domain::bundle::BundleFile;
use croft_domain::digest::Sha256Digest;

const MAGIC: &[u8; 8] = b"croftHv1";
/// Magic, the blob's digest, and the number of chunks.
const HEADER_LEN: usize = 8 + 32 + 8;

/// The bitmap of one blob.
#[derive(Debug)]
pub struct Have {
    file: File,
    bits: Vec<u8>,
    chunks: usize,
}

impl Have {
    /// Opens the bitmap at `path`, or begins an empty one. One that does not fit the blob is begun anew: the blob's
    /// bytes are then fetched again, which is only slow.
    ///
    /// # Errors
    /// If it cannot be read or written.
    pub fn open(path: &Path, blob: &BundleFile) -> io::Result<Self> {
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let header = header(blob.sha256, blob.chunks.len());
        let len = blob.chunks.len().div_ceil(8);
        let mut stored = Vec::new();
        Read::by_ref(&mut file).take((HEADER_LEN + len + 1) as u64).read_to_end(&mut stored)?;
        let bits = match stored.strip_prefix(header.as_slice()) {
            Some(bits) if bits.len() == len => bits.to_vec(),
            _ => {
                let bits = vec![0; len];
                file.set_len(0)?;
                file.write_all_at(&header, 0)?;
                file.write_all_at(&bits, HEADER_LEN as u64)?;
                file.sync_all()?;
                bits
            }
        };
        Ok(Self { file, bits, chunks: blob.chunks.len() })
    }

    /// Whether chunk `index` has landed.
    #[must_use]
    pub fn has(&self, index: usize) -> bool {
        self.bits.get(index / 8).is_some_and(|byte| byte & (1 << (index % 8)) != 0)
    }

    /// The chunks that have not landed.
    #[must_use]
    pub fn missing(&self) -> Vec<usize> {
        (0..self.chunks).filter(|index| !self.has(*index)).collect()
    }

    /// Says that chunk `index` has landed. To be called after its bytes were synced.
    ///
    /// # Errors
    /// If it cannot be made durable; the chunk then counts as missing.
    pub fn set(&mut self, index: usize) -> io::Result<()> {
        self.write(index, true)
    }

    /// Says that chunk `index` is missing after all.
    ///
    /// # Errors
    /// If it cannot be made durable.
    pub fn clear(&mut self, index: usize) -> io::Result<()> {
        self.write(index, false)
    }

    fn write(&mut self, index: usize, value: bool) -> io::Result<()> {
        let at = index / 8;
        let Some(byte) = self.bits.get_mut(at) else { return Ok(()) };
        let bit = 1 << (index % 8);
        let new = if value { *byte | bit } else { *byte & !bit };
        self.file.write_all_at(&[new], (HEADER_LEN + at) as u64)?;
        self.file.sync_data()?;
        *byte = new;
        Ok(())
    }
}

fn header(digest: Sha256Digest, chunks: usize) -> Vec<u8> {
    let mut header = Vec::with_capacity(HEADER_LEN);
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&digest.0);
    header.extend_from_slice(&(chunks as u64).to_le_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use croft_domain::bundle::FileRole;
    use croft_domain::digest::Blake3Digest;

    fn blob(chunks: usize, mark: u8) -> BundleFile {
        BundleFile {
            role: FileRole::Weights,
            sha256: Sha256Digest([mark; 32]),
            len_bytes: chunks as u64,
            chunk_len_bytes: 1,
            chunks: vec![Blake3Digest([0; 32]); chunks],
        }
    }

    #[test]
    fn p9_what_landed_is_remembered_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.have");
        let mut have = Have::open(&path, &blob(20, 1)).expect("opened");
        for index in [0, 7, 8, 19] {
            have.set(index).expect("set");
        }
        have.clear(7).expect("cleared");
        drop(have);
        let have = Have::open(&path, &blob(20, 1)).expect("opened");
        let landed: Vec<usize> = (0..20).filter(|index| have.has(*index)).collect();
        assert_eq!(landed, [0, 8, 19]);
        assert_eq!(have.missing().len(), 17);
        // A damaged bitmap, and one of another blob, begin anew.
        std::fs::write(&path, b"nonsense").expect("written");
        assert_eq!(Have::open(&path, &blob(20, 1)).expect("opened").missing().len(), 20);
        let mut have = Have::open(&path, &blob(20, 1)).expect("opened");
        have.set(3).expect("set");
        assert_eq!(Have::open(&path, &blob(20, 2)).expect("opened").missing().len(), 20);
    }
}
