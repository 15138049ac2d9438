//! Recalls that were taken in. The folder only grows; nothing but leaving the fleet removes from it.

use croft_domain::id::RecallId;
use croft_domain::recall::Recall;
use croft_domain::signed::Envelope;
use croft_trust::envelope::StoredEnvelope;

use super::files::{StateError, read_json, write_json};
use super::paths::Paths;
use crate::limits::RECALLS_MAX;

/// Keeps a recall whose signature was verified. Taking one in twice changes nothing.
///
/// # Errors
/// [`StateError`].
pub fn keep(paths: &Paths, id: RecallId, envelope: &Envelope) -> Result<(), StateError> {
    let path = paths.recall(id);
    if path.exists() {
        return Ok(());
    }
    write_json(&path, &StoredEnvelope::from(envelope))
}

/// Every recall that was taken in, oldest id first.
///
/// # Errors
/// [`StateError`] if one is damaged: a recall that cannot be read must not be one that is not obeyed.
pub fn load(paths: &Paths) -> Result<Vec<Recall>, StateError> {
    let folder = paths.state_file("recalls");
    let entries = match std::fs::read_dir(&folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|source| StateError::Read { path: folder.clone(), source })?,
    };
    let mut recalls = Vec::new();
    for entry in entries {
        let path = entry.map_err(|source| StateError::Read { path: folder.clone(), source })?.path();
        let is_ours = path.extension().is_some_and(|extension| extension == "json");
        if !is_ours {
            // A temporary file of a write that a crash cut off.
            continue;
        }
        let Some(stored) = read_json::<StoredEnvelope>(&path)? else { continue };
        let envelope = Envelope::try_from(&stored).map_err(|e| StateError::corrupt(&path, e))?;
        let recall: Recall =
            serde_json::from_slice(&envelope.payload).map_err(|e| StateError::corrupt(&path, e))?;
        recalls.push(recall);
        if recalls.len() > RECALLS_MAX {
            return Err(StateError::corrupt(&folder, "more recalls than a fleet can have"));
        }
    }
    recalls.sort_by_key(|recall| recall.id);
    Ok(recalls)
}
