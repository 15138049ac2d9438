//! Who this node is: its key, its certificate, and the fleet it belongs to. `enrollment.json` is written last, so a
//! node is enrolled exactly when that file is there.

use std::path::Path;

use croft_domain::digest::Sha256Digest;
use croft_domain::evidence::Ownership;
use croft_domain::id::{FleetId, GroupName, NodeId};
use croft_domain::time::Timestamp;
use croft_trust::digest::sha256;
use croft_trust::disk::{create_private_dir, write_durable};
use serde::{Deserialize, Serialize};

use super::files::{StateError, read, read_json, write_json};
use super::node_key::{NodeKey, salt_of};
use super::paths::Paths;

/// What enrolling settled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrollment {
    /// Who we are.
    pub node: NodeId,
    /// In which fleet.
    pub fleet: FleetId,
    /// For people.
    pub fleet_name: String,
    /// In which group.
    pub group: GroupName,
    /// Whose machine.
    pub ownership: Ownership,
    /// Where the controller answers.
    pub controller: String,
    /// CA that was pinned by the invite; the fleet document can add others.
    pub ca_pin: Sha256Digest,
    /// When.
    pub enrolled_at: Timestamp,
    /// Accounts that may use the local API without a key.
    pub uids: Vec<u32>,
    /// Why the key is a file though the owner wanted it in the TPM; none if it is as wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tpm_refusal: Option<String>,
}

/// An enrolled node's identity.
#[derive(Clone, Debug)]
pub struct Identity {
    /// What enrolling settled.
    pub enrollment: Enrollment,
    /// The key that is this node.
    pub key: NodeKey,
    /// Its certificate chain.
    pub chain_pem: String,
    /// When the certificate was issued, so far as we know.
    pub certificate_from: Timestamp,
    /// Until when it counts.
    pub certificate_until: Timestamp,
}

impl Identity {
    /// SHA-256 of the attestation key's point, if this node's key is in a TPM. That is asked once.
    ///
    /// # Errors
    /// [`StateError`] if it does not answer.
    pub async fn attestation_key(&self) -> Result<Option<Sha256Digest>, StateError> {
        let Some(tpm) = self.key.tpm().cloned() else { return Ok(None) };
        let salt = salt_of(self.enrollment.fleet);
        let asked = tokio::task::spawn_blocking(move || tpm.attestation_point(&salt)).await;
        let point = asked.map_err(|e| StateError::corrupt(Path::new("the TPM's answer"), e))??;
        Ok(Some(sha256(&point)))
    }
}

/// Reads the identity; none if this node is not enrolled.
///
/// # Errors
/// [`StateError`] if it is incomplete or damaged: an alarm, never a fresh start.
pub fn load(paths: &Paths) -> Result<Option<Identity>, StateError> {
    let folder = paths.identity();
    let Some(enrollment) = read_json::<Enrollment>(&folder.join("enrollment.json"))? else { return Ok(None) };
    let key = NodeKey::load(&folder)?;
    let chain_path = folder.join("chain.pem");
    let chain = read(&chain_path)?.ok_or_else(|| StateError::corrupt(&chain_path, "it is missing"))?;
    let chain_pem = String::from_utf8(chain).map_err(|e| StateError::corrupt(&chain_path, e))?;
    let (from, until) = certificate_times(&chain_pem).map_err(|e| StateError::corrupt(&chain_path, e))?;
    Ok(Some(Identity { enrollment, key, chain_pem, certificate_from: from, certificate_until: until }))
}

/// Keeps a fresh key, before anything is sent that names it.
///
/// # Errors
/// [`StateError`].
pub fn save_key(paths: &Paths, key: &NodeKey) -> Result<(), StateError> {
    create_private_dir(&paths.identity())?;
    key.save(&paths.identity())
}

/// Keeps a certificate chain.
///
/// # Errors
/// [`StateError`].
pub fn save_chain(paths: &Paths, chain_pem: &str) -> Result<(), StateError> {
    Ok(write_durable(&paths.identity().join("chain.pem"), chain_pem.as_bytes(), 0o600)?)
}

/// Makes the node enrolled.
///
/// # Errors
/// [`StateError`].
pub fn commit(paths: &Paths, enrollment: &Enrollment) -> Result<(), StateError> {
    write_json(&paths.identity().join("enrollment.json"), enrollment)
}

/// From when until when the first certificate of a chain counts.
///
/// # Errors
/// Says what is wrong with it.
pub fn certificate_times(chain_pem: &str) -> Result<(Timestamp, Timestamp), String> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(chain_pem.as_bytes()).map_err(|e| e.to_string())?;
    let certificate = pem.parse_x509().map_err(|e| e.to_string())?;
    let seconds = |time: x509_parser::time::ASN1Time| Timestamp(u64::try_from(time.timestamp()).unwrap_or(0));
    let validity = certificate.validity();
    Ok((seconds(validity.not_before), seconds(validity.not_after)))
}
