//! Taking over a blob that a person hands to the daemon, out of another tool's store: chunk by chunk into quarantine,
//! each verified before it is written. The rest of installing is the same as after a fetch: judged, measured, sealed.
//!
//! The bytes come over the socket, not by a path: a daemon with an account of its own cannot read people's homes, and
//! must not be made to open what they name.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use croft_domain::bundle::BundleFile;
use croft_domain::code::Code;
use croft_trust::digest::verify_chunk;

use super::have::Have;
use crate::failure::Failure;
use crate::state::paths::Paths;

/// Chunks of `blob` that are not here. Empty if all of it is.
///
/// # Errors
/// The disk fails.
pub fn missing(paths: &Paths, blob: &BundleFile) -> Result<Vec<usize>, Failure> {
    if paths.blob(&blob.sha256).is_file() {
        return Ok(Vec::new());
    }
    open(paths, blob).map(|(_, have)| have.missing()).map_err(|e| Failure::caused(Code::StateUnwritable, &e))
}

/// Takes chunk `index`, and says which are missing then.
///
/// # Errors
/// `E-BLOB-CORRUPT` if it is not the approved one, `E-INPUT` if there is no such chunk; the disk fails.
pub fn take(paths: &Paths, blob: &BundleFile, index: usize, bytes: &[u8]) -> Result<Vec<usize>, Failure> {
    let (Some(range), Some(expected)) = (blob.chunk_range(index), blob.chunks.get(index)) else {
        return Err(Failure::new(Code::Input, format!("{} has no chunk {index}", blob.sha256)));
    };
    if bytes.len() as u64 != range.end - range.start || !verify_chunk(bytes, expected) {
        let text = format!("chunk {index} of that file is not the approved one");
        return Err(Failure::new(Code::BlobCorrupt, text));
    }
    let written = || -> io::Result<Vec<usize>> {
        let (part, mut have) = open(paths, blob)?;
        if !have.has(index) {
            part.write_all_at(bytes, range.start)?;
            part.sync_data()?;
            have.set(index)?;
        }
        Ok(have.missing())
    };
    written().map_err(|e| Failure::caused(Code::StateUnwritable, &e))
}

/// The file in quarantine and its bitmap.
fn open(paths: &Paths, blob: &BundleFile) -> io::Result<(File, Have)> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    let part = options.open(paths.part(&blob.sha256))?;
    let mut have = Have::open(&paths.have(&blob.sha256), blob)?;
    if part.metadata()?.len() != blob.len_bytes {
        // A bitmap whose file is gone stands for nothing.
        for index in 0..blob.chunks.len() {
            have.clear(index)?;
        }
        part.set_len(blob.len_bytes)?;
    }
    Ok((part, have))
}

#[cfg(test)]
mod tests {
    use croft_domain::bundle::FileRole;
    use croft_domain::digest::Blake3Digest;
    use croft_domain::evidence::Mode;

    use super::*;
    use crate::state::files::prepare;
    use crate::state::paths::Surroundings;

    fn blob(bytes: &[u8], chunk: usize) -> BundleFile {
        BundleFile {
            role: FileRole::Weights,
            sha256: croft_trust::digest::sha256(bytes),
            len_bytes: bytes.len() as u64,
            chunk_len_bytes: chunk as u64,
            chunks: bytes.chunks(chunk).map(|part| Blake3Digest(*blake3::hash(part).as_bytes())).collect(),
        }
    }

    #[test]
    fn p2_only_approved_chunks_land_and_what_landed_is_remembered() {
        let folder = tempfile::tempdir().expect("a folder");
        let around = Surroundings::default();
        let state = Some(folder.path().join("state"));
        let paths = Paths::resolve(Mode::User, state, None, None, &around).expect("paths");
        prepare(&paths).expect("folders");
        let bytes: Vec<u8> = (0..10_u8).collect();
        let blob = blob(&bytes, 4);
        assert_eq!(missing(&paths, &blob).expect("a list"), [0, 1, 2]);
        assert_eq!(take(&paths, &blob, 1, &bytes[4..8]).expect("taken"), [0, 2]);
        for (index, bad, code) in [
            (0, &bytes[4..8], Code::BlobCorrupt),
            (0, &bytes[..3], Code::BlobCorrupt),
            (2, &bytes[6..10], Code::BlobCorrupt),
            (3, &bytes[..4], Code::Input),
        ] {
            assert_eq!(take(&paths, &blob, index, bad).expect_err("refused").code(), code);
        }
        assert_eq!(take(&paths, &blob, 0, &bytes[..4]).expect("taken"), [2]);
        assert!(take(&paths, &blob, 2, &bytes[8..]).expect("taken").is_empty());
        assert_eq!(std::fs::read(paths.part(&blob.sha256)).expect("the file"), bytes);
        std::fs::remove_file(paths.part(&blob.sha256)).expect("removed");
        assert_eq!(
            missing(&paths, &blob).expect("a list"),
            [0, 1, 2],
            "p9: a bitmap without its file is nothing"
        );
    }
}
