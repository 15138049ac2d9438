//! What the processes report, taken into memory.

use croft_domain::code::Code;
use croft_domain::evidence::BundleState;
use croft_domain::id::BundleRef;
use croft_trust::store::ApprovedBundle;

use super::Keeper;
use crate::agent::memory::Memory;
use crate::agent::succession::{is_final, note_served};
use crate::bundles::quarantine;
use crate::clock;
use crate::failure::Failure;
use crate::limits::LOAD_ATTEMPTS_MAX;
use crate::state::measured::{Measurement, Record};
use crate::supervisor::{Event, WorkerChange};

impl Keeper {
    pub(super) fn hear(&self, event: Event) {
        let mut memory = self.shared.memory();
        match event {
            Event::GatewayStarted { pid } => memory.gateway_pid = Some(pid),
            Event::GatewayProof(proof) => {
                let is_new = memory.gateway_proof.as_ref() != Some(&proof);
                memory.gateway_proof = Some(proof);
                if is_new {
                    self.shared.attest.notify_one();
                }
            }
            Event::GatewayDown { .. } => {
                memory.gateway_pid = None;
                memory.gateway_proof = None;
            }
            Event::Usage { slot, counted } => {
                let bundle = self.supervisor.loaded().find(|(_, at)| *at == slot).map(|(bundle, _)| bundle);
                if let Some(bundle) = bundle {
                    memory.counters.count(&bundle.name, &counted);
                }
            }
            // What a worker with a model proved is newer, or as good.
            Event::WorkerProof(proof) => {
                if memory.worker_proof.is_none() {
                    memory.worker_proof = Some(proof);
                    self.shared.attest.notify_one();
                }
            }
            Event::Worker { bundle, change } => {
                let is_ready = matches!(change, WorkerChange::Ready { .. });
                self.hear_worker(&mut memory, &bundle, change);
                if is_ready && note_served(&mut memory.kept.served_last, &bundle) {
                    drop(memory);
                    if let Err(e) = self.shared.keep(|_| {}) {
                        tracing::error!(error = %Failure::caused(e.code(), &e), "cannot keep which version served");
                    }
                }
            }
        }
    }

    fn hear_worker(&self, memory: &mut Memory, bundle: &BundleRef, change: WorkerChange) {
        match change {
            WorkerChange::Proof(proof) => {
                let is_new = memory.worker_proof.as_ref() != Some(&proof);
                memory.worker_proof = Some(proof);
                if is_new {
                    self.shared.attest.notify_one();
                }
            }
            WorkerChange::Started { pid } => {
                if let Some(progress) = memory.bundles.get_mut(bundle) {
                    progress.worker_pid = Some(pid);
                }
            }
            WorkerChange::Planned { plan, ceiling_bytes } => {
                if let Some(progress) = memory.bundles.get_mut(bundle) {
                    progress.memory = Some((plan, ceiling_bytes));
                }
            }
            WorkerChange::Progress { .. } => {}
            WorkerChange::Rested => {
                tracing::info!(%bundle, "unloaded until somebody asks for it");
                if let Some(progress) = memory.bundles.get_mut(bundle) {
                    progress.worker_pid = None;
                    progress.state = BundleState::Installed;
                }
            }
            WorkerChange::Ready { load_ms, checks, cpu, weights } => {
                if let Some(progress) = memory.bundles.get_mut(bundle) {
                    progress.state = BundleState::Loaded;
                    progress.checks_passed = Some(checks);
                    progress.problem = None;
                    progress.load_failures = 0;
                    progress.weights = weights;
                }
                tracing::info!(%bundle, load_ms, checks, cpu, "loaded");
                memory.cpu = cpu;
                memory.receipts.push((bundle.clone(), None, load_ms));
                self.shared.attest.notify_one();
            }
            WorkerChange::Down { code, message } => self.worker_down(memory, bundle, code, message),
        }
    }

    /// Another variant takes the place of one that does not come up here, if the manifest lists one that may.
    fn fall_back(&self, memory: &mut Memory, bundle: &BundleRef) {
        let variants = |approved: &ApprovedBundle| !approved.manifest.variants.is_empty();
        let approved = memory.trust.as_ref().and_then(|trust| trust.bundles.get(bundle));
        let Some(manifest) = approved.filter(|a| variants(a)).map(|approved| approved.sha256) else { return };
        let Some((variant, under)) = self.supervisor.weights_of(bundle).zip(memory.under()) else { return };
        let problem = memory.bundles.get(bundle).and_then(|progress| progress.problem.as_ref());
        let reason = problem.map(|failure| format!("{}: {failure}", failure.code())).unwrap_or_default();
        let measurement = Measurement::Failed { reason };
        memory.measured.note(Record { manifest, variant, under, measurement, at: clock::now() });
        if let Err(e) = memory.measured.save(&self.shared.paths) {
            tracing::error!(error = %Failure::caused(e.code(), &e), "cannot keep which variant failed");
        }
        let next = memory.files_of(bundle);
        if next.first().is_none_or(|file| file.sha256 == variant) {
            return;
        }
        if let Some(progress) = memory.bundles.get_mut(bundle) {
            progress.state = BundleState::Fetching;
            progress.load_failures = 0;
        }
        self.shared.changed();
        self.shared.fetch.notify_one();
    }

    fn worker_down(&self, memory: &mut Memory, bundle: &BundleRef, code: Code, message: String) {
        let is_damaged = matches!(code, Code::BlobCorrupt | Code::BlobTruncated | Code::BlobMissing);
        if is_damaged {
            // The file is not what was approved: it goes, and is fetched again.
            for file in memory.files_of(bundle) {
                let _ = quarantine::remove(&self.shared.paths, &file.sha256);
            }
        }
        let Some(progress) = memory.bundles.get_mut(bundle) else { return };
        progress.worker_pid = None;
        progress.checks_passed = None;
        let was_loaded = progress.state == BundleState::Loaded;
        progress.load_failures = if was_loaded { 0 } else { progress.load_failures + 1 };
        progress.problem = Some(Failure::new(code, message));
        progress.state = match () {
            () if is_damaged => BundleState::Fetching,
            () if code == Code::MemoryPlan => BundleState::Failed,
            () if is_final(code) || progress.load_failures >= LOAD_ATTEMPTS_MAX => BundleState::Failed,
            () => BundleState::Installed,
        };
        let is_failed = progress.state == BundleState::Failed;
        if is_failed || is_damaged {
            memory.receipts.push((bundle.clone(), Some(code), 0));
            self.shared.attest.notify_one();
        }
        if is_failed {
            self.fall_back(memory, bundle);
        }
        if is_damaged {
            self.shared.fetch.notify_one();
        }
    }
}
