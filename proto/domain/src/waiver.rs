//! Waivers: signed, reasoned, expiring exceptions. They arrive as the signed target `waivers.json`.

use serde::{Deserialize, Serialize};

use crate::id::{CheckName, GroupName, NodeId, WaiverId};
use crate::limits::WAIVER_TTL_MAX_S;
use crate::time::Timestamp;

/// Whom a waiver is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// One node.
    Node(NodeId),
    /// Every node of a group.
    Group(GroupName),
}

/// One exception.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    /// Random; carries no name.
    pub id: WaiverId,
    /// For whom.
    pub scope: Scope,
    /// Of which check.
    pub check: CheckName,
    /// From when.
    pub not_before: Timestamp,
    /// Until when; it is unusable from this second on.
    pub not_after: Timestamp,
    /// Why.
    pub reason: String,
}

impl Waiver {
    /// When it ends: what it says, and never later than [`WAIVER_TTL_MAX_S`] after its beginning.
    #[must_use]
    pub fn ends_at(&self) -> Timestamp {
        self.not_after.min(self.not_before.plus(WAIVER_TTL_MAX_S))
    }

    /// Whether it is in force at `now`.
    #[must_use]
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        self.not_before <= now && now < self.ends_at()
    }

    /// Whether it covers `check` on this node at `now`.
    #[must_use]
    pub fn covers(&self, check: &CheckName, node: NodeId, group: &GroupName, now: Timestamp) -> bool {
        let whom = match &self.scope {
            Scope::Node(id) => *id == node,
            Scope::Group(name) => name == group,
        };
        whom && self.check == *check && self.is_in_force(now)
    }
}
