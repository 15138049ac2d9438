//! What a census is reconciled with: the files of every bundle in the signed targets, approved for this node's group or
//! only known.

use croft_domain::bundle::BundleFile;
use croft_domain::census::{Catalog, CatalogFile, ModelStanding};
use croft_domain::digest::Sha256Digest;
use croft_domain::recall::{RecallTarget, stopping};

use super::memory::Memory;
use crate::bundles::plan::OwnedDecision;

/// The catalog; none before the first signed documents.
#[must_use]
pub fn catalog(memory: &Memory) -> Option<Catalog> {
    let trust = memory.trust.as_ref()?;
    let group = memory.identity.as_ref().map(|identity| &identity.enrollment.group);
    let policy = group.and_then(|group| trust.fleet.groups.get(group));
    let mut catalog = Catalog::default();
    for (reference, bundle) in &trust.bundles {
        let allowed = policy.is_some_and(|policy| policy.allows_bundle(reference))
            && stopping(&memory.recalls, &bundle.manifest).is_none();
        let is_recalled = |file: &BundleFile| {
            let target = RecallTarget::Blob(file.sha256);
            memory.recalls.iter().any(|recall| recall.target == target)
        };
        for file in bundle.manifest.every_file() {
            let standing = match allowed && !is_recalled(file) {
                true => ModelStanding::Approved,
                false => ModelStanding::Known,
            };
            let Some(head) = file.chunks.first() else { continue };
            let listed = CatalogFile {
                bundle: reference.clone(),
                standing,
                len_bytes: file.len_bytes,
                head_len_bytes: file.len_bytes.min(file.chunk_len_bytes),
                head: *head,
            };
            // The same bytes in two bundles are as good as the better of them.
            let better = |old: &CatalogFile| old.standing <= standing;
            if !catalog.files.get(&file.sha256).is_some_and(better) {
                catalog.files.insert(file.sha256, listed);
            }
        }
    }
    Some(catalog)
}

/// A file of a bundle that belongs on this machine: assigned, approved for its group, and not recalled.
#[must_use]
pub fn assigned_file(memory: &Memory, digest: Sha256Digest) -> Option<BundleFile> {
    let trust = memory.trust.as_ref()?;
    let decisions = Memory::decisions(trust, memory);
    decisions.into_values().find_map(|decision| match decision {
        OwnedDecision::Keep { manifest, trial, .. } => {
            let trial = trial.into_iter().flat_map(|trial| trial.files);
            manifest.files.into_iter().chain(trial).find(|file| file.sha256 == digest)
        }
        _ => None,
    })
}
