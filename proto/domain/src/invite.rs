//! Invites: what a node needs to know to find its fleet and to refuse any other. Their one-line form is in `croft-trust`.

use serde::{Deserialize, Serialize};

use crate::digest::Sha256Digest;
use crate::id::{FleetId, GroupName, InviteId};
use crate::time::Timestamp;

/// The contents of an invite, composed by the admin from their own verified root.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invite {
    /// Where the controller answers: `https://HOST:PORT`.
    pub controller: String,
    /// Which fleet.
    pub fleet: FleetId,
    /// Fleet's name, for the person who is asked.
    pub fleet_name: String,
    /// SHA-256 of the SubjectPublicKeyInfo of the controller's CA.
    pub ca_pin: Sha256Digest,
    /// SHA-256 of the exact bytes of `1.root.json` or the version in force when it was made.
    pub root_sha256: Sha256Digest,
    /// Version of that root.
    pub root_version: u64,
    /// Group the node joins.
    pub group: GroupName,
    /// Tier of that group, which the signed fleet document must confirm.
    pub tier: u8,
    /// Lowest fleet epoch the node may accept.
    pub epoch_floor: u64,
    /// Lowest targets version the node may accept.
    pub targets_floor: u64,
    /// Which invite.
    pub id: InviteId,
    /// The secret, hexadecimal, 32 bytes.
    pub secret: String,
    /// Until when.
    pub expires_at: Timestamp,
}

impl std::fmt::Debug for Invite {
    // The secret must not reach a log by way of `{:?}`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Invite")
            .field("controller", &self.controller)
            .field("group", &self.group)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
