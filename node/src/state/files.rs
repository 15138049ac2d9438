//! Reading and writing small state files as JSON, with one error that tells damage from a full or read-only disk.

use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use croft_domain::code::Code;
use croft_trust::disk::{DiskError, create_private_dir, write_durable};
use rustix::fs::OFlags;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::limits::STATE_FILE_LEN_MAX;

/// The node's state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It cannot be written.
    #[error("cannot write the node's state")]
    Write(#[from] DiskError),
    /// It cannot be read, though it is there.
    #[error("cannot read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is there and is not what was written.
    #[error("{path} is damaged: {detail}")]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// In which way.
        detail: String,
    },
    /// A key file cannot be used.
    #[error("the node's key cannot be used")]
    Key(#[from] croft_trust::sign::KeyError),
    /// The TPM that holds the key cannot be used.
    #[error("the node's key is in a TPM that cannot be used")]
    Tpm(#[from] croft_tpm::error::TpmError),
}

impl StateError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Write(_) => Code::StateUnwritable,
            Self::Read { .. } | Self::Corrupt { .. } => Code::StateCorrupt,
            Self::Key(_) => Code::Key,
            Self::Tpm(error) => super::node_key::code_of(error),
        }
    }

    pub(crate) fn corrupt(path: &Path, detail: impl std::fmt::Display) -> Self {
        let detail = detail.to_string();
        Self::Corrupt { path: path.to_owned(), detail }
    }
}

/// Reads a file of at most [`STATE_FILE_LEN_MAX`] bytes; none if there is no such file.
///
/// # Errors
/// [`StateError::Read`], or [`StateError::Corrupt`] if it is longer than anything we write.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, StateError> {
    let unreadable = |source| StateError::Read { path: path.to_owned(), source };
    // What was put in a file's place, a link or a pipe, is damage: it is not followed, and nobody waits at it.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = match std::fs::File::options().read(true).custom_flags(flags).open(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(unreadable)?,
    };
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(StateError::corrupt(path, "it is no file"));
    }
    let mut bytes = Vec::new();
    file.take(STATE_FILE_LEN_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > STATE_FILE_LEN_MAX {
        return Err(StateError::corrupt(path, "too long"));
    }
    Ok(Some(bytes))
}

/// Reads a JSON file; none if there is no such file.
///
/// # Errors
/// [`StateError::Corrupt`] if it is no such document.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StateError> {
    let Some(bytes) = read(path)? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|e| StateError::corrupt(path, e))
}

/// Replaces a JSON file, durably, readable by its owner only.
///
/// # Errors
/// [`StateError::Write`].
///
/// # Panics
/// Never for our own documents: their maps have text keys.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), StateError> {
    let bytes = serde_json::to_vec(value).expect("state documents are plain data");
    if let Some(parent) = path.parent() {
        create_private_dir(parent)?;
    }
    Ok(write_durable(path, &bytes, 0o600)?)
}

/// Creates the state folders and proves that they can be written, before anything depends on it.
///
/// # Errors
/// [`StateError::Write`].
pub fn prepare(paths: &super::paths::Paths) -> Result<(), StateError> {
    for folder in [&paths.state, &paths.identity(), &paths.sent(), &paths.state_file("recalls")] {
        create_private_dir(folder)?;
    }
    create_private_dir(&paths.store().join("sha256"))?;
    create_private_dir(&paths.store().join("quarantine"))?;
    if let Some(floors) = paths.floors().parent() {
        create_private_dir(floors)?;
    }
    let probe = paths.state_file("writable");
    write_durable(&probe, b"", 0o600)?;
    std::fs::remove_file(&probe).map_err(|source| DiskError { operation: "remove", path: probe, source })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unwritable_state_is_told_as_such() {
        let folder = tempfile::tempdir().expect("a folder");
        // A file where the folder should be stops root as well.
        let state = folder.path().join("state");
        std::fs::write(&state, b"").expect("written");
        let paths = super::super::paths::Paths {
            mode: croft_domain::evidence::Mode::User,
            state: state.clone(),
            run: state.join("run"),
            config: state.join("node.toml"),
        };
        assert_eq!(prepare(&paths).expect_err("refused").code(), Code::StateUnwritable);
    }

    #[test]
    fn p9_a_link_or_a_pipe_in_a_state_files_place_is_damage_and_makes_nobody_wait() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let folder = tempfile::tempdir().expect("a folder");
        let (link, pipe) = (folder.path().join("link.json"), folder.path().join("pipe.json"));
        write_json(&folder.path().join("elsewhere.json"), &7_u64).expect("written");
        std::os::unix::fs::symlink("elsewhere.json", &link).expect("a link");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a pipe");
        for path in [link, pipe, folder.path().to_owned()] {
            assert_eq!(read_json::<u64>(&path).expect_err("damaged").code(), Code::StateCorrupt, "{path:?}");
        }
    }

    #[test]
    fn damage_is_an_alarm_and_absence_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.json");
        assert!(read_json::<u64>(&path).expect("absent").is_none());
        write_json(&path, &7_u64).expect("written");
        assert_eq!(read_json::<u64>(&path).expect("read"), Some(7));
        std::fs::write(&path, b"{").expect("written");
        assert_eq!(read_json::<u64>(&path).expect_err("damaged").code(), Code::StateCorrupt);
    }
}
