//! Composing a report from what is on the books. Rendering is in `report`.

use std::collections::{BTreeMap, BTreeSet};

use croft_domain::census::Finding;
use croft_domain::evidence::Evidence;
use croft_domain::id::{CheckName, GroupName, NodeId, ReportId};
use croft_domain::report::{BundleLine, CensusLine, NodeLine, Report, Standing};
use croft_domain::time::Timestamp;

use super::inventory::node_line;
use super::policy::parse_recalls;
use super::{Actor, App, AppError, random};
use crate::limits;
use crate::report::{Action, Extras, html};
use crate::store::{AuditEntry, ReportRow, StoredReport, VerdictRow};

/// Admin actions that a report shows.
const ACTIONS_SHOWN: u32 = 100;

/// How far back a report shows them, in seconds (thirty-one days).
const ACTIONS_SINCE_S: u64 = 31 * 86_400;

impl App {
    /// Composes, renders and keeps a report of the state at `now`.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn create_report(&self, actor: &Actor, now: Timestamp) -> Result<ReportId, AppError> {
        let (report, extras) = self.compose(now).await?;
        let json = serde_json::to_vec_pretty(&report)
            .map_err(|_| AppError::Internal("a report does not serialize"))?;
        let html = html(&report, &extras).map_err(|error| {
            tracing::error!(%error, "cannot render a report");
            AppError::Internal("a report does not render")
        })?;
        let row = ReportRow { id: report.id, as_of: now, nodes: report.nodes.len() as u64 };
        let stored = StoredReport { row, html: html.into_bytes(), json };
        self.store.add_report(&stored, limits::REPORTS_KEPT).await?;
        self.audit(actor, "report.create", &report.id.to_string(), "", now).await?;
        Ok(report.id)
    }

    /// The report that nobody asked for: made on schedule.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn create_scheduled_report(&self, now: Timestamp) -> Result<ReportId, AppError> {
        self.create_report(&Actor { name: "schedule".to_owned() }, now).await
    }

    async fn compose(&self, now: Timestamp) -> Result<(Report, Extras), AppError> {
        let last: BTreeMap<NodeId, VerdictRow> = self.store.last_verdicts().await?.into_iter().collect();
        let rows: Vec<_> = self.store.nodes().await?.into_iter().map(|row| self.settled(row)).collect();
        let nodes: Vec<NodeLine> =
            rows.iter().map(|row| node_line(row, last.get(&row.id))).collect::<Result<_, _>>()?;
        let (census, withheld) = census(&nodes, &last)?;
        let usage = self.tally(&nodes, now).await?;
        let published = self.mirror.current();
        let view = published.as_ref().map(|published| &published.view);
        let bundles = self.list_bundles().await?;
        let lines = bundles.into_iter().filter_map(|bundle| {
            let manifest = &view?.bundles.get(&bundle.reference)?.manifest;
            Some(BundleLine {
                files: manifest.every_file().map(|file| file.sha256).collect(),
                terms: manifest.license.terms(),
                bundle: bundle.reference,
                license: bundle.license,
                groups: bundle.groups,
                loaded_on: bundle.loaded_on,
            })
        });
        let waivers = view.map(|view| view.waivers.as_slice()).unwrap_or_default();
        let report = Report {
            id: ReportId(random()?),
            fleet: self.fleet,
            fleet_name: self.fleet_name.clone(),
            as_of: now,
            standing: Standing::of(&nodes, now),
            nodes,
            bundles: lines.collect(),
            census,
            usage,
            recalls: parse_recalls(&self.store.recalls().await?)?,
            waivers: waivers
                .iter()
                .filter(|waiver| waiver.not_before <= now && now < waiver.not_after)
                .cloned()
                .collect(),
        };
        let actions = self.store.audit_since(now.minus(ACTIONS_SINCE_S), ACTIONS_SHOWN).await?;
        let extras = Extras {
            actions: actions.into_iter().map(action).collect(),
            census_withheld: withheld,
            metadata_expires_at: view.map(|view| view.expires_at),
        };
        Ok((report, extras))
    }
}

fn action(entry: AuditEntry) -> Action {
    let AuditEntry { at, actor, action, object, detail } = entry;
    Action { at, actor, action, object, detail }
}

// Sums findings by group. A group below the minimum is withheld: a number about three people is about a person.
fn census(
    nodes: &[NodeLine],
    last: &BTreeMap<NodeId, VerdictRow>,
) -> Result<(Vec<CensusLine>, BTreeSet<GroupName>), AppError> {
    let mut sizes: BTreeMap<&GroupName, usize> = BTreeMap::new();
    for node in nodes.iter().filter(|node| !node.revoked) {
        *sizes.entry(&node.group).or_default() += 1;
    }
    let mut sums: BTreeMap<(GroupName, CheckName), (Finding, u32)> = BTreeMap::new();
    let mut withheld = BTreeSet::new();
    for node in nodes.iter().filter(|node| !node.revoked) {
        let Some(body) = last.get(&node.node).filter(|last| !last.evidence.is_empty()) else { continue };
        let evidence: Evidence = serde_json::from_slice(&body.evidence)
            .map_err(|_| AppError::Internal("stored evidence does not parse"))?;
        if sizes.get(&node.group).copied().unwrap_or(0) < limits::CENSUS_GROUP_MIN {
            if !evidence.census.is_empty() {
                withheld.insert(node.group.clone());
            }
            continue;
        }
        for found in evidence.census {
            let (sum, count) = sums
                .entry((node.group.clone(), found.tool.clone()))
                .or_insert_with(|| (Finding::none_of(found.tool.clone()), 0));
            sum.absorb(found);
            *count += 1;
        }
    }
    let lines =
        sums.into_iter().map(|((group, _), (finding, nodes))| CensusLine { group, finding, nodes }).collect();
    Ok((lines, withheld))
}
