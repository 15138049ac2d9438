//! Erasing everything that belongs to the fleet. Keys first: a crash in between leaves a node that is nobody.

use std::path::{Path, PathBuf};

use super::files::StateError;
use super::paths::Paths;
use croft_trust::disk::DiskError;

/// Removes keys, certificate, trust state, lease, verdict, history, recalls, models and the record of what was sent.
/// `node.toml` is the owner's and stays. Running it again after a crash removes the rest.
///
/// # Errors
/// [`StateError::Write`] if something could not be removed.
pub fn erase(paths: &Paths) -> Result<Vec<PathBuf>, StateError> {
    let mut erased = Vec::new();
    let mut targets = vec![paths.identity().join("node.pk8"), paths.identity()];
    for name in [
        "api-key",
        "lease.json",
        "verdict.json",
        "history.json",
        "standing.json",
        "consent.json",
        "exported.json",
        "acceptance.json",
        "spent.json",
        "counter",
        "measured.json",
        "recalls",
        "sent",
    ] {
        targets.push(paths.state_file(name));
    }
    targets.extend([paths.trust(), paths.store()]);
    if let Some(floors) = paths.floors().parent() {
        targets.push(floors.to_owned());
    }
    for target in targets {
        if remove(&target)? {
            erased.push(target);
        }
    }
    Ok(erased)
}

fn remove(path: &Path) -> Result<bool, StateError> {
    let failed = |source| DiskError { operation: "remove", path: path.to_owned(), source };
    let kind = match std::fs::symlink_metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        kind => kind.map_err(failed)?,
    };
    if kind.is_dir() {
        std::fs::remove_dir_all(path).map_err(failed)?;
    } else {
        std::fs::remove_file(path).map_err(failed)?;
    }
    Ok(true)
}
