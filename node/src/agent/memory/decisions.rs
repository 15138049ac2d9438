//! What is to be done about bundles, decided from what the daemon knows at this moment: signed documents, recalls, what
//! is assigned, and for bundles of several variants what fits here, is here and was measured.

use std::collections::{BTreeMap, BTreeSet};

use croft_domain::bundle::BundleFile;
use croft_domain::digest::Sha256Digest;
use croft_domain::id::BundleRef;
use croft_domain::recall::Recall;
use croft_trust::store::TrustView;

use super::Memory;
use crate::agent::succession::with_predecessors;
use crate::bundles::plan::{Approved, OwnedDecision, decide as decide_bundles};
use crate::bundles::variants::{Ground, Survey, survey};
use crate::state::measured::Under;

impl Memory {
    /// What is to be done about every assigned bundle.
    #[must_use]
    pub fn decisions(trust: &TrustView, memory: &Self) -> BTreeMap<BundleRef, OwnedDecision> {
        let wanted: BTreeSet<BundleRef> =
            memory.kept.assigned.iter().chain(&memory.kept.imported).cloned().collect();
        let wanted: Vec<BundleRef> = wanted.into_iter().collect();
        let wanted = with_predecessors(&wanted, &memory.kept.served_last, &memory.bundles);
        Self::decide(trust, memory, &wanted)
    }

    /// What is to be done about these bundles, by the signed documents and the recalls in force.
    #[must_use]
    pub fn decide(
        trust: &TrustView,
        memory: &Self,
        wanted: &[BundleRef],
    ) -> BTreeMap<BundleRef, OwnedDecision> {
        let approved: Approved<'_> = trust
            .bundles
            .iter()
            .map(|(reference, bundle)| (reference.clone(), (&bundle.manifest, bundle.sha256)))
            .collect();
        let policy = memory.group().and_then(|group| trust.fleet.groups.get(group));
        let recalls: Vec<Recall> =
            memory.recalls.iter().filter(|recall| trust.obeys(recall)).cloned().collect();
        let (under, is_here) = (memory.under(), |digest: &Sha256Digest| memory.is_stored(digest));
        let ground = memory.ground(&recalls, under.as_ref(), &is_here);
        decide_bundles(wanted, policy, &approved, &recalls)
            .into_iter()
            .map(|(reference, decision)| (reference, OwnedDecision::of(decision, &ground)))
            .collect()
    }

    /// Looks at every variant of an approved bundle as decisions do, and has `see` draw from it.
    pub fn survey<T>(&self, bundle: &BundleRef, see: impl FnOnce(&Survey<'_>) -> T) -> Option<T> {
        let trust = self.trust.as_ref()?;
        let approved = trust.bundles.get(bundle)?;
        let recalls: Vec<Recall> = self.recalls.iter().filter(|one| trust.obeys(one)).cloned().collect();
        let (under, is_here) = (self.under(), |digest: &Sha256Digest| self.is_stored(digest));
        let ground = self.ground(&recalls, under.as_ref(), &is_here);
        Some(see(&survey(&approved.manifest, &approved.sha256, &ground)))
    }

    const fn ground<'a>(
        &'a self,
        recalls: &'a [Recall],
        under: Option<&'a Under>,
        is_here: &'a dyn Fn(&Sha256Digest) -> bool,
    ) -> Ground<'a> {
        Ground { recalls, measured: &self.measured, capacity: self.capacity, under, is_here }
    }

    fn is_stored(&self, digest: &Sha256Digest) -> bool {
        self.paths.as_ref().is_some_and(|paths| paths.blob(digest).is_file())
    }

    /// The files of a bundle in the variant that serves here; all, if none can.
    #[must_use]
    pub fn files_of(&self, bundle: &BundleRef) -> Vec<BundleFile> {
        let files = |survey: &Survey<'_>| match survey.choice.serve.and_then(|at| survey.rows.get(at)) {
            Some(row) => row.variant.files.to_vec(),
            None => survey.rows.iter().flat_map(|row| row.variant.files).cloned().collect(),
        };
        self.survey(bundle, files).unwrap_or_default()
    }

    /// Whether a blob belongs to the variant of a bundle that is loaded, or is the one to serve here.
    #[must_use]
    pub fn uses(&self, bundle: &BundleRef, blob: &Sha256Digest) -> bool {
        let loaded = self.bundles.get(bundle).and_then(|progress| progress.weights);
        let uses = |survey: &Survey<'_>| {
            let used = survey.rows.iter().filter(|row| {
                let is_loaded = loaded.is_some() && row.variant.digest() == loaded;
                is_loaded || survey.choice.serve == Some(row.variant.index)
            });
            used.flat_map(|row| row.variant.files).any(|file| file.sha256 == *blob)
        };
        self.survey(bundle, uses).unwrap_or(false)
    }

    /// The circumstances of a measurement now; none before the worker and the machine are known.
    #[must_use]
    pub fn under(&self) -> Option<Under> {
        let capacity = self.capacity?;
        let cpu = self.cpu.clone();
        Some(Under { runtime: self.runtime?, cpu, threads: capacity.threads, kv: capacity.kv })
    }
}
