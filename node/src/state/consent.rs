//! What the owner agreed to, as the node's key signed it. A file that does not verify is no consent: less is collected.

use std::collections::BTreeSet;

use croft_domain::collection::{Consent, Item};
use croft_domain::signed::{Domain, Envelope};
use croft_trust::envelope::StoredEnvelope;
use croft_trust::sign::verify;

use super::files::{StateError, read_json, write_json};
use super::identity::Identity;
use super::node_key::NodeKey;
use super::paths::Paths;

const FILE: &str = "consent.json";

/// What was agreed to; nothing if nobody was asked, or if the record is not this node's.
///
/// # Errors
/// [`StateError`] if the file cannot be read.
pub fn load(paths: &Paths, identity: &Identity) -> Result<BTreeSet<Item>, StateError> {
    let path = paths.state_file(FILE);
    let Some(stored) = read_json::<StoredEnvelope>(&path)? else { return Ok(BTreeSet::new()) };
    let envelope = Envelope::try_from(&stored).map_err(|e| StateError::corrupt(&path, e))?;
    let consent: Option<Consent> = serde_json::from_slice(&envelope.payload).ok();
    let is_ours = verify(&envelope, Domain::Consent, &identity.key.point()).is_ok();
    let consent = consent.filter(|consent| is_ours && consent.node == identity.enrollment.node);
    Ok(consent.map(|consent| consent.items).unwrap_or_default())
}

/// Signs and keeps an answer, replacing the one before.
///
/// # Errors
/// [`StateError`].
pub fn save(paths: &Paths, key: &NodeKey, consent: &Consent) -> Result<(), StateError> {
    let path = paths.state_file(FILE);
    let payload = serde_json::to_vec(consent).map_err(|e| StateError::corrupt(&path, e))?;
    write_json(&path, &StoredEnvelope::from(&key.sign(Domain::Consent, payload)?))
}
