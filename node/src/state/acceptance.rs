//! The acceptance of the acceptable-use policy, as the node's key signed it. A file that does not verify is none.

use croft_domain::acceptance::Acceptance;
use croft_domain::signed::{Domain, Envelope};
use croft_trust::sign::verify;

use super::files::{StateError, read_json, write_json};
use super::identity::Identity;
use super::node_key::NodeKey;
use super::paths::Paths;
use croft_trust::envelope::StoredEnvelope;

const FILE: &str = "acceptance.json";

/// What was accepted last; none if nothing was, or if the record is not this node's.
///
/// # Errors
/// [`StateError`] if the file cannot be read.
pub fn load(paths: &Paths, identity: &Identity) -> Result<Option<Acceptance>, StateError> {
    let path = paths.state_file(FILE);
    let Some(stored) = read_json::<StoredEnvelope>(&path)? else { return Ok(None) };
    let envelope = Envelope::try_from(&stored).map_err(|e| StateError::corrupt(&path, e))?;
    let acceptance: Option<Acceptance> = serde_json::from_slice(&envelope.payload).ok();
    let is_ours = verify(&envelope, Domain::Acceptance, &identity.key.point()).is_ok();
    Ok(acceptance.filter(|acceptance| is_ours && acceptance.node == identity.enrollment.node))
}

/// Signs and keeps an acceptance, replacing the one before.
///
/// # Errors
/// [`StateError`].
pub fn save(paths: &Paths, key: &NodeKey, acceptance: &Acceptance) -> Result<(), StateError> {
    let path = paths.state_file(FILE);
    let payload = serde_json::to_vec(acceptance).map_err(|e| StateError::corrupt(&path, e))?;
    write_json(&path, &StoredEnvelope::from(&key.sign(Domain::Acceptance, payload)?))
}
