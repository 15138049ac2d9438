//! The compliance report of a period: what is in it. Rendering is the controller's work.

use serde::{Deserialize, Serialize};

use crate::census::Finding;
use crate::digest::Sha256Digest;
use crate::evidence::{Mode, Ownership};
use crate::id::{BundleRef, FleetId, GroupName, NodeId, ReportId};
use crate::recall::Recall;
use crate::tally::Tally;
use crate::time::Timestamp;
use crate::verdict::Verdict;
use crate::waiver::Waiver;

/// Something about a node that a person must look into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// When it was noticed first.
    pub at: Timestamp,
    /// What, in one sentence.
    pub what: String,
}

/// What is known of one node at the time of the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeLine {
    /// Which node.
    pub node: NodeId,
    /// Its group.
    pub group: GroupName,
    /// Whose machine.
    pub ownership: Ownership,
    /// How installed.
    pub mode: Mode,
    /// When it was last heard.
    pub last_seen: Option<Timestamp>,
    /// Until when it may serve.
    pub lease_until: Option<Timestamp>,
    /// Whether it was evicted or banned, or left.
    pub revoked: bool,
    /// That its state was restored or copied, if that was noticed and nobody took it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<Notice>,
    /// The last judgment.
    pub verdict: Option<Verdict>,
}

/// One approved bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleLine {
    /// Which.
    pub bundle: BundleRef,
    /// SHA-256 of each of its files.
    pub files: Vec<Sha256Digest>,
    /// License.
    pub license: String,
    /// What its terms say beyond open source, line by line.
    #[serde(default)]
    pub terms: Vec<String>,
    /// Groups it is assigned to.
    pub groups: Vec<GroupName>,
    /// Nodes that have it loaded.
    pub loaded_on: u32,
}

/// Census findings of one group, summed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CensusLine {
    /// The group.
    pub group: GroupName,
    /// What was found, summed over its nodes; `processes` counts processes, `exposed` says "on at least one".
    pub finding: Finding,
    /// On how many nodes.
    pub nodes: u32,
}

/// Nodes by standing. Every node is in exactly one column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Every check passes.
    pub pass: u32,
    /// May serve, though a check fails in a milder mode.
    pub degraded: u32,
    /// May not serve.
    pub blocked: u32,
    /// Never judged, or silent for longer than its lease.
    pub no_data: u32,
    /// No longer part of the fleet.
    pub revoked: u32,
}

/// The report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Which report.
    pub id: ReportId,
    /// Of which fleet.
    pub fleet: FleetId,
    /// Fleet's name.
    pub fleet_name: String,
    /// The state at this time.
    pub as_of: Timestamp,
    /// Nodes by standing.
    pub standing: Standing,
    /// Node by node.
    pub nodes: Vec<NodeLine>,
    /// Bundles.
    pub bundles: Vec<BundleLine>,
    /// Other local AI, by group.
    pub census: Vec<CensusLine>,
    /// How much models were used.
    #[serde(default)]
    pub usage: Tally,
    /// Recalls.
    pub recalls: Vec<Recall>,
    /// Waivers in force.
    pub waivers: Vec<Waiver>,
}

impl Standing {
    /// Sorts nodes into their columns at `now`.
    #[must_use]
    pub fn of(nodes: &[NodeLine], now: Timestamp) -> Self {
        use crate::verdict::Status;
        let mut standing = Self::default();
        for node in nodes {
            let silent = node.lease_until.is_none_or(|until| until <= now);
            let column = match &node.verdict {
                _ if node.revoked => &mut standing.revoked,
                None => &mut standing.no_data,
                Some(verdict) if !verdict.allows_serving() => &mut standing.blocked,
                Some(_) if silent => &mut standing.no_data,
                Some(verdict)
                    if verdict
                        .checks
                        .iter()
                        .all(|c| matches!(c.status, Status::Pass | Status::NotApplicable)) =>
                {
                    &mut standing.pass
                }
                Some(_) => &mut standing.degraded,
            };
            *column += 1;
        }
        standing
    }
}
