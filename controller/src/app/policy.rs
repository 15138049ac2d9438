//! What follows from the signed state for one group: its baseline, and which bundles may be leased to it.

use croft_domain::baseline::Baseline;
use croft_domain::bundle::Manifest;
use croft_domain::id::{BundleRef, GroupName};
use croft_domain::recall::{Recall, stopping};
use croft_domain::signed::Envelope;
use croft_trust::store::TrustView;

use super::AppError;
use crate::store::Assignment;

/// The newest baseline that the group's floor accepts.
pub(super) fn baseline_of<'a>(view: &'a TrustView, group: &GroupName) -> Result<&'a Baseline, AppError> {
    let policy = view
        .fleet
        .groups
        .get(group)
        .ok_or_else(|| AppError::Unapproved(format!("the fleet document does not know group {group}")))?;
    // Ordered by name, then version: the last accepted one is the newest.
    view.baselines
        .iter()
        .rev()
        .find(|(_, baseline)| policy.accepts(baseline))
        .map(|(_, baseline)| baseline)
        .ok_or_else(|| {
            AppError::Unapproved(format!("no published baseline meets {} of group {group}", policy.baseline))
        })
}

/// What may be served by the group: assigned, signed, allowed to the group, and not recalled.
pub(super) fn bundles_of(
    view: &TrustView,
    group: &GroupName,
    assignments: &[Assignment],
    recalls: &[Recall],
) -> Vec<BundleRef> {
    let Some(policy) = view.fleet.groups.get(group) else { return Vec::new() };
    assignments
        .iter()
        .filter(|assignment| assignment.group == *group && policy.allows_bundle(&assignment.bundle))
        .filter_map(|assignment| view.bundles.get_key_value(&assignment.bundle))
        .filter(|(_, approved)| !is_recalled(&approved.manifest, recalls))
        .map(|(reference, _)| reference.clone())
        .collect()
}

/// What the group may be leased to serve: what it may serve, and other versions of the same names that its signed policy
/// still allows. A node goes on with the version it has until the assigned one works there.
pub(super) fn leasable_of(
    view: &TrustView,
    group: &GroupName,
    assignments: &[Assignment],
    recalls: &[Recall],
) -> Vec<BundleRef> {
    let assigned = bundles_of(view, group, assignments, recalls);
    let Some(policy) = view.fleet.groups.get(group) else { return Vec::new() };
    let is_named = |reference: &BundleRef| assigned.iter().any(|bundle| bundle.name == reference.name);
    view.bundles
        .iter()
        .filter(|(reference, approved)| {
            is_named(reference)
                && policy.allows_bundle(reference)
                && !is_recalled(&approved.manifest, recalls)
        })
        .map(|(reference, _)| reference.clone())
        .collect()
}

/// Whether any recall stops this bundle.
pub(super) fn is_recalled(manifest: &Manifest, recalls: &[Recall]) -> bool {
    stopping(recalls, manifest).is_some()
}

/// The orders in envelopes that count: those that the publishers have not taken back.
pub(super) fn recalls_in_force(view: &TrustView, envelopes: &[Envelope]) -> Result<Vec<Recall>, AppError> {
    let mut recalls = parse_recalls(envelopes)?;
    recalls.retain(|recall| view.obeys(recall));
    Ok(recalls)
}

/// The orders in envelopes that were verified when they came in.
pub(super) fn parse_recalls(envelopes: &[Envelope]) -> Result<Vec<Recall>, AppError> {
    envelopes
        .iter()
        .map(|envelope| {
            serde_json::from_slice(&envelope.payload)
                .map_err(|_| AppError::Internal("a stored recall does not parse"))
        })
        .collect()
}
