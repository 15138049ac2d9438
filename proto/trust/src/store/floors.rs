//! Floors: the highest that was ever accepted, kept apart from the metadata, so that putting back an old directory is
//! noticed. TUF clients compare with the stored metadata only, which an attacker with the disk, or a crash, takes away.
//!
//! Floors only rise. TUF 5.3.11 resets timestamp and snapshot versions when their keys are rotated, to recover from a
//! fast-forward attack; here such an attack is bounded by [`VERSION_JUMP_MAX`] instead, because the reset is itself a way
//! to roll back.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use croft_domain::digest::Sha256Digest;
use croft_domain::evidence::TrustSeen;
use croft_domain::id::BundleName;
use croft_domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::TrustError;
use crate::disk::write_durable;
use crate::limits::{FLOORS_LEN_MAX, VERSION_JUMP_MAX, VERSION_MAX};

/// The lowest that may be accepted. An invite brings the first ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Floors {
    /// Metadata versions.
    pub versions: TrustSeen,
    /// Epoch of the fleet document.
    pub fleet_epoch: u64,
    /// Epoch of each bundle, by name.
    pub bundle_epochs: BTreeMap<BundleName, u32>,
    /// Newest time at which accepted metadata was signed.
    pub signed_at: Timestamp,
}

/// Floors with the root that everything started from, as they are stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Guard {
    pub(super) schema: u32,
    pub(super) anchor_version: u64,
    pub(super) anchor_sha256: Sha256Digest,
    pub(super) floors: Floors,
}

impl Guard {
    /// Reads the floors; missing or damaged ones are an alarm.
    pub(super) fn load(path: &Path) -> Result<Self, TrustError> {
        let alarm = |reason: String| TrustError::State { path: path.to_owned(), reason };
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path).map_err(|error| alarm(format!("floors: {error}")))?;
        file.take(FLOORS_LEN_MAX + 1).read_to_end(&mut bytes).map_err(|error| alarm(error.to_string()))?;
        if bytes.len() as u64 > FLOORS_LEN_MAX {
            return Err(alarm("floors are larger than 1 MiB".to_owned()));
        }
        let guard: Self =
            serde_json::from_slice(&bytes).map_err(|error| alarm(format!("floors: {error}")))?;
        if guard.schema == 1 { Ok(guard) } else { Err(alarm("floors of an unknown schema".to_owned())) }
    }

    pub(super) fn save(&self, path: &Path) -> Result<(), TrustError> {
        let bytes = serde_json::to_vec_pretty(self).expect("texts, numbers and text keys only");
        Ok(write_durable(path, &bytes, 0o600)?)
    }
}

/// Offered versions beside the floors of the same roles.
fn roles(seen: &TrustSeen, offered: &TrustSeen) -> [(&'static str, u64, u64); 4] {
    [
        ("root", seen.root, offered.root),
        ("targets", seen.targets, offered.targets),
        ("snapshot", seen.snapshot, offered.snapshot),
        ("timestamp", seen.timestamp, offered.timestamp),
    ]
}

impl Floors {
    /// Refuses versions below the floors.
    ///
    /// # Errors
    /// [`TrustError::Rollback`] names the first role that is below.
    pub fn check_not_below(&self, offered: &TrustSeen) -> Result<(), TrustError> {
        for (what, seen, offered) in roles(&self.versions, offered) {
            if offered < seen {
                return Err(TrustError::Rollback { what: what.to_owned(), seen, offered });
            }
        }
        Ok(())
    }

    /// Refuses versions that rise further than honest ones do. A floor of zero says that nothing was seen yet.
    pub(super) fn check_jump(&self, offered: &TrustSeen) -> Result<(), TrustError> {
        for (what, seen, offered) in roles(&self.versions, offered) {
            if offered > VERSION_MAX || seen > 0 && offered.saturating_sub(seen) > VERSION_JUMP_MAX {
                return Err(TrustError::Jump { what, seen, offered });
            }
        }
        Ok(())
    }

    /// Refuses documents below their epochs.
    ///
    /// # Errors
    /// [`TrustError::Rollback`] names the first document that is below.
    pub fn check_epochs(
        &self,
        fleet_epoch: u64,
        bundle_epochs: &BTreeMap<BundleName, u32>,
    ) -> Result<(), TrustError> {
        if fleet_epoch < self.fleet_epoch {
            let what = "fleet epoch".to_owned();
            return Err(TrustError::Rollback { what, seen: self.fleet_epoch, offered: fleet_epoch });
        }
        for (name, offered) in bundle_epochs {
            let seen = self.bundle_epochs.get(name).copied().unwrap_or(0);
            if *offered < seen {
                let (seen, offered) = (seen.into(), (*offered).into());
                return Err(TrustError::Rollback { what: format!("epoch of bundle {name}"), seen, offered });
            }
        }
        Ok(())
    }

    /// Raises every floor to what was accepted; none ever falls.
    pub fn raise(&mut self, accepted: &Self) {
        let (own, new) = (&mut self.versions, &accepted.versions);
        own.root = own.root.max(new.root);
        own.targets = own.targets.max(new.targets);
        own.snapshot = own.snapshot.max(new.snapshot);
        own.timestamp = own.timestamp.max(new.timestamp);
        self.fleet_epoch = self.fleet_epoch.max(accepted.fleet_epoch);
        self.signed_at = self.signed_at.max(accepted.signed_at);
        for (name, epoch) in &accepted.bundle_epochs {
            let floor = self.bundle_epochs.entry(name.clone()).or_default();
            *floor = (*floor).max(*epoch);
        }
    }
}
