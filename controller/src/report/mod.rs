//! Reports for people: one HTML file that needs nothing else, no script, no font, no network.
//!
//! Everything that comes from outside is escaped by the template engine; the bar is inline SVG whose widths are numbers
//! computed here. The JSON form is the domain's own document and is made by the caller.

mod controls;
mod usage;

use std::collections::BTreeSet;

use croft_domain::id::GroupName;
use croft_domain::report::{NodeLine, Report};
use croft_domain::time::Timestamp;
use croft_domain::verdict::{CheckResult, Effect, Status};
use serde::Serialize;
use tera::{Context, Tera};

use crate::clock::text;

const TEMPLATE: &str = include_str!("report.html");

/// Width of the bar, in SVG units.
const BAR_WIDTH: u64 = 1000;

/// One admin action, as shown.
#[derive(Clone, Debug)]
pub struct Action {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// What.
    pub action: String,
    /// On what.
    pub object: String,
    /// Why, or with which outcome.
    pub detail: String,
}

/// What the document shows beside the domain's report.
#[derive(Clone, Debug, Default)]
pub struct Extras {
    /// Admin actions, newest first.
    pub actions: Vec<Action>,
    /// Groups whose census is withheld because they are small.
    pub census_withheld: BTreeSet<GroupName>,
    /// When the signed state expires; none while nothing is published.
    pub metadata_expires_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct Segment {
    label: &'static str,
    class: &'static str,
    count: u32,
    x: u64,
    width: u64,
}

#[derive(Serialize)]
struct NodeView {
    id: String,
    group: String,
    ownership: &'static str,
    mode: &'static str,
    last_seen: String,
    lease_until: String,
    outcome: &'static str,
    class: &'static str,
    assurance: &'static str,
    notice: String,
    findings: Vec<FindingView>,
}

#[derive(Serialize)]
struct FindingView {
    check: String,
    subject: String,
    status: &'static str,
    effect: &'static str,
    reason: String,
    since: String,
}

/// Renders a report as self-contained HTML.
///
/// # Errors
/// If the template does not render, which is a defect of ours.
pub fn html(report: &Report, extras: &Extras) -> Result<String, tera::Error> {
    let mut tera = Tera::default();
    // The suffix decides: what ends in .html is escaped.
    tera.add_raw_template("report.html", TEMPLATE)?;
    let mut context = Context::new();
    context.insert("fleet_name", &report.fleet_name);
    context.insert("fleet", &report.fleet.to_string());
    context.insert("id", &report.id.to_string());
    context.insert("as_of", &text(report.as_of));
    context.insert("total", &report.nodes.len());
    context.insert("segments", &segments(report));
    context.insert("bar_width", &BAR_WIDTH);
    let nodes: Vec<NodeView> = report.nodes.iter().map(|node| node_view(node, report.as_of)).collect();
    context.insert("nodes", &nodes);
    context.insert(
        "metadata_expires_at",
        &extras.metadata_expires_at.map_or_else(|| "nothing is published".to_owned(), text),
    );
    insert_bundles(&mut context, report);
    insert_exceptions(&mut context, report);
    insert_census(&mut context, report, extras);
    context.insert("usage", &usage::view(&report.usage));
    context.insert("controls", &controls::lines(&report.nodes));
    let actions: Vec<[String; 5]> = extras
        .actions
        .iter()
        .map(|a| [text(a.at), a.actor.clone(), a.action.clone(), a.object.clone(), a.detail.clone()])
        .collect();
    context.insert("actions", &actions);
    tera.render("report.html", &context)
}

// Widths by largest remainder would be finer; here the last segment takes what rounding leaves, so the bar is full.
fn segments(report: &Report) -> Vec<Segment> {
    let standing = &report.standing;
    let columns = [
        ("pass", "pass", standing.pass),
        ("degraded", "warn", standing.degraded),
        ("blocked", "fail", standing.blocked),
        ("no data", "none", standing.no_data),
        ("revoked", "gone", standing.revoked),
    ];
    let total: u64 = columns.iter().map(|(_, _, count)| u64::from(*count)).sum();
    let mut before = 0;
    columns
        .into_iter()
        .map(|(label, class, count)| {
            let x = (before * BAR_WIDTH).checked_div(total).unwrap_or(0);
            before += u64::from(count);
            let end = (before * BAR_WIDTH).checked_div(total).unwrap_or(0);
            Segment { label, class, count, x, width: end - x }
        })
        .collect()
}

fn node_view(node: &NodeLine, as_of: Timestamp) -> NodeView {
    use croft_domain::evidence::{Mode, Ownership};
    let (outcome, class) = outcome(node, as_of);
    let verdict = node.verdict.as_ref();
    NodeView {
        id: node.node.to_string(),
        group: node.group.to_string(),
        ownership: match node.ownership {
            Ownership::Personal => "personal",
            Ownership::DevBudget => "dev-budget",
        },
        mode: match node.mode {
            Mode::System => "system",
            Mode::User => "user",
        },
        last_seen: node.last_seen.map_or_else(|| "never".to_owned(), text),
        lease_until: node.lease_until.map_or_else(|| "none".to_owned(), text),
        outcome,
        class,
        assurance: verdict.map_or("", |verdict| verdict.assurance.words()),
        notice: node
            .notice
            .as_ref()
            .map(|notice| format!("Noticed at {}: {}", text(notice.at), notice.what))
            .unwrap_or_default(),
        findings: verdict
            .map(|verdict| verdict.checks.iter().filter(|c| c.status != Status::Pass).map(finding).collect())
            .unwrap_or_default(),
    }
}

fn outcome(node: &NodeLine, as_of: Timestamp) -> (&'static str, &'static str) {
    let standing = croft_domain::report::Standing::of(std::slice::from_ref(node), as_of);
    match standing {
        s if s.revoked == 1 => ("revoked", "gone"),
        s if s.pass == 1 => ("pass", "pass"),
        s if s.degraded == 1 => ("degraded", "warn"),
        s if s.blocked == 1 => ("blocked", "fail"),
        _ => ("no data", "none"),
    }
}

fn finding(check: &CheckResult) -> FindingView {
    FindingView {
        check: check.check.to_string(),
        subject: check.subject.clone(),
        status: match check.status {
            Status::Pass => "pass",
            Status::Fail => "fail",
            Status::Unknown => "unknown",
            Status::NotApplicable => "not applicable",
            Status::Waived => "waived",
        },
        effect: match check.effect {
            Effect::None => "none",
            Effect::Report => "reported",
            Effect::Notify => "user notified",
            Effect::Warn => "user warned",
            Effect::Block => "blocks",
        },
        reason: check.reason.clone(),
        since: text(check.since),
    }
}

fn insert_bundles(context: &mut Context, report: &Report) {
    let bundles: Vec<[String; 5]> = report
        .bundles
        .iter()
        .map(|line| {
            [
                line.bundle.to_string(),
                std::iter::once(&line.license).chain(&line.terms).cloned().collect::<Vec<_>>().join("; "),
                joined(&line.groups),
                line.loaded_on.to_string(),
                line.files.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            ]
        })
        .collect();
    context.insert("bundles", &bundles);
}

fn insert_exceptions(context: &mut Context, report: &Report) {
    use croft_domain::recall::RecallTarget;
    use croft_domain::waiver::Scope;
    let recalls: Vec<[String; 3]> = report
        .recalls
        .iter()
        .map(|recall| {
            let target = match &recall.target {
                RecallTarget::Blob(digest) => format!("blob {digest}"),
                RecallTarget::Bundle(bundle) => format!("bundle {bundle}"),
                RecallTarget::Runtime(digest) => format!("runtime {digest}"),
            };
            [target, recall.reason.clone(), text(recall.issued_at)]
        })
        .collect();
    context.insert("recalls", &recalls);
    let waivers: Vec<[String; 4]> = report
        .waivers
        .iter()
        .map(|waiver| {
            let scope = match &waiver.scope {
                Scope::Node(node) => format!("node {node}"),
                Scope::Group(group) => format!("group {group}"),
            };
            [waiver.check.to_string(), scope, waiver.reason.clone(), text(waiver.not_after)]
        })
        .collect();
    context.insert("waivers", &waivers);
}

fn insert_census(context: &mut Context, report: &Report, extras: &Extras) {
    let census: Vec<[String; 9]> = report
        .census
        .iter()
        .map(|line| {
            let ports = line.finding.ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            [
                line.group.to_string(),
                line.finding.tool.to_string(),
                line.nodes.to_string(),
                line.finding.processes.to_string(),
                ports,
                if line.finding.exposed { "yes" } else { "no" }.to_owned(),
                line.finding.models.approved.to_string(),
                line.finding.models.known.to_string(),
                line.finding.models.unknown.to_string(),
            ]
        })
        .collect();
    context.insert("census", &census);
    let withheld: Vec<GroupName> = extras.census_withheld.iter().cloned().collect();
    context.insert("census_withheld", &joined(&withheld));
}

fn joined(groups: &[GroupName]) -> String {
    groups.iter().map(GroupName::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
