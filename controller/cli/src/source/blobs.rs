//! Blobs by digest: the one door into the stores of other tools. It takes a parsed digest, and opens a regular file in
//! one folder without following a link.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use croft_domain::digest::Sha256Digest;
use rustix::fs::{Mode, OFlags, open, openat};

use super::{Piece, refused};
use crate::error::CtlError;

/// How a store writes a digest as a file's name.
#[derive(Clone, Copy, Debug)]
pub enum Naming {
    /// The 64 digits.
    Hex,
    /// `sha256-` and the digits.
    Dash,
}

/// A folder of blobs, open.
#[derive(Debug)]
pub struct Blobs {
    folder: OwnedFd,
    path: PathBuf,
    naming: Naming,
}

impl Blobs {
    /// Opens the folder.
    ///
    /// # Errors
    /// It is not there, or a link.
    pub fn open(path: &Path, naming: Naming) -> Result<Self, CtlError> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
        let folder = open(path, flags, Mode::empty())
            .map_err(|e| CtlError::FileRead { path: path.to_owned(), source: e.into() })?;
        Ok(Self { folder, path: path.to_owned(), naming })
    }

    /// Opens one blob.
    ///
    /// # Errors
    /// It is not there, a link, or no regular file.
    pub fn piece(&self, digest: Sha256Digest) -> Result<Piece, CtlError> {
        let name = match self.naming {
            Naming::Hex => digest.hex(),
            Naming::Dash => format!("sha256-{}", digest.hex()),
        };
        let path = self.path.join(&name);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = openat(&self.folder, name.as_str(), flags, Mode::empty())
            .map_err(|e| CtlError::FileRead { path: path.clone(), source: e.into() })?;
        let file = File::from(file);
        if !file.metadata().is_ok_and(|meta| meta.is_file()) {
            return Err(refused(&path, "is no regular file"));
        }
        Ok(Piece { path, file, digest: Some(digest) })
    }

    /// Reads one small blob, whose bytes must be those of its digest.
    ///
    /// # Errors
    /// As [`Self::piece`]; it is longer than `len_max` bytes, or its bytes are others.
    pub fn read(&self, digest: Sha256Digest, len_max: u64) -> Result<Vec<u8>, CtlError> {
        let piece = self.piece(digest)?;
        let mut bytes = Vec::new();
        let read = piece.file.take(len_max + 1).read_to_end(&mut bytes);
        read.map_err(|source| CtlError::FileRead { path: piece.path.clone(), source })?;
        if bytes.len() as u64 > len_max {
            return Err(refused(&piece.path, format!("is longer than {len_max} bytes")));
        }
        let found = croft_trust::digest::sha256(&bytes);
        if found != digest {
            return Err(CtlError::WrongDigest { path: piece.path, expected: digest, found });
        }
        Ok(bytes)
    }
}
