//! `get`: lists of what the controller knows.

use croft_domain::id::NodeId;
use croft_domain::time::Timestamp;
use croft_proto::grpc::{
    BaselineSummary, BundleSummary, ListBaselinesRequest, ListBundlesRequest, NodeSummary,
};
use serde::Serialize;

use super::recall;
use crate::args::{Format, Get};
use crate::client::{self, refused};
use crate::clock::written;
use crate::error::CtlError;
use crate::fleet_dir::FleetDir;
use crate::output::{Column, Resource, column, length, print_list, wide};

/// Runs `get`.
///
/// # Errors
/// The controller cannot be reached or refuses.
pub async fn run(dir: &FleetDir, what: Get, format: Format) -> Result<(), CtlError> {
    let mut admin = client::connect(dir).await?;
    match what {
        Get::Nodes => {
            let nodes: Vec<Node> = client::nodes(&mut admin).await?.into_iter().map(Node::from).collect();
            print_list(&nodes, format)
        }
        Get::Bundles => {
            let answer = admin.list_bundles(ListBundlesRequest {}).await.map_err(refused("list bundles"))?;
            let bundles: Vec<Bundle> = answer.into_inner().bundles.into_iter().map(Bundle::from).collect();
            print_list(&bundles, format)
        }
        Get::Baselines => {
            let answer =
                admin.list_baselines(ListBaselinesRequest {}).await.map_err(refused("list baselines"))?;
            let list: Vec<Baseline> = answer.into_inner().baselines.into_iter().map(Baseline::from).collect();
            print_list(&list, format)
        }
        Get::Recalls => print_list(&recall::listed(dir, &mut admin).await?, format),
    }
}

/// One machine, as `-o json` writes it.
#[derive(Debug, Serialize)]
pub struct Node {
    /// Its id.
    pub node: String,
    /// Its group.
    pub group: String,
    /// Whose it is.
    pub ownership: String,
    /// How it is installed.
    pub mode: String,
    /// Its operating system.
    pub os: String,
    /// Whether it is in the fleet.
    pub standing: String,
    /// How it was last judged.
    pub outcome: String,
    /// When it was last heard, Unix seconds, 0 for never.
    pub last_seen: u64,
    /// Until when it may serve, Unix seconds, 0 for not.
    pub lease_until: u64,
    /// Version of its agent.
    pub agent_version: String,
    /// That its state was restored or copied; empty if that was not noticed, or was taken back.
    pub notice: String,
    /// When that was noticed, Unix seconds, 0 for not.
    pub notice_at: u64,
}

impl From<NodeSummary> for Node {
    fn from(wire: NodeSummary) -> Self {
        let NodeSummary {
            node_id,
            group,
            ownership,
            mode,
            os,
            standing,
            last_seen,
            lease_until,
            outcome,
            agent_version,
            notice,
            notice_at,
        } = wire;
        let node = NodeId::try_from(node_id.as_slice()).map_or_else(|_| "?".to_owned(), |id| id.to_string());
        Self {
            node,
            group,
            ownership,
            mode,
            os,
            standing,
            outcome,
            last_seen,
            lease_until,
            agent_version,
            notice,
            notice_at,
        }
    }
}

impl Resource for Node {
    const COLUMNS: &'static [Column] = &[
        column("NODE"),
        column("GROUP"),
        column("STANDING"),
        column("OUTCOME"),
        column("LEASE UNTIL"),
        column("LAST SEEN"),
        column("NOTICED"),
        wide("OS"),
        wide("OWNERSHIP"),
        wide("MODE"),
        wide("AGENT"),
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.node.clone(),
            self.group.clone(),
            self.standing.clone(),
            self.outcome.clone(),
            written(Timestamp(self.lease_until)),
            written(Timestamp(self.last_seen)),
            if self.notice.is_empty() { "-" } else { "RESTORED OR COPIED" }.to_owned(),
            self.os.clone(),
            self.ownership.clone(),
            self.mode.clone(),
            self.agent_version.clone(),
        ]
    }

    fn name(&self) -> String {
        self.node.clone()
    }
}

/// One bundle, as `-o json` writes it.
#[derive(Debug, Serialize)]
struct Bundle {
    bundle: String,
    manifest_sha256: String,
    len_bytes: u64,
    license: String,
    groups: Vec<String>,
    loaded_on: u32,
    blobs_complete: bool,
    recalled: bool,
}

impl From<BundleSummary> for Bundle {
    fn from(wire: BundleSummary) -> Self {
        let BundleSummary {
            bundle,
            manifest_sha256,
            len_bytes,
            license,
            groups,
            loaded_on,
            blobs_complete,
            recalled,
        } = wire;
        Self { bundle, manifest_sha256, len_bytes, license, groups, loaded_on, blobs_complete, recalled }
    }
}

impl Resource for Bundle {
    const COLUMNS: &'static [Column] = &[
        column("BUNDLE"),
        column("STATE"),
        column("SIZE"),
        column("GROUPS"),
        column("LOADED ON"),
        wide("LICENSE"),
        wide("MANIFEST"),
    ];

    fn cells(&self) -> Vec<String> {
        let state = match (self.recalled, self.blobs_complete) {
            (true, _) => "recalled",
            (false, true) => "published",
            (false, false) => "bytes missing",
        };
        vec![
            self.bundle.clone(),
            state.to_owned(),
            length(self.len_bytes),
            self.groups.join(","),
            self.loaded_on.to_string(),
            self.license.clone(),
            self.manifest_sha256.clone(),
        ]
    }

    fn name(&self) -> String {
        self.bundle.clone()
    }
}

/// One baseline, as `-o json` writes it.
#[derive(Debug, Serialize)]
struct Baseline {
    baseline: String,
    tier: u32,
    groups: Vec<String>,
    checks: u32,
}

impl From<BaselineSummary> for Baseline {
    fn from(wire: BaselineSummary) -> Self {
        let BaselineSummary { baseline, tier, groups, checks } = wire;
        Self { baseline, tier, groups, checks }
    }
}

impl Resource for Baseline {
    const COLUMNS: &'static [Column] =
        &[column("BASELINE"), column("TIER"), column("CHECKS"), column("GROUPS")];

    fn cells(&self) -> Vec<String> {
        vec![self.baseline.clone(), self.tier.to_string(), self.checks.to_string(), self.groups.join(",")]
    }

    fn name(&self) -> String {
        self.baseline.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::list;

    fn node() -> Node {
        Node::from(NodeSummary {
            node_id: vec![0xab; 16],
            group: "team".to_owned(),
            ownership: "personal".to_owned(),
            mode: "user".to_owned(),
            os: "linux".to_owned(),
            standing: "active".to_owned(),
            last_seen: 1_795_219_200,
            lease_until: 0,
            outcome: "no-data".to_owned(),
            agent_version: "0.1.0".to_owned(),
            notice: "an earlier boot came back".to_owned(),
            notice_at: 1_795_219_200,
        })
    }

    #[test]
    fn nodes_are_listed() {
        insta::assert_snapshot!(list(&[node()], Format::Table).expect("a table"), @"
        NODE                              GROUP  STANDING  OUTCOME  LEASE UNTIL  LAST SEEN             NOTICED
        abababababababababababababababab  team   active    no-data  -            2026-11-21T00:00:00Z  RESTORED OR COPIED
        ");
        insta::assert_snapshot!(list(&[node()], Format::Json).expect("JSON"), @r#"
        [
          {
            "node": "abababababababababababababababab",
            "group": "team",
            "ownership": "personal",
            "mode": "user",
            "os": "linux",
            "standing": "active",
            "outcome": "no-data",
            "last_seen": 1795219200,
            "lease_until": 0,
            "agent_version": "0.1.0",
            "notice": "an earlier boot came back",
            "notice_at": 1795219200
          }
        ]
        "#);
    }

    #[test]
    fn bundles_say_what_is_missing() {
        let wire = BundleSummary {
            bundle: "starter@1".to_owned(),
            manifest_sha256: "sha256:00".to_owned(),
            len_bytes: 2_332_960,
            license: "Apache-2.0".to_owned(),
            groups: vec!["team".to_owned()],
            loaded_on: 0,
            blobs_complete: false,
            recalled: false,
        };
        insta::assert_snapshot!(list(&[Bundle::from(wire)], Format::Table).expect("a table"), @"
        BUNDLE     STATE          SIZE     GROUPS  LOADED ON
        starter@1  bytes missing  2.2 MiB  team    0
        ");
    }
}
