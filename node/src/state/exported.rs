//! The evidence that was last exported for a desk without a network, so that only its answer is taken.

use croft_domain::signed::Envelope;
use croft_trust::envelope::StoredEnvelope;

use super::files::{StateError, read_json, write_json};
use super::paths::Paths;

const FILE: &str = "exported.json";

/// The last exported evidence; none before the first.
///
/// # Errors
/// [`StateError`].
pub fn load(paths: &Paths) -> Result<Option<Envelope>, StateError> {
    let path = paths.state_file(FILE);
    let Some(stored) = read_json::<StoredEnvelope>(&path)? else { return Ok(None) };
    Envelope::try_from(&stored).map(Some).map_err(|e| StateError::corrupt(&path, e))
}

/// Replaces it.
///
/// # Errors
/// [`StateError`].
pub fn save(paths: &Paths, evidence: &Envelope) -> Result<(), StateError> {
    write_json(&paths.state_file(FILE), &StoredEnvelope::from(evidence))
}
