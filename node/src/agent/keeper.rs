//! Keeps the processes in line with what is allowed: each second and at every change it decides anew, tells the gateway,
//! and loads or ends workers.

use std::sync::Arc;

use croft_domain::bundle::Manifest;
use croft_domain::code::Code;
use croft_domain::evidence::BundleState;
use croft_domain::id::{BundleRef, ModelAlias};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::decide::Serving;
use super::evidence::baseline_of;
use super::memory::{Memory, OwnedDecision, Shared};
use crate::bundles::load::open_verified;
use crate::clock;
use crate::config::Config;
use crate::failure::Failure;
use crate::limits::{COUNTED_TIME_EVERY_S, LOAD_ATTEMPTS_MAX, TICK};
use crate::state::api_key::{self, Rotate};
use crate::supervisor::policy::{Model, Permission, Policy};
use crate::supervisor::{Event, LoadOrder, Supervisor, WorkerChange};

type Decisions = std::collections::BTreeMap<BundleRef, OwnedDecision>;

/// Keeps the processes.
pub struct Keeper {
    shared: Arc<Shared>,
    supervisor: Supervisor,
    config: Config,
    last_refusal: Option<Option<Failure>>,
}

impl Keeper {
    /// A keeper of these processes.
    #[must_use]
    pub const fn new(shared: Arc<Shared>, supervisor: Supervisor, config: Config) -> Self {
        Self { shared, supervisor, config, last_refusal: None }
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
            let counted = memory.lease.as_ref().map(|held| held.counted_time(clock::boottime_ms()));
            counted.filter(|counted| counted.since(memory.kept.latest_seen) >= COUNTED_TIME_EVERY_S)
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
        let serving = self.shared.memory().serving(clock::now(), clock::boottime_ms());
        self.tell_change(&serving);
        let may_load = may_load(&serving);
        let ending: Vec<(BundleRef, Failure)> = self
            .supervisor
            .loaded()
            .filter_map(|(bundle, _)| {
                ending(bundle, decisions, may_load, &serving).map(|f| (bundle.clone(), f))
            })
            .collect();
        for (bundle, failure) in ending {
            tracing::info!(%bundle, code = %failure.code(), "unloading");
            // The gateway hears first that the model is gone, so that no request meets a dying worker.
            self.supervisor.set_policy(self.policy(decisions, &serving, Some(&bundle)));
            self.supervisor.unload(&bundle, failure.code(), failure.message()).await;
            let mut memory = self.shared.memory();
            if let Some(progress) = memory.bundles.get_mut(&bundle) {
                progress.worker_pid = None;
                if progress.state == BundleState::Loaded {
                    progress.state = BundleState::Installed;
                }
            }
        }
        if may_load {
            self.load(decisions);
        }
        self.supervisor.set_policy(self.policy(decisions, &serving, None));
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
            if !is_due || self.supervisor.is_loaded(reference) {
                continue;
            }
            let [file] = manifest.files.as_slice() else {
                self.fail(
                    reference,
                    Failure::new(Code::RequestUnsupported, "models of several files are not served yet"),
                );
                continue;
            };
            let Some(slot) = self.supervisor.free_slot() else {
                self.fail(
                    reference,
                    Failure::new(Code::QueueFull, "as many models are loaded as there are slots"),
                );
                continue;
            };
            let (paths, file) = (self.shared.paths.clone(), file.clone());
            self.supervisor.load(LoadOrder {
                bundle: reference.clone(),
                slot,
                open: Arc::new(move || open_verified(&paths, &file)),
                template: manifest.template.source.clone(),
                context_tokens: manifest.parameters.context_tokens,
                conversations: manifest.parameters.slots,
            });
        }
    }

    fn fail(&self, reference: &BundleRef, failure: Failure) {
        let mut memory = self.shared.memory();
        if let Some(progress) = memory.bundles.get_mut(reference) {
            progress.state = BundleState::Failed;
            progress.problem = Some(failure);
        }
    }

    fn policy(&self, decisions: &Decisions, serving: &Serving, leaving: Option<&BundleRef>) -> Policy {
        let memory = self.shared.memory();
        let leased = memory.lease.as_ref().map(|held| held.lease.bundles.clone()).unwrap_or_default();
        let mut loaded: Vec<(&Manifest, u32)> = self
            .supervisor
            .loaded()
            .filter(|(bundle, _)| leased.contains(bundle) && leaving != Some(bundle))
            .filter_map(|(bundle, slot)| match decisions.get(bundle) {
                Some(OwnedDecision::Keep { manifest, .. }) => Some((manifest.as_ref(), slot)),
                _ => None,
            })
            .collect();
        // The newest version of a name answers to it.
        loaded.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name).then(b.version.cmp(&a.version)));
        let uids = memory.identity.iter().flat_map(|id| id.enrollment.uids.iter().copied());
        let mut enrolled_uids: Vec<u32> = uids.chain(self.config.gateway.uids.iter().copied()).collect();
        enrolled_uids.sort_unstable();
        enrolled_uids.dedup();
        // A machine that belongs to nobody has no key, and one that left keeps none.
        let is_enrolled = memory.identity.is_some();
        let api_key = is_enrolled.then(|| api_key::get(&self.shared.paths, Rotate::Keep).ok()).flatten();
        let permission = match serving {
            Serving::Yes { until, until_boottime_ms } => {
                Permission::Serve { until: *until, until_boottime_ms: *until_boottime_ms }
            }
            Serving::No(failure) => Permission::Refuse(failure.clone()),
        };
        // What the group's signed baseline says holds for every request here.
        let group = memory.identity.as_ref().map(|identity| &identity.enrollment.group);
        let baseline =
            memory.trust.as_ref().zip(group).and_then(|(trust, group)| baseline_of(trust, group, &memory));
        let data_classes = baseline.map(|baseline| baseline.data_classes.clone()).unwrap_or_default();
        Policy {
            permission,
            models: served(&loaded),
            uids: enrolled_uids,
            api_key_sha256: api_key.as_deref().map(api_key::digest).unwrap_or_default(),
            data_classes,
        }
    }

    fn hear(&self, event: Event) {
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
            Event::Usage { slot, requests, prompt_tokens, completion_tokens, redacted, blocked } => {
                let bundle = self.supervisor.loaded().find(|(_, at)| *at == slot).map(|(bundle, _)| bundle);
                let Some(alias) = bundle.and_then(|bundle| alias_of(&memory, bundle)) else { return };
                let used = memory.usage.entry(alias).or_default();
                used.requests = used.requests.saturating_add(requests);
                used.prompt_tokens = used.prompt_tokens.saturating_add(prompt_tokens);
                used.completion_tokens = used.completion_tokens.saturating_add(completion_tokens);
                used.redacted = used.redacted.saturating_add(redacted);
                used.blocked = used.blocked.saturating_add(blocked);
            }
            // What a worker with a model proved is newer, or as good.
            Event::WorkerProof(proof) => {
                if memory.worker_proof.is_none() {
                    memory.worker_proof = Some(proof);
                    self.shared.attest.notify_one();
                }
            }
            Event::Worker { bundle, change } => self.hear_worker(&mut memory, &bundle, change),
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
            WorkerChange::Progress { .. } => {}
            WorkerChange::Ready { load_ms } => {
                if let Some(progress) = memory.bundles.get_mut(bundle) {
                    progress.state = BundleState::Loaded;
                    progress.problem = None;
                    progress.load_failures = 0;
                }
                tracing::info!(%bundle, load_ms, "loaded");
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
                let _ = std::fs::remove_file(self.shared.paths.blob(&file.sha256));
            }
        }
        let Some(progress) = memory.bundles.get_mut(bundle) else { return };
        progress.worker_pid = None;
        let was_loaded = progress.state == BundleState::Loaded;
        progress.load_failures = if was_loaded { 0 } else { progress.load_failures + 1 };
        progress.problem = Some(Failure::new(code, message));
        progress.state = match () {
            () if is_damaged => BundleState::Fetching,
            () if progress.load_failures >= LOAD_ATTEMPTS_MAX => BundleState::Failed,
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

/// Whether workers may run though nothing is served: a lease needs their self-test, so they run before the first lease
/// and while one is renewed.
fn may_load(serving: &Serving) -> bool {
    serving.refusal().is_none_or(|failure| {
        matches!(
            failure.code(),
            Code::LeaseNone | Code::LeaseExpired | Code::NotCompliant | Code::SandboxUnproven
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

fn alias_of(memory: &Memory, bundle: &BundleRef) -> Option<ModelAlias> {
    let trust = memory.trust.as_ref()?;
    let manifest = &trust.bundles.get(bundle)?.manifest;
    manifest.aliases.first().cloned().or_else(|| bundle.name.as_str().parse().ok())
}

/// What the gateway is told of the loaded models. Each name and alias goes to the first that claims it.
fn served(loaded: &[(&Manifest, u32)]) -> Vec<Model> {
    let mut taken = std::collections::BTreeSet::new();
    let mut models = Vec::new();
    for (manifest, slot) in loaded {
        let name = if taken.insert(manifest.name.to_string()) {
            manifest.name.to_string()
        } else {
            manifest.reference().to_string()
        };
        let aliases =
            manifest.aliases.iter().map(ToString::to_string).filter(|a| taken.insert(a.clone())).collect();
        let Some(file) = manifest.files.first() else { continue };
        models.push(Model {
            name,
            aliases,
            bundle: manifest.reference(),
            digest: file.sha256,
            len_bytes: manifest.len_bytes(),
            architecture: manifest.architecture.clone(),
            context_tokens: manifest.parameters.context_tokens,
            temperature: manifest.parameters.temperature,
            slot: *slot,
            template: manifest.template.source.clone(),
        });
    }
    models
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundles::plan::tests::manifest;
    use croft_domain::digest::Sha256Digest;

    fn keep(name: &str) -> (BundleRef, OwnedDecision) {
        let manifest = manifest(name, 1, Sha256Digest([1; 32]));
        let decision = OwnedDecision::Keep {
            manifest: Box::new(manifest.clone()),
            manifest_sha256: Sha256Digest([2; 32]),
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

    #[test]
    fn the_newest_version_answers_to_the_name() {
        let (old, new) = (manifest("a", 1, Sha256Digest([1; 32])), manifest("a", 2, Sha256Digest([2; 32])));
        let models = served(&[(&new, 0), (&old, 1)]);
        assert_eq!((models[0].name.as_str(), models[1].name.as_str()), ("a", "a@1"));
    }
}
