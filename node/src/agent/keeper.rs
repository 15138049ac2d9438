//! Keeps the processes in line with what is allowed: each second and at every change it decides anew, tells the gateway,
//! and loads or ends workers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use croft_domain::bundle::{BundleFile, Manifest};
use croft_domain::code::Code;
use croft_domain::evidence::BundleState;
use croft_domain::id::BundleRef;
use croft_domain::recall::{Recall, RecallTarget};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::decide::Serving;
use super::memory::{Memory, Shared};
use super::order::order;
use super::succession::is_final;
use crate::bundles::plan::OwnedDecision::{self, Keep};
use crate::clock;
use crate::config::Config;
use crate::failure::Failure;
use crate::limits::{LOAD_ATTEMPTS_MAX, TICK};
use crate::supervisor::{Event, Supervisor};

mod events;
mod policy;
mod retiring;

type Decisions = BTreeMap<BundleRef, OwnedDecision>;

/// Keeps the processes.
pub struct Keeper {
    shared: Arc<Shared>,
    supervisor: Supervisor,
    config: Config,
    last_refusal: Option<Option<Failure>>,
    /// Versions whose successor serves, since when: what they were asked before is answered.
    retiring_since: BTreeMap<BundleRef, Instant>,
}

impl Keeper {
    /// A keeper of these processes.
    #[must_use]
    pub const fn new(shared: Arc<Shared>, supervisor: Supervisor, config: Config) -> Self {
        Self { shared, supervisor, config, last_refusal: None, retiring_since: BTreeMap::new() }
    }

    /// Runs until stopped; all processes have ended when it returns.
    pub async fn run(mut self, mut events: mpsc::Receiver<Event>, stop: CancellationToken) {
        let mut changes = self.shared.changes();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut decisions = self.decisions();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(event) = events.recv() => self.hear(event),
                _ = changes.changed() => decisions = self.decisions(),
                _ = tick.tick() => self.keep_counted_time(),
            }
            self.align(&decisions).await;
        }
        self.supervisor.shut_down().await;
    }

    /// Makes durable how far time has gone on by the boot clock, so that a reboot with the clock set back gains little.
    fn keep_counted_time(&self) {
        let counted = {
            let memory = self.shared.memory();
            let held = memory.lease.as_ref();
            held.and_then(|held| held.time_to_keep(clock::boottime_ms(), memory.kept.latest_seen))
        };
        let Some(counted) = counted else { return };
        if let Err(e) = self.shared.keep(|kept| kept.latest_seen = kept.latest_seen.max(counted)) {
            tracing::error!(error = %Failure::caused(e.code(), &e), "cannot keep the counted time");
        }
    }

    fn decisions(&self) -> Decisions {
        let memory = self.shared.memory();
        memory.trust.clone().map(|trust| Memory::decisions(&trust, &memory)).unwrap_or_default()
    }

    async fn align(&mut self, decisions: &Decisions) {
        let (serving, memory_percent) = {
            let memory = self.shared.memory();
            let percent = memory.baseline().and_then(|baseline| baseline.usage.memory_percent);
            (memory.serving(clock::now(), clock::boottime_ms()), percent)
        };
        self.supervisor.set_memory_percent(memory_percent);
        self.note_capacity();
        self.tell_change(&serving);
        let may_load = may_load(&serving);
        let retiring = self.retiring(decisions);
        // What is served: what belongs here, and what ends its answers.
        let served: Decisions = decisions
            .iter()
            .chain(&retiring)
            .map(|(bundle, decision)| (bundle.clone(), decision.clone()))
            .collect();
        let ending: Vec<(BundleRef, Failure)> = self
            .supervisor
            .loaded()
            .filter_map(|(bundle, _)| {
                let ending = ending(bundle, &served, may_load, &serving);
                let ending = ending.or_else(|| damaged(&self.shared.memory(), bundle));
                let ending = ending.or_else(|| self.stopped_variant(bundle));
                ending.or_else(|| self.given_up(bundle)).map(|f| (bundle.clone(), f))
            })
            .collect();
        for (bundle, failure) in ending {
            tracing::info!(%bundle, code = %failure.code(), "unloading");
            // The gateway hears first that the model is gone, so that no request meets a dying worker.
            self.supervisor.set_policy(self.policy(&served, &serving, Some(&bundle)));
            self.supervisor.unload(&bundle, failure.code(), failure.message()).await;
            let mut memory = self.shared.memory();
            if let Some(progress) = memory.bundles.get_mut(&bundle) {
                progress.worker_pid = None;
                if failure.code() == Code::Recalled && matches!(served.get(&bundle), Some(Keep { .. })) {
                    // One variant of it is: another comes.
                    progress.state = BundleState::Fetching;
                    self.shared.fetch.notify_one();
                } else if progress.state == BundleState::Loaded {
                    progress.state = BundleState::Installed;
                }
            }
        }
        if may_load {
            self.load(decisions);
        }
        self.supervisor.set_policy(self.policy(&served, &serving, None));
    }

    /// Why the variant that is loaded may not go on, whichever is chosen now.
    fn stopped_variant(&self, bundle: &BundleRef) -> Option<Failure> {
        let weights = self.supervisor.weights_of(bundle)?;
        let memory = self.shared.memory();
        let trust = memory.trust.as_ref()?;
        let stops = |recall: &&Recall| recall.target == RecallTarget::Blob(weights) && trust.obeys(recall);
        let recall = memory.recalls.iter().find(stops)?;
        Some(Failure::new(Code::Recalled, recall.reason.as_str()))
    }

    /// Why a model that is kept loaded will not come up, however often it is tried.
    fn given_up(&self, bundle: &BundleRef) -> Option<Failure> {
        let memory = self.shared.memory();
        let progress = memory.bundles.get(bundle).filter(|p| p.state == BundleState::Failed)?;
        progress.problem.clone().filter(|failure| is_final(failure.code()))
    }

    /// What fits decides about variants.
    fn note_capacity(&self) {
        let capacity = Some(self.supervisor.capacity());
        if std::mem::replace(&mut self.shared.memory().capacity, capacity) != capacity {
            self.shared.changed();
            self.shared.fetch.notify_one();
        }
    }

    fn tell_change(&mut self, serving: &Serving) {
        let refusal = serving.refusal().cloned();
        if self.last_refusal.as_ref() == Some(&refusal) {
            return;
        }
        match &refusal {
            None => tracing::info!("serving"),
            Some(failure) => {
                tracing::info!(code = %failure.code(), reason = failure.message(), "not serving");
            }
        }
        self.last_refusal = Some(refusal);
    }

    fn load(&mut self, decisions: &Decisions) {
        for (reference, decision) in decisions {
            let OwnedDecision::Keep { manifest, .. } = decision else { continue };
            let progress = self.shared.memory().bundles.get(reference).cloned();
            let is_due = progress.is_some_and(|progress| {
                matches!(progress.state, BundleState::Installed | BundleState::Loaded)
                    && progress.load_failures < LOAD_ATTEMPTS_MAX
            });
            if !is_due {
                continue;
            }
            if self.supervisor.is_loaded(reference) {
                self.exchange(reference, manifest);
                continue;
            }
            let Some(slot) = self.supervisor.free_slot() else {
                self.fail(
                    reference,
                    Failure::new(Code::QueueFull, "as many models are loaded as there are slots"),
                );
                continue;
            };
            self.supervisor.load(order(&self.shared.paths, reference, manifest, slot));
        }
    }

    /// Another variant of a model takes its place when nobody uses it.
    fn exchange(&self, reference: &BundleRef, manifest: &Manifest) {
        let weights = manifest.files.first().map(|file| file.sha256);
        let is_here = |file: &BundleFile| self.shared.paths.blob(&file.sha256).is_file();
        if self.supervisor.weights_of(reference) == weights || !manifest.files.iter().all(is_here) {
            return;
        }
        if let Some((_, slot)) = self.supervisor.loaded().find(|(bundle, _)| *bundle == reference) {
            tracing::info!(bundle = %reference, variant = manifest.header.quantization, "changes its variant");
            self.supervisor.exchange(order(&self.shared.paths, reference, manifest, slot));
        }
    }

    fn fail(&self, reference: &BundleRef, failure: Failure) {
        let mut memory = self.shared.memory();
        if let Some(progress) = memory.bundles.get_mut(reference) {
            progress.state = BundleState::Failed;
            progress.problem = Some(failure);
        }
    }
}

/// Whether workers may run though nothing is served: a lease needs their self-test, so they run before the first lease
/// and while one is renewed.
pub(super) fn may_load(serving: &Serving) -> bool {
    serving.refusal().is_none_or(|failure| {
        matches!(
            failure.code(),
            Code::LeaseNone
                | Code::LeaseExpired
                | Code::PolicyFloor
                | Code::NotCompliant
                | Code::SandboxUnproven
        )
    })
}

/// Why a loaded model must end, if it must.
fn ending(bundle: &BundleRef, decisions: &Decisions, may_load: bool, serving: &Serving) -> Option<Failure> {
    match decisions.get(bundle) {
        Some(OwnedDecision::Stop { failure, .. }) => Some(failure.clone()),
        None => Some(Failure::new(Code::Unapproved, "it is no longer assigned here")),
        Some(OwnedDecision::Keep { .. }) if !may_load => serving.refusal().cloned(),
        Some(OwnedDecision::Keep { .. }) => None,
    }
}

/// Why a loaded model must end though it belongs here: its bytes on disk changed, and are being fetched again.
fn damaged(memory: &Memory, bundle: &BundleRef) -> Option<Failure> {
    let progress = memory.bundles.get(bundle).filter(|p| p.state == BundleState::Fetching)?;
    progress.problem.clone().filter(|problem| problem.code() == Code::BlobCorrupt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::memory::BundleProgress;
    use crate::bundles::plan::tests::manifest;
    use croft_domain::digest::Sha256Digest;

    fn keep(name: &str) -> (BundleRef, OwnedDecision) {
        let manifest = manifest(name, 1, Sha256Digest([1; 32]));
        let decision = OwnedDecision::Keep {
            manifest: Box::new(manifest.clone()),
            manifest_sha256: Sha256Digest([2; 32]),
            trial: None,
            spares: Vec::new(),
        };
        (manifest.reference(), decision)
    }

    #[test]
    fn p2_a_recalled_or_unassigned_model_is_unloaded_even_while_serving() {
        let yes = Serving::Yes { until: croft_domain::time::Timestamp(1), until_boottime_ms: 1 };
        let (reference, decision) = keep("starter");
        let mut decisions = Decisions::from([(reference.clone(), decision)]);
        assert_eq!(ending(&reference, &decisions, true, &yes), None);
        let failure = Failure::new(Code::Recalled, "poisoned");
        decisions.insert(
            reference.clone(),
            OwnedDecision::Stop { failure: failure.clone(), manifest_sha256: None },
        );
        assert_eq!(ending(&reference, &decisions, true, &yes), Some(failure));
        decisions.clear();
        let ended = ending(&reference, &decisions, true, &yes).expect("ended");
        assert_eq!(ended.code(), Code::Unapproved);
    }

    #[test]
    fn p2_a_loaded_model_whose_bytes_changed_on_disk_is_unloaded() {
        let (reference, _) = keep("starter");
        let mut memory = Memory::default();
        assert_eq!(damaged(&memory, &reference), None);
        let failure = Failure::new(Code::BlobCorrupt, "chunk 1 changed");
        let mut progress = BundleProgress {
            state: BundleState::Loaded,
            manifest_sha256: None,
            len_bytes: 1,
            fetched_bytes: 1,
            problem: None,
            worker_pid: Some(1),
            load_failures: 0,
            origin: None,
            weights: None,
            memory: None,
            checks_passed: None,
        };
        memory.bundles.insert(reference.clone(), progress.clone());
        assert_eq!(damaged(&memory, &reference), None);
        (progress.state, progress.problem) = (BundleState::Fetching, Some(failure.clone()));
        memory.bundles.insert(reference.clone(), progress);
        assert_eq!(damaged(&memory, &reference), Some(failure));
    }

    #[test]
    fn p4_workers_run_before_the_first_lease_and_not_after_a_revocation() {
        let no = |code| Serving::No(Failure::new(code, ""));
        for code in [Code::LeaseNone, Code::LeaseExpired, Code::NotCompliant, Code::SandboxUnproven] {
            assert!(may_load(&no(code)), "{code}");
        }
        for code in
            [Code::NodeRevoked, Code::NotEnrolled, Code::Paused, Code::TrustExpired, Code::StateCorrupt]
        {
            assert!(!may_load(&no(code)), "{code}");
        }
    }
}
