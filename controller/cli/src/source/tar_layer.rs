//! The one GGUF file in a tar layer, compressed or not. It is written under a name of ours; the archive's names only say
//! which file it is. The layer's own digest is checked while it is read.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use croft_trust::digest::sha256_reader;
use croft_trust::tar::{Reader, TarError};

use super::{Piece, Scratch, folder, refused};
use crate::error::CtlError;
use crate::limits::{EXPANSION_FREE_LEN, EXPANSION_MAX, FOLDER_ENTRIES_MAX};

/// How a layer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// By gzip.
    Gzip,
    /// By zstd.
    Zstd,
}

impl Packing {
    /// The archive within `file`, which ends with an error where it becomes longer than weights can.
    fn open(self, file: File) -> io::Result<Box<dyn Read>> {
        let left = file.metadata()?.len().saturating_mul(EXPANSION_MAX).max(EXPANSION_FREE_LEN);
        let packed = io::BufReader::with_capacity(1 << 20, file);
        Ok(match self {
            Self::Plain => Box::new(packed),
            Self::Gzip => Box::new(Bounded { reader: flate2::bufread::GzDecoder::new(packed), left }),
            Self::Zstd => {
                let reader = ruzstd::decoding::StreamingDecoder::new(packed).map_err(io::Error::other)?;
                Box::new(Bounded { reader, left })
            }
        })
    }
}

/// A reader that gives so many bytes and then an error.
struct Bounded<R> {
    reader: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(into)?;
        let too_long = || io::Error::new(io::ErrorKind::FileTooLarge, "it expands more than 100 times");
        self.left = self.left.checked_sub(count as u64).ok_or_else(too_long)?;
        Ok(count)
    }
}

/// Unpacks the weights of a layer into `scratch`.
pub fn unpack(layer: Piece, packing: Packing, scratch: &Scratch, number: usize) -> Result<Piece, CtlError> {
    let Piece { path, mut file, digest } = layer;
    let read = |source| CtlError::FileRead { path: path.clone(), source };
    let (found, _) = sha256_reader(&file).map_err(read)?;
    if let Some(expected) = digest.filter(|expected| *expected != found) {
        return Err(CtlError::WrongDigest { path, expected, found });
    }
    file.seek(SeekFrom::Start(0)).map_err(read)?;
    let mut archive = Reader::new(packing.open(file).map_err(read)?);
    let broken = |e: TarError| match e {
        TarError::Io { source, .. } => CtlError::FileRead { path: path.clone(), source },
        e @ TarError::Malformed { .. } => refused(&path, e.to_string()),
    };
    let target = scratch.folder()?.join(format!("weights-{number}.gguf"));
    let mut taken = false;
    for _ in 0..FOLDER_ENTRIES_MAX {
        let Some(entry) = archive.next_entry().map_err(broken)? else { break };
        let name = entry.name.rsplit('/').next().unwrap_or_default();
        if !folder::is_weights(name) {
            continue;
        }
        if taken {
            return Err(refused(&path, "holds more than one GGUF file; unpack it and import the folder"));
        }
        taken = true;
        write(&mut archive, &target).map_err(|e| e.into_error(&path, &target))?;
    }
    if !taken {
        return Err(refused(&path, "holds no GGUF file"));
    }
    let file = File::open(&target).map_err(|source| CtlError::FileRead { path: target.clone(), source })?;
    Ok(Piece { path: target, file, digest: None })
}

enum CopyError {
    Read(io::Error),
    Write(io::Error),
}

impl CopyError {
    fn into_error(self, from: &Path, to: &Path) -> CtlError {
        match self {
            Self::Read(source) => CtlError::FileRead { path: from.to_owned(), source },
            Self::Write(source) => CtlError::FileWrite { path: to.to_owned(), source },
        }
    }
}

fn write(from: &mut impl Read, target: &Path) -> Result<(), CopyError> {
    let to = File::options().write(true).create_new(true).mode(0o600).open(target);
    let mut to = to.map_err(CopyError::Write)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = from.read(&mut buffer).map_err(CopyError::Read)?;
        if count == 0 {
            return to.sync_all().map_err(CopyError::Write);
        }
        io::Write::write_all(&mut to, &buffer[..count]).map_err(CopyError::Write)?;
    }
}
