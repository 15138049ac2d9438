//! Where the executables under test lie: beside this one, which cargo built into the same folder.

use std::path::PathBuf;

use crate::E2eError;

/// The folder with the executables. A test runs from `deps/` below it.
///
/// # Errors
/// If the system does not tell where this program lies.
pub fn folder() -> Result<PathBuf, E2eError> {
    let own = std::env::current_exe().map_err(E2eError::io("find this executable"))?;
    let parent = own.parent().map(PathBuf::from).unwrap_or_default();
    Ok(if parent.ends_with("deps") { parent.parent().map(PathBuf::from).unwrap_or_default() } else { parent })
}

/// One executable.
///
/// # Errors
/// [`E2eError::NotBuilt`] if it is not there.
pub fn path(name: &str) -> Result<PathBuf, E2eError> {
    let path = folder()?.join(name);
    if path.is_file() { Ok(path) } else { Err(E2eError::NotBuilt(path)) }
}

/// The repository's root, for its playbooks.
#[must_use]
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}
