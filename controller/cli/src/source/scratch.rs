//! A folder for what must be unpacked on the way in. It is made when first needed, and gone again unless its files were
//! taken over: an import that fails leaves nothing.

use std::path::{Path, PathBuf};

use crate::error::CtlError;
use crate::fleet_dir::{FleetDir, create_private};

/// The folder.
#[derive(Debug)]
pub struct Scratch {
    above: PathBuf,
    path: PathBuf,
}

impl Scratch {
    /// One below the drafts of `dir`, which need not exist yet.
    pub fn new(dir: &FleetDir) -> Self {
        let above = dir.drafts();
        // A dot begins no bundle's name.
        let path = above.join(format!(".unpacking-{}", std::process::id()));
        Self { above, path }
    }

    /// The folder, made now if it is not there.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn folder(&self) -> Result<&Path, CtlError> {
        create_private(&self.above)?;
        create_private(&self.path)?;
        Ok(&self.path)
    }

    /// Whether `path` lies in it.
    pub fn holds(&self, path: &Path) -> bool {
        path.starts_with(&self.path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // There is nothing to do about a folder that cannot be removed; its name says what it is.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
