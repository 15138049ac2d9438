//! What the processes report, taken into memory.

use croft_domain::code::Code;
use croft_domain::evidence::BundleState;
use croft_domain::id::BundleRef;

use super::Keeper;
use crate::agent::memory::Memory;
use crate::agent::succession::{is_final, note_served};
use crate::bundles::quarantine;
use crate::failure::Failure;
use crate::limits::LOAD_ATTEMPTS_MAX;
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
            WorkerChange::Ready { load_ms, checks } => {
                if let Some(progress) = memory.bundles.get_mut(bundle) {
                    progress.state = BundleState::Loaded;
                    progress.checks_passed = Some(checks);
                    progress.problem = None;
                    progress.load_failures = 0;
                }
                tracing::info!(%bundle, load_ms, checks, "loaded");
                memory.receipts.push((bundle.clone(), None, load_ms));
                self.shared.attest.notify_one();
            }
            WorkerChange::Down { code, message } => self.worker_down(memory, bundle, code, message),
        }
    }

    fn worker_down(&self, memory: &mut Memory, bundle: &BundleRef, code: Code, message: String) {
        let is_damaged = matches!(code, Code::BlobCorrupt | Code::BlobTruncated | Code::BlobMissing);
        if is_damaged {
            // The file is not what was approved: it goes, and is fetched again.
            let trust = memory.trust.clone();
            let approved = trust.as_ref().and_then(|trust| trust.bundles.get(bundle));
            for file in approved.iter().flat_map(|approved| &approved.manifest.files) {
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
        if progress.state == BundleState::Failed || is_damaged {
            memory.receipts.push((bundle.clone(), Some(code), 0));
            self.shared.attest.notify_one();
        }
        if is_damaged {
            self.shared.fetch.notify_one();
        }
    }
}
