//! Files that survive a crash: a reader sees the old bytes or the new ones, never a mixture and never an empty file.
//!
//! Everything follows one order: write beside, fsync the file, rename, fsync the directory. Without the last step a
//! power cut may undo the rename although the caller has already acknowledged it (see `rename(2)`, `fsync(2)`).

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use croft_domain::code::Code;

/// A durable write failed; the old state is still there.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {}", path.display())]
pub struct DiskError {
    /// What was tried.
    pub operation: &'static str,
    /// On what.
    pub path: PathBuf,
    /// Why not.
    #[source]
    pub source: io::Error,
}

impl DiskError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        write_code(&self.source)
    }
}

/// The stable code of a failed write: a full disk, or an exhausted quota, has a cure of its own.
#[must_use]
pub fn write_code(error: &io::Error) -> Code {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Code::DiskFull,
        _ => Code::StateUnwritable,
    }
}

fn failed<'a>(operation: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> DiskError + 'a {
    move |source| DiskError { operation, path: path.to_owned(), source }
}

/// Replaces the file at `path` by `bytes` with permission bits `mode`, atomically and durably.
///
/// # Errors
/// When the directory is missing or cannot be written; the old file is then unchanged.
pub fn write_durable(path: &Path, bytes: &[u8], mode: u32) -> Result<(), DiskError> {
    let parent = parent_of(path);
    let mut random = [0_u8; 8];
    getrandom::fill(&mut random).map_err(|_| DiskError {
        operation: "name a temporary file for",
        path: path.to_owned(),
        source: io::Error::other("the system's random source does not answer"),
    })?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = parent.join(format!(".{name}.{:016x}.tmp", u64::from_ne_bytes(random)));
    let result = write_new(&temporary, bytes, mode)
        .and_then(|()| fs::rename(&temporary, path).map_err(failed("rename a new file to", path)))
        .and_then(|()| sync_dir(parent));
    if result.is_err() {
        // The leftover is harmless, but a full disk would otherwise collect one for each attempt.
        let _ = fs::remove_file(&temporary);
    }
    result
}

/// Writes a file that must not exist yet and syncs it, but not its name: for a folder that is synced as a whole.
pub(crate) fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), DiskError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(failed("create", path))?;
    // The umask may have taken bits away that the caller asked for.
    file.set_permissions(fs::Permissions::from_mode(mode)).map_err(failed("set permissions of", path))?;
    file.write_all(bytes).map_err(failed("write", path))?;
    file.sync_all().map_err(failed("sync", path))
}

/// Makes the names in a directory durable.
///
/// # Errors
/// When it cannot be opened or synced.
pub fn sync_dir(path: &Path) -> Result<(), DiskError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(failed("sync the folder", path))
}

/// Creates a directory that only its owner may enter (0700), with missing parents; an existing one is narrowed to 0700.
///
/// # Errors
/// When it cannot be created, or exists and belongs to somebody else.
pub fn create_private_dir(path: &Path) -> Result<(), DiskError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("create the folder", path))?;
    let mode = fs::symlink_metadata(path).map_err(failed("look at", path))?.permissions().mode();
    if mode & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
            .map_err(failed("set permissions of", path))?;
    }
    sync_dir(parent_of(path))
}

/// Puts the directory `new` in the place of `current` and deletes what was there. Both must be in the same parent.
///
/// On Linux the two change places in one step (`renameat2(RENAME_EXCHANGE)`). Elsewhere there is a moment without
/// `current`; [`recover_dir`] closes it at the next start.
///
/// # Errors
/// When a rename fails; `current` is then what it was.
pub fn swap_dir(new: &Path, current: &Path) -> Result<(), DiskError> {
    let parent = parent_of(current);
    sync_dir(new)?;
    if !current.exists() {
        fs::rename(new, current).map_err(failed("rename a new folder to", current))?;
        return sync_dir(parent);
    }
    if exchange(new, current).is_ok() {
        sync_dir(parent)?;
        // After the exchange the old state carries the new one's name. Failing to delete it loses nothing.
        let _ = fs::remove_dir_all(new);
        return Ok(());
    }
    let previous = previous_of(current);
    let _ = fs::remove_dir_all(&previous);
    fs::rename(current, &previous).map_err(failed("move aside", current))?;
    if let Err(source) = fs::rename(new, current) {
        let _ = fs::rename(&previous, current);
        return Err(failed("rename a new folder to", current)(source));
    }
    sync_dir(parent)?;
    let _ = fs::remove_dir_all(&previous);
    Ok(())
}

/// Finishes or undoes a [`swap_dir`] that a crash cut in two. Call it before `current` is read.
///
/// # Errors
/// When the earlier directory cannot be put back.
pub fn recover_dir(current: &Path) -> Result<(), DiskError> {
    let previous = previous_of(current);
    if !current.exists() && previous.exists() {
        fs::rename(&previous, current).map_err(failed("put back", current))?;
        sync_dir(parent_of(current))?;
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn exchange(new: &Path, current: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(CWD, new, CWD, current, RenameFlags::EXCHANGE)?)
}

#[cfg(not(target_os = "linux"))]
fn exchange(_new: &Path, _current: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

fn previous_of(current: &Path) -> PathBuf {
    let mut name = current.file_name().unwrap_or_default().to_owned();
    name.push(".previous");
    current.with_file_name(name)
}

fn parent_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p9_write_replaces_whole_file_and_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("lease.json");
        write_durable(&path, b"one", 0o600).expect("written");
        write_durable(&path, b"two", 0o644).expect("written");
        assert_eq!(fs::read(&path).expect("read"), b"two");
        assert_eq!(fs::metadata(&path).expect("metadata").permissions().mode() & 0o777, 0o644);
        assert_eq!(fs::read_dir(dir.path()).expect("list").count(), 1);
        assert!(write_durable(&dir.path().join("no/such"), b"x", 0o600).is_err());
    }

    #[test]
    fn p9_swap_replaces_a_folder_in_one_step() {
        let dir = tempfile::tempdir().expect("a folder");
        let (new, current) = (dir.path().join("new"), dir.path().join("current"));
        for round in ["1", "2"] {
            create_private_dir(&new).expect("created");
            write_durable(&new.join("f"), round.as_bytes(), 0o600).expect("written");
            swap_dir(&new, &current).expect("swapped");
            assert_eq!(fs::read_to_string(current.join("f")).expect("read"), round);
            assert!(!new.exists());
        }
    }

    #[test]
    fn p9_swap_cut_in_two_is_put_back() {
        let dir = tempfile::tempdir().expect("a folder");
        let current = dir.path().join("current");
        fs::create_dir(previous_of(&current)).expect("created");
        recover_dir(&current).expect("recovered");
        assert!(current.exists());
    }

    #[test]
    fn private_folder_is_narrowed() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a/b");
        create_private_dir(&path).expect("created");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("widened");
        create_private_dir(&path).expect("narrowed");
        assert_eq!(fs::metadata(&path).expect("metadata").permissions().mode() & 0o777, 0o700);
    }
}
