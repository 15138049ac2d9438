//! Who may sign what. Keys of different roles are different types, so that a freshness key cannot be passed where a
//! targets key belongs.

use std::collections::HashMap;

use tough::schema::RoleType;
use tough::schema::key::{EcdsaKey, EcdsaScheme, Key};

use super::RepositoryError;
use crate::sign::{POINT_LEN, Signer, SigningKey};

/// Private keys for signing a root: for a rotation, enough of the old ones and of the new ones together.
#[derive(Clone, Debug)]
pub struct RootKeys<K = SigningKey>(pub Vec<K>);

/// Private keys of the targets role.
#[derive(Clone, Debug)]
pub struct TargetsKeys<K = SigningKey>(pub Vec<K>);

/// Private keys of the snapshot and timestamp roles.
#[derive(Clone, Debug)]
pub struct FreshnessKeys<K = SigningKey>(pub Vec<K>);

/// The public keys of a role and how many of them must sign.
#[derive(Clone, Debug)]
pub struct RoleHolders {
    /// Uncompressed P-256 points.
    pub points: Vec<[u8; POINT_LEN]>,
    /// How many must sign, 1 or more.
    pub threshold: u64,
}

impl RoleHolders {
    /// One holder with one key.
    #[must_use]
    pub fn solo(key: &impl Signer) -> Self {
        Self { points: vec![key.point()], threshold: 1 }
    }
}

/// The roles as a root lists them (TUF 2.1).
#[derive(Clone, Debug)]
pub struct Roles {
    /// May change the roles.
    pub root: RoleHolders,
    /// May approve bundles, baselines, waivers and the fleet document.
    pub targets: RoleHolders,
    /// May say that the approved is current: snapshot and timestamp.
    pub freshness: RoleHolders,
}

impl Roles {
    /// The role types with their holders and the names that errors use.
    pub(super) fn each(&self) -> Result<[(RoleType, &RoleHolders); 4], RepositoryError> {
        let all = [("root", &self.root), ("targets", &self.targets), ("freshness", &self.freshness)];
        for (role, holders) in all {
            let mut points = holders.points.clone();
            points.sort_unstable();
            points.dedup();
            if points.len() != holders.points.len() {
                return Err(RepositoryError::Roles { role, reason: "lists a key twice" });
            }
            if holders.threshold == 0 || holders.threshold > points.len() as u64 {
                return Err(RepositoryError::Roles {
                    role,
                    reason: "threshold is not 1 to the number of keys",
                });
            }
        }
        Ok([
            (RoleType::Root, &self.root),
            (RoleType::Targets, &self.targets),
            (RoleType::Snapshot, &self.freshness),
            (RoleType::Timestamp, &self.freshness),
        ])
    }
}

/// The TUF form of a public key (TUF 4.2, `ecdsa-sha2-nistp256`).
pub(super) fn tuf_key(point: &[u8; POINT_LEN]) -> Key {
    let keyval = EcdsaKey { public: point.to_vec().into(), _extra: HashMap::new() };
    Key::Ecdsa { keyval, scheme: EcdsaScheme::EcdsaSha2Nistp256, _extra: HashMap::new() }
}
