//! The fleet document: the signed target `fleet.json`. It says which online keys count and what each group may have,
//! so that a controller can neither invent a key nor move a node to laxer rules.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Sha256Digest;
use crate::id::{BaselineName, BaselineRef, BundleName, BundleRef, FleetId, GroupName};
use crate::limits::GROUPS_MAX;
use crate::time::Timestamp;

/// A public key with the time in which it counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyEntry {
    /// Uncompressed P-256 point (SEC 1, 65 bytes), hexadecimal.
    pub point: String,
    /// From when.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
}

/// What a group may have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupPolicy {
    /// 1 to 3.
    pub tier: u8,
    /// The baseline and the lowest version of it that counts.
    pub baseline: BaselineRef,
    /// Bundles that may be assigned, each with the lowest version that may be served.
    pub bundles: BTreeMap<BundleName, u32>,
}

impl GroupPolicy {
    /// Whether `bundle` may be served.
    #[must_use]
    pub fn allows_bundle(&self, bundle: &BundleRef) -> bool {
        self.bundles.get(&bundle.name).is_some_and(|minimum| bundle.version >= *minimum)
    }

    /// Whether `baseline` is the group's and not older than agreed.
    #[must_use]
    pub fn accepts_baseline(&self, baseline: &BaselineRef) -> bool {
        baseline.name == self.baseline.name && baseline.version >= self.baseline.version
    }
}

/// The fleet document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fleet {
    /// Always 1.
    pub schema: u32,
    /// Which fleet.
    pub id: FleetId,
    /// For people.
    pub name: String,
    /// Only rises; carried by invites as a floor.
    pub epoch: u64,
    /// SHA-256 of the SubjectPublicKeyInfo of each CA that may certify the controller and nodes (RFC 7469's pin).
    pub ca_pins: Vec<Sha256Digest>,
    /// Keys that may sign leases.
    pub lease_keys: Vec<KeyEntry>,
    /// Keys that may sign recalls.
    pub recall_keys: Vec<KeyEntry>,
    /// Keys that may sign reviews.
    pub reviewer_keys: Vec<KeyEntry>,
    /// What each group may have.
    pub groups: BTreeMap<GroupName, GroupPolicy>,
    /// SPDX identifiers of licenses under which bundles may come in.
    pub licenses: Vec<String>,
    /// Baselines that have been published, newest version by name, for people's overview.
    #[serde(default)]
    pub baselines: BTreeMap<BaselineName, u32>,
}

impl Fleet {
    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// Names the field and what was expected.
    pub fn validate(&self) -> Result<(), FleetError> {
        let err = |field: &'static str, expected: &'static str| Err(FleetError { field, expected });
        if self.schema != 1 {
            return err("schema", "1");
        }
        if self.name.is_empty() || self.name.len() > 256 {
            return err("name", "1 to 256 bytes");
        }
        if self.groups.len() > GROUPS_MAX {
            return err("groups", "at most 1024");
        }
        let keys = [&self.lease_keys, &self.recall_keys, &self.reviewer_keys];
        let is_point = |k: &KeyEntry| {
            k.point.len() == 130
                && k.point.starts_with("04")
                && k.point.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        if keys.iter().any(|list| list.len() > 64 || !list.iter().all(is_point)) {
            return err(
                "lease_keys, recall_keys, reviewer_keys",
                "at most 64 uncompressed P-256 points each",
            );
        }
        if self.ca_pins.is_empty() || self.ca_pins.len() > 8 {
            return err("ca_pins", "1 to 8");
        }
        if self.groups.values().any(|g| !(1..=3).contains(&g.tier)) {
            return err("groups.*.tier", "1, 2 or 3");
        }
        Ok(())
    }
}

/// The fleet document contradicts itself or a bound.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("fleet.json field {field}: expected {expected}")]
pub struct FleetError {
    /// Which field.
    pub field: &'static str,
    /// What was expected.
    pub expected: &'static str,
}
