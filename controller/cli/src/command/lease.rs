//! `lease`: permission to serve across an air gap. The same pure appraisal as the controller's, over evidence that a
//! person carried here; signed with a lease key of this desk that the fleet document lists.

use std::path::Path;

use croft_domain::airgap::admit;
use croft_domain::appraise::{Subject, appraise};
use croft_domain::baseline::Baseline;
use croft_domain::digest::Sha256Digest;
use croft_domain::evidence::{BundleState, Evidence};
use croft_domain::fleet::GroupPolicy;
use croft_domain::id::{BaselineRef, BundleRef, GroupName, LeaseId, NodeId, VerdictId};
use croft_domain::lease::{Lease, LeaseError, LeaseRequest};
use croft_domain::limits::EVIDENCE_LEN_MAX;
use croft_domain::signed::{Domain, Envelope};
use croft_domain::time::Timestamp;
use croft_domain::verdict::Verdict;
use croft_link::node_name::node_of_chain;
use croft_trust::carried::{Carried, EvidenceFile, LeaseFile, LeaseKind};
use croft_trust::digest::sha256;
use croft_trust::sign::{sign_envelope, verify};
use serde::Serialize;

use super::assign::no_group;
use super::listed_key::make_listed_key;
use super::trust::good_until;
use crate::args::{self, Format};
use crate::client::{signer, unusable};
use crate::clock::{now, written};
use crate::error::CtlError;
use crate::fleet_dir::{FleetDir, KeyName, read, write};
use crate::ledger::{Entry, Ledger};
use crate::limits::DOCUMENT_LEN_MAX;
use crate::output::{Column, Resource, clean, column, print_list, say};
use crate::random;
use crate::workbench::Workbench;

/// Runs `lease`.
///
/// # Errors
/// The evidence is not to be judged, the verdict blocks, or a key cannot be used.
pub async fn run(dir: &FleetDir, verb: &args::Lease, format: Format) -> Result<(), CtlError> {
    match verb {
        args::Lease::Key => key(dir).await,
        args::Lease::Issue { evidence, group, out } => issue(dir, evidence, group.as_ref(), out),
        args::Lease::List => list(dir, format),
    }
}

async fn key(dir: &FleetDir) -> Result<(), CtlError> {
    let (_, until) = make_listed_key(dir, KeyName::Lease, |fleet| &mut fleet.lease_keys).await?;
    say(&format!("leases signed with {} count until {}", dir.key(KeyName::Lease).display(), written(until)));
    say("nodes behind the gap must have these documents first: carry them as you carry bundles");
    Ok(())
}

fn issue(dir: &FleetDir, file: &Path, group: Option<&GroupName>, out: &Path) -> Result<(), CtlError> {
    let workbench = Workbench::open(dir)?;
    let at = now();
    let (node, node_point, envelope, evidence) = identify(dir, &workbench, file)?;
    let mut ledger = Ledger::open(dir, node)?;
    admit(&evidence, ledger.last_seen()?.as_ref(), at)
        .map_err(|e| unfit(file, &e.to_string(), "run croft evidence export there again, and carry that"))?;
    // A node that the signed fleet document puts into a group is judged in that one, whatever was typed.
    let group = group_of(&ledger, node, group)?;
    let group = workbench.fleet().group_of(node, &group).clone();
    let policy = workbench.fleet().groups.get(&group).ok_or_else(|| no_group(&group))?;
    let baseline = newest_baseline(&workbench, policy)?;
    let subject = Subject::self_reported(&group);
    let verdict = appraise(&baseline, &workbench.waivers()?, &evidence, &ledger.history()?, &subject, at);
    let granted = Lease::grant(LeaseRequest {
        id: LeaseId(random::bytes()?),
        node,
        node_key: sha256(&node_point),
        verdict_id: VerdictId(random::bytes()?),
        verdict: &verdict,
        evidence: sha256(&envelope.payload),
        runtime: evidence.runtime_sha256,
        bundles: bundles(&workbench, policy, &evidence)?,
        ttl_s: baseline.lease_ttl_s,
        unseen_since: evidence.taken_at,
        metadata_expires_at: good_until(dir, &workbench, at)?,
        now: at,
    });
    let lease = granted.as_ref().ok().map(|lease| sign(dir, lease)).transpose()?;
    // The judgment is kept before its lease leaves: what was given out is never missing from the ledger.
    ledger.append(entry(group.clone(), at, envelope, &verdict, lease.clone())?)?;
    match (granted, lease) {
        (Ok(granted), Some(lease)) => hand_out(out, node, &granted, lease),
        (Err(error), _) => Err(refusal(&error, &verdict)),
        (Ok(_), None) => Err(refusal(&LeaseError::NotCompliant, &verdict)),
    }
}

fn hand_out(out: &Path, node: NodeId, granted: &Lease, lease: Carried) -> Result<(), CtlError> {
    let bytes = serde_json::to_vec_pretty(&LeaseFile { kind: LeaseKind::Lease, lease })
        .map_err(|e| CtlError::AnswerWrite { source: Box::new(e) })?;
    write(out, &bytes, 0o600)?;
    let until = written(granted.expires_at);
    say(&format!(
        "node {node} may serve until {until}, under {}; carry {} there",
        granted.baseline,
        out.display()
    ));
    say(&format!("there: croft import {}", out.display()));
    Ok(())
}

fn unfit(file: &Path, why: &str, hint: &str) -> CtlError {
    CtlError::Evidence { path: file.to_owned(), message: why.to_owned(), hint: hint.to_owned() }
}

/// Whose evidence it is, by the fleet's own CA, and what it says.
fn identify(
    dir: &FleetDir,
    workbench: &Workbench,
    file: &Path,
) -> Result<(NodeId, [u8; 65], Envelope, Evidence), CtlError> {
    let no = |why: &str| unfit(file, why, "it must be the unchanged file that croft evidence export wrote");
    let bytes = read(file, DOCUMENT_LEN_MAX)?;
    let EvidenceFile { kind: _, evidence, certificate_chain_pem } =
        serde_json::from_slice(&bytes).map_err(|e| no(&format!("it is no exported evidence: {e}")))?;
    let pins = &workbench.fleet().ca_pins;
    let (node, node_point) = node_of_chain(&certificate_chain_pem, pins, &dir.settings()?.fleet)
        .map_err(|e| no(&format!("its certificate: {e}")))?;
    let envelope = Envelope::try_from(evidence).map_err(|_| no("its signature is not hexadecimal"))?;
    if envelope.payload.len() > EVIDENCE_LEN_MAX {
        return Err(no("the evidence is longer than 16 KiB"));
    }
    verify(&envelope, Domain::Evidence, &node_point)
        .map_err(|_| no("it is not signed by this node's key"))?;
    let evidence: Evidence = serde_json::from_slice(&envelope.payload)
        .map_err(|e| no(&format!("the evidence does not parse: {e}")))?;
    evidence.check_bounds().map_err(|e| no(&e.to_string()))?;
    if evidence.node != node {
        return Err(no("it is about another node than its certificate names"));
    }
    Ok((node, node_point, envelope, evidence))
}

/// The group is the desk's word and not the node's: a node could name one with laxer rules.
fn group_of(ledger: &Ledger, node: NodeId, named: Option<&GroupName>) -> Result<GroupName, CtlError> {
    let known = ledger.entries.last().map(|entry| &entry.group);
    match (named, known) {
        (Some(named), Some(known)) if named != known => {
            say(&format!("note: node {node} was judged in group {known} before"));
            Ok(named.clone())
        }
        (Some(group), _) | (None, Some(group)) => Ok(group.clone()),
        (None, None) => Err(CtlError::Input {
            what: "--group".to_owned(),
            expected: format!("the group of node {node}, which this desk has not judged before"),
        }),
    }
}

fn newest_baseline(workbench: &Workbench, policy: &GroupPolicy) -> Result<Baseline, CtlError> {
    let name = &policy.baseline.name;
    let mut versions = workbench.baseline_versions(name);
    versions.sort_unstable();
    for version in versions.into_iter().rev() {
        let reference = BaselineRef { name: name.clone(), version };
        if let Some(baseline) = workbench.baseline(&reference)?.filter(|baseline| policy.accepts(baseline)) {
            return Ok(baseline);
        }
    }
    Err(CtlError::NotFound {
        what: format!("signed baseline that meets {} and tier {}", policy.baseline, policy.tier),
        hint: "croftctl apply -f FILE.yaml signs one".to_owned(),
    })
}

/// What the node has and its group may serve.
fn bundles(
    workbench: &Workbench,
    policy: &GroupPolicy,
    evidence: &Evidence,
) -> Result<Vec<BundleRef>, CtlError> {
    let mut allowed = Vec::new();
    for status in evidence.bundles.iter().filter(|status| status.state != BundleState::Recalled) {
        if policy.allows_bundle(&status.bundle) && workbench.bundle(&status.bundle)?.is_some() {
            allowed.push(status.bundle.clone());
        }
    }
    Ok(allowed)
}

fn sign(dir: &FleetDir, lease: &Lease) -> Result<Carried, CtlError> {
    let payload = serde_json::to_vec(lease).map_err(|e| CtlError::AnswerWrite { source: Box::new(e) })?;
    let envelope = sign_envelope(&*signer(dir, KeyName::Lease)?, Domain::Lease, payload)
        .map_err(unusable("use", dir, KeyName::Lease))?;
    Ok(envelope.into())
}

fn entry(
    group: GroupName,
    at: Timestamp,
    envelope: Envelope,
    verdict: &Verdict,
    lease: Option<Carried>,
) -> Result<Entry, CtlError> {
    let verdict =
        serde_json::to_string(verdict).map_err(|e| CtlError::AnswerWrite { source: Box::new(e) })?;
    let salt = hex::encode(random::bytes::<32>()?);
    Ok(Entry { group, at, salt, evidence: envelope.into(), verdict, lease, head: Sha256Digest([0; 32]) })
}

fn refusal(error: &LeaseError, verdict: &Verdict) -> CtlError {
    let blocks = verdict.first_block();
    let message = blocks.map_or_else(
        || error.to_string(),
        |check| clean(&format!("{error}: {} on {}: {}", check.check, check.subject, check.reason)),
    );
    let remedy = blocks.and_then(|check| check.remedy.as_ref()).map(|remedy| remedy.action.clone());
    CtlError::NotCompliant {
        message,
        hint: remedy.unwrap_or_else(|| "croftctl trust refresh, if the metadata has expired".to_owned()),
    }
}

fn list(dir: &FleetDir, format: Format) -> Result<(), CtlError> {
    let mut lines = Vec::new();
    for node in Ledger::nodes(dir)? {
        let ledger = Ledger::open(dir, node)?;
        lines.extend(ledger.entries.iter().map(|entry| Line::of(node, entry)));
    }
    print_list(&lines, format)
}

/// One judgment, as `-o json` writes it.
#[derive(Debug, Serialize)]
struct Line {
    node: String,
    group: String,
    at: u64,
    lease_until: u64,
    head: String,
}

impl Line {
    fn of(node: NodeId, entry: &Entry) -> Self {
        let lease = entry.lease.as_ref().and_then(|lease| serde_json::from_str::<Lease>(&lease.payload).ok());
        Self {
            node: node.to_string(),
            group: entry.group.to_string(),
            at: entry.at.0,
            lease_until: lease.map_or(0, |lease| lease.expires_at.0),
            head: entry.head.to_string(),
        }
    }
}

impl Resource for Line {
    const COLUMNS: &'static [Column] =
        &[column("NODE"), column("GROUP"), column("JUDGED"), column("LEASE UNTIL")];

    fn cells(&self) -> Vec<String> {
        let until =
            if self.lease_until == 0 { "none".to_owned() } else { written(Timestamp(self.lease_until)) };
        vec![self.node.clone(), self.group.clone(), written(Timestamp(self.at)), until]
    }

    fn name(&self) -> String {
        self.node.clone()
    }
}

#[cfg(test)]
#[path = "lease_tests.rs"]
mod tests;
