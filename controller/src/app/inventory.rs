//! What there is: nodes, bundles, baselines, as admins list them and reports count them.

use std::collections::BTreeMap;

use croft_domain::id::{BaselineRef, BundleRef, GroupName, NodeId};
use croft_domain::report::{NodeLine, Standing as Columns};
use croft_domain::time::Timestamp;
use croft_domain::verdict::Verdict;

use super::cloned::notice_of;
use super::policy::{is_recalled, recalls_in_force};
use super::{App, AppError};
use crate::store::{NodeRow, Standing, VerdictRow};

/// A node's last judgment in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every check passes.
    Pass,
    /// It may serve, though a check fails in a milder mode.
    Degraded,
    /// It may not serve.
    Blocked,
    /// Never judged, silent for longer than its lease, or no longer of the fleet.
    NoData,
}

/// A node with its last judgment and evidence.
pub struct NodeDetail {
    /// The node.
    pub row: NodeRow,
    /// In one word.
    pub outcome: Outcome,
    /// The last link of its chain.
    pub last: Option<VerdictRow>,
}

/// A published bundle.
pub struct BundleView {
    /// Which.
    pub reference: BundleRef,
    /// SHA-256 of its manifest, `sha256:…`.
    pub manifest_sha256: String,
    /// Sum of its files' lengths, in bytes.
    pub len_bytes: u64,
    /// License.
    pub license: String,
    /// Groups it is assigned to.
    pub groups: Vec<GroupName>,
    /// Active nodes that have it loaded.
    pub loaded_on: u32,
    /// Whether all its blobs are here.
    pub blobs_complete: bool,
    /// Whether a recall stops it.
    pub recalled: bool,
}

/// A published baseline.
pub struct BaselineView {
    /// Which.
    pub reference: BaselineRef,
    /// Its tier.
    pub tier: u8,
    /// Groups whose newest accepted baseline it is.
    pub groups: Vec<GroupName>,
    /// How many checks it has.
    pub checks: usize,
}

impl App {
    /// Every node with its outcome.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn list_nodes(&self, now: Timestamp) -> Result<Vec<(NodeRow, Outcome)>, AppError> {
        let mut last: BTreeMap<NodeId, VerdictRow> = self.store.last_verdicts().await?.into_iter().collect();
        let rows = self.store.nodes().await?;
        rows.into_iter()
            .map(|row| self.settled(row))
            .map(|row| {
                let line = node_line(&row, last.remove(&row.id).as_ref())?;
                Ok((row, outcome(&line, now)))
            })
            .collect()
    }

    /// One node.
    ///
    /// # Errors
    /// [`AppError::NotFound`].
    pub async fn describe_node(&self, id: NodeId, now: Timestamp) -> Result<NodeDetail, AppError> {
        let row = self.store.node(id).await?.ok_or_else(|| AppError::NotFound(format!("node {id}")))?;
        let row = self.settled(row);
        let last = self.store.last_verdict(id).await?;
        let line = node_line(&row, last.as_ref())?;
        Ok(NodeDetail { outcome: outcome(&line, now), row, last })
    }

    /// Every published bundle.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn list_bundles(&self) -> Result<Vec<BundleView>, AppError> {
        let Some(published) = self.mirror.current() else { return Ok(Vec::new()) };
        let assignments = self.store.assignments().await?;
        let recalls = recalls_in_force(&published.view, &self.store.recalls().await?)?;
        let loaded = self.store.loaded_counts().await?;
        let views = published.view.bundles.iter().map(|(reference, approved)| {
            let manifest = &approved.manifest;
            BundleView {
                reference: reference.clone(),
                manifest_sha256: approved.sha256.to_string(),
                len_bytes: manifest.len_bytes(),
                license: manifest.license.id.clone(),
                groups: assignments
                    .iter()
                    .filter(|a| a.bundle == *reference)
                    .map(|a| a.group.clone())
                    .collect(),
                loaded_on: loaded.get(&reference.to_string()).copied().unwrap_or(0),
                blobs_complete: manifest.every_file().all(|file| self.blobs.has(file.sha256, file.len_bytes)),
                recalled: is_recalled(manifest, &recalls),
            }
        });
        Ok(views.collect())
    }

    /// Every published baseline.
    #[must_use]
    pub fn list_baselines(&self) -> Vec<BaselineView> {
        let Some(published) = self.mirror.current() else { return Vec::new() };
        let view = &published.view;
        let in_force: Vec<(GroupName, BaselineRef)> = view
            .fleet
            .groups
            .keys()
            .filter_map(|group| {
                Some((group.clone(), super::policy::baseline_of(view, group).ok()?.reference()))
            })
            .collect();
        view.baselines
            .iter()
            .map(|(reference, baseline)| BaselineView {
                reference: reference.clone(),
                tier: baseline.tier,
                groups: in_force
                    .iter()
                    .filter(|(_, used)| used == reference)
                    .map(|(group, _)| group.clone())
                    .collect(),
                checks: baseline.checks.len(),
            })
            .collect()
    }
}

/// A node as a report lists it.
pub(super) fn node_line(row: &NodeRow, last: Option<&VerdictRow>) -> Result<NodeLine, AppError> {
    let verdict: Option<Verdict> = last
        .filter(|last| !last.verdict.is_empty())
        .map(|last| serde_json::from_slice(&last.verdict))
        .transpose()
        .map_err(|_| AppError::Internal("a stored verdict does not parse"))?;
    let known = |at: Timestamp| (at > Timestamp(0)).then_some(at);
    Ok(NodeLine {
        node: row.id,
        group: row.group.clone(),
        ownership: row.ownership,
        mode: row.mode,
        last_seen: known(row.last_seen),
        lease_until: known(row.lease_until),
        revoked: row.standing != Standing::Active,
        notice: notice_of(row),
        verdict,
    })
}

fn outcome(line: &NodeLine, now: Timestamp) -> Outcome {
    // The report's own columns decide, so that list and report cannot disagree.
    let columns = Columns::of(std::slice::from_ref(line), now);
    match columns {
        Columns { pass: 1, .. } => Outcome::Pass,
        Columns { degraded: 1, .. } => Outcome::Degraded,
        Columns { blocked: 1, .. } => Outcome::Blocked,
        _ => Outcome::NoData,
    }
}
