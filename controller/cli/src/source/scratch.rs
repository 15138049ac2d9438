//! A folder for what comes to be on the way in: unpacked weights, and the draft until it is whole. It is made when first
//! needed, and gone again unless it became a draft: an import that fails leaves nothing, and what one that was killed
//! left is removed by the next.

use std::cell::OnceCell;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::error::CtlError;
use crate::fleet_dir::{FleetDir, create_private};

/// How the names of such folders begin. A dot begins no bundle's name, so none of them is taken for a draft.
const PREFIX: &str = ".unpacking-";

/// The folder.
#[derive(Debug)]
pub struct Scratch {
    above: PathBuf,
    path: PathBuf,
    /// The folder, locked for as long as this process works in it: a process that was killed holds no lock.
    held: OnceCell<File>,
}

impl Scratch {
    /// One below the drafts of `dir`, which need not exist yet.
    pub fn new(dir: &FleetDir) -> Self {
        let above = dir.drafts();
        let path = above.join(format!("{PREFIX}{}", std::process::id()));
        Self { above, path, held: OnceCell::new() }
    }

    /// The folder, made now if it is not there. Folders of imports that were killed are removed first.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn folder(&self) -> Result<&Path, CtlError> {
        if self.held.get().is_some() {
            return Ok(&self.path);
        }
        create_private(&self.above)?;
        // Between the making of a folder and its lock no other import may take it for an abandoned one.
        let gate = self.open(&self.above)?;
        gate.lock().map_err(|source| self.unlocked(source))?;
        self.remove_abandoned();
        create_private(&self.path)?;
        let folder = self.open(&self.path)?;
        folder.try_lock().map_err(|e| self.unlocked(e.into()))?;
        self.held.get_or_init(|| folder);
        Ok(&self.path)
    }

    fn open(&self, folder: &Path) -> Result<File, CtlError> {
        File::open(folder).map_err(|source| CtlError::FileRead { path: folder.to_owned(), source })
    }

    fn unlocked(&self, source: std::io::Error) -> CtlError {
        CtlError::FileWrite { path: self.path.clone(), source }
    }

    /// Removes what nobody works in any more. What cannot be removed takes room and nothing else.
    fn remove_abandoned(&self) {
        let entries = fs::read_dir(&self.above).into_iter().flatten().flatten();
        let abandoned = entries.filter(|entry| {
            entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX))
                && File::open(entry.path()).is_ok_and(|folder| folder.try_lock().is_ok())
        });
        for entry in abandoned {
            let _ = fs::remove_dir_all(entry.path());
        }
    }

    /// Whether `path` lies in it.
    pub fn holds(&self, path: &Path) -> bool {
        path.starts_with(&self.path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // There is nothing to do about a folder that cannot be removed; the next import tries again.
        let _ = fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p9_an_abandoned_folder_is_removed_and_one_in_use_is_not() {
        let temp = tempfile::tempdir().expect("a folder");
        let dir = FleetDir::locate(Some(temp.path().to_owned())).expect("a fleet folder");
        let (abandoned, used) = (dir.drafts().join(".unpacking-1"), dir.drafts().join(".unpacking-2"));
        for folder in [&abandoned, &used] {
            fs::create_dir_all(folder).expect("made");
            fs::write(folder.join("weights-0.gguf"), b"part").expect("written");
        }
        let held = File::open(&used).expect("opened");
        held.lock().expect("locked");
        let scratch = Scratch::new(&dir);
        let own = scratch.folder().expect("made").to_owned();
        assert!(!abandoned.exists() && used.exists() && own.exists());
        drop(scratch);
        assert!(!own.exists() && used.exists());
    }
}
