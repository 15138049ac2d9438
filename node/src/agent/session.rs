//! The talk with the controller: renewing, fresh metadata, evidence, and watching. Losing it costs nothing but time:
//! what was granted lasts until it ends, and not longer.

use std::net::SocketAddr;
use std::sync::Arc;

use croft_domain::appraise::{Subject, appraise, history_of};
use croft_domain::code::Code;
use croft_domain::digest::Sha256Digest;
use croft_domain::evidence::Evidence;
use croft_domain::lease::Lease;
use croft_domain::signed::{Domain, Envelope};
use croft_domain::time::Timestamp;
use croft_domain::verdict::Assurance;
use croft_link::backoff::{Backoff, jittered};
use croft_trust::store::TrustView;
use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use super::chain;
use super::evidence::{Occasion, baseline_of, compose};
use super::memory::Shared;
use super::schedule::{attest_at, renewal_at, trust_at};
use super::senses::{Observed, Request, Senses};
use crate::bundles::recalled;
use crate::clock;
use crate::controller_client::{Anonymous, Answer, CallError, Challenge, ControllerTrust, Enrolled, News};
use crate::failure::Failure;
use crate::limits::{POLL_EVERY, RECALLS_MAX, RECONNECT_MAX, RECONNECT_MIN, TICK};
use crate::state::history::LastVerdict;
use crate::state::identity::{self, Identity};
use crate::state::lease::HeldLease;
use crate::state::{counter, history, lease, recalls};

/// The talk with the controller.
pub struct Session {
    /// What the daemon knows.
    pub shared: Arc<Shared>,
    /// What it observes.
    pub senses: Senses,
    /// Where the gateway listens.
    pub listen: SocketAddr,
    /// A random number in 0 to 1000, drawn once: when in its window this node renews.
    pub share: u64,
    /// Ends it.
    pub stop: CancellationToken,
    /// When metadata was last looked for.
    pub trust_checked: Option<Timestamp>,
}

/// Why a talk ended.
enum End {
    /// The daemon stops, or there is nobody to talk for.
    Quiet,
    /// Watching broke off; asking works.
    Unwatched(Failure),
    /// It failed.
    Failed(Failure),
}

impl From<CallError> for End {
    fn from(error: CallError) -> Self {
        Self::Failed(Failure::caused(error.code(), &error))
    }
}

impl Session {
    /// Runs until stopped.
    pub async fn run(mut self) {
        let mut backoff = Backoff::new(RECONNECT_MIN, RECONNECT_MAX);
        loop {
            let (stop, shared) = (self.stop.clone(), Arc::clone(&self.shared));
            let end = tokio::select! {
                () = stop.cancelled() => return,
                () = shared.left.notified() => End::Quiet,
                end = self.talk(&mut backoff) => end,
            };
            let (connection, delay) = match end {
                End::Quiet => ("offline".to_owned(), TICK),
                End::Unwatched(failure) => (format!("polling: {failure}"), jittered(POLL_EVERY)),
                End::Failed(failure) => {
                    tracing::warn!(code = %failure.code(), detail = failure.message(), "controller");
                    (format!("offline: {failure} ({})", failure.code()), backoff.next_delay())
                }
            };
            self.shared.memory().connection = connection;
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(delay) => {}
                () = self.shared.attest.notified() => {}
            }
        }
    }

    async fn talk(&mut self, backoff: &mut Backoff) -> End {
        let identity = self.shared.memory().identity.clone();
        let Some(identity) = identity.filter(|_| self.may_talk()) else { return End::Quiet };
        match self.talk_as(identity, backoff).await {
            Ok(end) => end,
            Err(End::Failed(failure)) if failure.code() == Code::NodeRevoked => {
                self.revoke(failure.message());
                End::Failed(failure)
            }
            Err(end) => end,
        }
    }

    /// A node that is broken says nothing: it could only say something wrong.
    fn may_talk(&self) -> bool {
        self.shared.memory().broken.is_none()
    }

    async fn talk_as(&mut self, identity: Identity, backoff: &mut Backoff) -> Result<End, End> {
        let identity = self.renew_if_due(identity).await?;
        let pins = self.shared.memory().pins();
        let client = Enrolled::connect(&identity, &pins, self.shared.recorder.clone()).await?;
        self.refresh_trust(&client).await?;
        self.attest(&client, &identity, "connected").await?;
        self.shared.memory().connection = "connected".to_owned();
        backoff.reset();
        let targets = self.shared.memory().trust.as_ref().map_or(0, |trust| trust.versions.targets);
        let mut watching = match client.watch(targets).await {
            Ok(watching) => watching,
            Err(e) => return Ok(End::Unwatched(Failure::caused(e.code(), &e))),
        };
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                news = watching.next() => match news {
                    None => return Ok(End::Unwatched(Failure::new(Code::Unreachable, "the controller ended the stream"))),
                    Some(Err(e)) if e.is_revocation() => return Err(e.into()),
                    Some(Err(e)) => return Ok(End::Unwatched(Failure::caused(e.code(), &e))),
                    Some(Ok(news)) => self.hear(news, &client, &identity).await?,
                },
                () = self.shared.attest.notified() => {
                    self.attest(&client, &identity, "something changed on this machine").await?;
                }
                _ = tick.tick() => {
                    let now = clock::now();
                    if self.is_renewal_due(&identity, now) {
                        // A new certificate needs a new connection.
                        return Ok(End::Quiet);
                    }
                    if now >= trust_at(self.trust_checked) {
                        self.refresh_trust(&client).await?;
                    }
                    if now >= self.attest_due() {
                        self.attest(&client, &identity, "evidence is due").await?;
                    }
                }
            }
        }
    }

    fn attest_due(&self) -> Timestamp {
        let memory = self.shared.memory();
        let lease = memory.lease.as_ref().map(|held| (held.lease.issued_at, held.lease.expires_at));
        attest_at(memory.attested_at, lease)
    }

    const fn is_renewal_due(&self, identity: &Identity, now: Timestamp) -> bool {
        now.0 >= renewal_at(identity.certificate_from, identity.certificate_until, self.share).0
    }

    async fn renew_if_due(&self, identity: Identity) -> Result<Identity, End> {
        if !self.is_renewal_due(&identity, clock::now()) {
            return Ok(identity);
        }
        let pins = self.shared.memory().pins();
        let link = Anonymous::new(&identity.enrollment.controller, &pins, self.shared.recorder.clone())?;
        let chain_pem = match link.renew(identity.enrollment.node, &identity.key).await {
            Ok(chain_pem) => chain_pem,
            // The old one still counts: renewing can wait, serving need not.
            Err(e) if !e.is_revocation() && clock::now() < identity.certificate_until => {
                tracing::warn!(code = %e.code(), "the certificate could not be renewed yet");
                return Ok(identity);
            }
            Err(e) => return Err(e.into()),
        };
        let failed = |message: String| End::Failed(Failure::new(Code::Internal, message));
        let (from, until) = identity::certificate_times(&chain_pem).map_err(failed)?;
        let saved = identity::save_chain(&self.shared.paths, &chain_pem);
        saved.map_err(|e| End::Failed(Failure::caused(e.code(), &e)))?;
        let renewed = Identity { chain_pem, certificate_from: from, certificate_until: until, ..identity };
        self.shared.memory().identity = Some(renewed.clone());
        tracing::info!("certificate renewed");
        Ok(renewed)
    }

    /// Looks for fresh metadata. What is not to be believed raises an alarm and changes nothing else.
    async fn refresh_trust(&mut self, client: &Enrolled) -> Result<(), End> {
        self.trust_checked = Some(clock::now());
        let source = ControllerTrust::new(client.https());
        let recorded = self.shared.recorder.record(
            "GET",
            "fresh signed metadata",
            "GET /trust/timestamp.json and what it lists",
        );
        recorded.map_err(|e| End::Failed(Failure::caused(e.code(), &e)))?;
        let updated = {
            let mut store = self.shared.trust_store.lock().await;
            let Some(store) = store.as_mut() else { return Ok(()) };
            store.update(&source, clock::now()).await
        };
        match updated {
            Ok(view) => {
                let is_new = {
                    let mut memory = self.shared.memory();
                    let is_new = memory.trust.as_ref().is_none_or(|old| old.versions != view.versions);
                    memory.accept_trust(view);
                    memory.alarm = None;
                    is_new
                };
                if is_new {
                    self.keep_latest_seen();
                    self.shared.fetch.notify_one();
                }
                self.shared.changed();
            }
            Err(e) => {
                let failure = Failure::caused(e.code(), &e);
                if failure.code() == Code::Unreachable || failure.code() == Code::PinMismatch {
                    return Err(End::Failed(failure));
                }
                tracing::error!(code = %failure.code(), detail = failure.message(), "metadata refused, keeping the old set");
                self.shared.memory().alarm = Some(failure);
            }
        }
        Ok(())
    }

    fn keep_latest_seen(&self) {
        if let Err(e) = self.shared.keep(|_| {}) {
            tracing::error!(error = %Failure::caused(e.code(), &e), "cannot keep state");
        }
    }

    async fn hear(&mut self, news: News, client: &Enrolled, identity: &Identity) -> Result<(), End> {
        match news {
            News::Desired { bundles, baseline, targets_version, recalls } => {
                for recall in recalls {
                    self.take_recall(&recall);
                }
                let known = self.shared.memory().trust.as_ref().map_or(0, |trust| trust.versions.targets);
                let is_change = {
                    let memory = self.shared.memory();
                    memory.kept.assigned != bundles || memory.kept.baseline != baseline
                };
                let waivers = |session: &Self| {
                    session.shared.memory().trust.as_ref().map(|trust| trust.waivers.clone())
                };
                let waived_before = waivers(self);
                if targets_version > known || is_change {
                    self.refresh_trust(client).await?;
                }
                if !is_change && waived_before != waivers(self) {
                    self.attest(client, identity, "the fleet's waivers changed").await?;
                }
                if is_change {
                    let kept = self.shared.keep(|kept| (kept.assigned, kept.baseline) = (bundles, baseline));
                    kept.map_err(|e| End::Failed(Failure::caused(e.code(), &e)))?;
                    self.attest(client, identity, "the fleet's wishes changed").await?;
                }
                self.shared.fetch.notify_one();
            }
            News::Recalled(recall) => {
                self.take_recall(&recall);
                self.attest(client, identity, "a recall came in").await?;
            }
            News::Revoked(reason) => {
                return Err(End::Failed(Failure::new(Code::NodeRevoked, reason)));
            }
            News::AttestNow => self.attest(client, identity, "the controller asked for evidence").await?,
        }
        Ok(())
    }

    /// A recall counts from the moment it is verified; keeping it comes second, and failing to keep it is an alarm.
    fn take_recall(&self, envelope: &Envelope) {
        let trust = self.shared.memory().trust.clone();
        let Some(trust) = trust else { return };
        let recall = match recalled::verify(envelope, &trust.fleet, clock::now()) {
            Ok(recall) => recall,
            Err(e) => {
                let failure = Failure::caused(e.code(), &e);
                tracing::error!(code = %failure.code(), detail = failure.message(), "recall refused");
                self.shared.memory().alarm = Some(failure);
                return;
            }
        };
        {
            let mut memory = self.shared.memory();
            if memory.recalls.iter().any(|known| known.id == recall.id) || memory.recalls.len() >= RECALLS_MAX
            {
                return;
            }
            // A recall dated into the future must not make this clock look set back.
            memory.kept.latest_seen = memory.kept.latest_seen.max(recall.issued_at.min(clock::now()));
            memory.recalls.push(recall.clone());
        }
        tracing::warn!(id = %recall.id, reason = recall.reason, "recall");
        self.shared.changed();
        self.shared.fetch.notify_one();
        if let Err(e) = recalls::keep(&self.shared.paths, recall.id, envelope) {
            self.shared.memory().alarm = Some(Failure::caused(e.code(), &e));
        }
    }

    fn revoke(&self, reason: &str) {
        tracing::warn!(reason, "this node is no longer part of the fleet");
        let reason = if reason.is_empty() { "the fleet no longer has this node" } else { reason };
        self.shared.memory().lease = None;
        lease::forget(&self.shared.paths);
        if let Err(e) = self.shared.keep(|kept| kept.revoked = Some(reason.to_owned())) {
            tracing::error!(error = %Failure::caused(e.code(), &e), "cannot keep state");
        }
    }

    /// Observes, signs, sends, and takes in what follows.
    async fn attest(&self, client: &Enrolled, identity: &Identity, reason: &str) -> Result<(), End> {
        let observed = self.observe(identity).await;
        let known = self.shared.memory().verdict.as_ref().and_then(|last| last.chain_head);
        let challenge = client.challenge(known, reason).await?;
        let chain_head = self.resume_chain(known, &challenge);
        let state = |e: crate::state::files::StateError| End::Failed(Failure::caused(e.code(), &e));
        let counter = counter::next(&self.shared.paths).map_err(state)?;
        let occasion = Occasion {
            identity,
            challenge: &challenge,
            chain_head,
            counter,
            boot_id: clock::boot_id(),
            listen: self.listen,
            mode: self.shared.paths.mode,
            now: clock::now(),
        };
        let (evidence, sent_usage) = {
            let mut memory = self.shared.memory();
            memory.local_facts = super::evidence::own_facts(&memory, self.listen);
            memory.local_facts.extend(observed.facts.iter().cloned());
            let usage = std::mem::take(&mut memory.usage);
            memory.usage.clone_from(&usage);
            (compose(&memory, observed, &occasion), usage)
        };
        let payload = serde_json::to_vec(&evidence);
        let payload = payload.map_err(|e| End::Failed(Failure::caused(Code::Internal, &e)))?;
        let answer = client.attest(identity.key.sign(Domain::Evidence, payload), reason).await?;
        self.subtract_usage(&sent_usage);
        self.take_in(&evidence, answer, identity)?;
        self.send_receipts(client, identity).await
    }

    /// What this node signs is what it knows: a history that it cannot follow changes nothing but the alarm.
    fn resume_chain(&self, known: Option<Sha256Digest>, challenge: &Challenge) -> Option<Sha256Digest> {
        let resumed = chain::resume(known, challenge);
        let mut memory = self.shared.memory();
        match resumed {
            Ok(head) => {
                memory.chain_alarm = None;
                head
            }
            Err(failure) => {
                tracing::error!(code = %failure.code(), detail = failure.message(), "verdict chain");
                memory.chain_alarm = Some(failure);
                known
            }
        }
    }

    async fn observe(&self, identity: &Identity) -> Observed {
        let baseline = {
            let memory = self.shared.memory();
            let trust = memory.trust.clone();
            trust.and_then(|trust| baseline_of(&trust, &identity.enrollment.group, &memory).cloned())
        };
        let own = rustix::process::getuid().as_raw();
        let request = Request {
            baseline,
            ownership: identity.enrollment.ownership,
            store: self.shared.paths.store(),
            uid: identity.enrollment.uids.first().copied().unwrap_or(own),
            listen: self.listen,
        };
        let senses = Arc::clone(&self.senses);
        // Observing that panics observes nothing, and nothing is not a pass.
        tokio::task::spawn_blocking(move || senses(&request)).await.unwrap_or_default()
    }

    /// What was counted while the evidence was under way stays for the next.
    fn subtract_usage(
        &self,
        sent: &std::collections::BTreeMap<croft_domain::id::ModelAlias, super::memory::Use>,
    ) {
        let mut memory = self.shared.memory();
        for (alias, used) in sent {
            if let Some(now) = memory.usage.get_mut(alias) {
                now.requests = now.requests.saturating_sub(used.requests);
                now.prompt_tokens = now.prompt_tokens.saturating_sub(used.prompt_tokens);
                now.completion_tokens = now.completion_tokens.saturating_sub(used.completion_tokens);
                now.redacted = now.redacted.saturating_sub(used.redacted);
                now.blocked = now.blocked.saturating_sub(used.blocked);
            }
        }
        memory.usage.retain(|_, used| *used != super::memory::Use::default());
    }

    /// Takes in a verdict and a lease. The node judges itself as well, and the stricter verdict counts.
    fn take_in(&self, evidence: &Evidence, answer: Answer, identity: &Identity) -> Result<(), End> {
        let extended = chain::extend(evidence.chain_head, &answer);
        let Answer { verdict, lease: granted, .. } = answer;
        let mut memory = self.shared.memory();
        let chain_head = match extended {
            Ok(head) => Some(head),
            Err(failure) => {
                memory.chain_alarm.get_or_insert(failure);
                evidence.chain_head
            }
        };
        // A clock that was set back must not bring an ended waiver or grace back.
        let now = clock::now().max(memory.kept.latest_seen);
        memory.attested_at = Some(now);
        memory.kept.revoked = None;
        let trust: Option<Arc<TrustView>> = memory.trust.clone();
        let group = &identity.enrollment.group;
        let baseline = trust.as_ref().and_then(|trust| baseline_of(trust, group, &memory));
        let own = baseline.zip(trust.as_ref()).map(|(baseline, trust)| {
            let subject = Subject { group, assurance: Assurance::SelfReported };
            appraise(baseline, &trust.waivers, evidence, &memory.history, &subject, now)
        });
        let verdict = match own {
            Some(own) => {
                memory.history = history_of(&own);
                verdict.stricter(own)
            }
            None => verdict,
        };
        let is_allowed = verdict.allows_serving();
        let last = LastVerdict { verdict, chain_head };
        memory.verdict = Some(last.clone());
        if let Some(envelope) = granted.filter(|_| is_allowed) {
            self.take_lease(&mut memory, envelope, now);
        } else if !is_allowed {
            memory.lease = None;
            lease::forget(&self.shared.paths);
        }
        let kept_history = memory.history.clone();
        drop(memory);
        let written = history::save(&self.shared.paths, &kept_history)
            .and_then(|()| history::save_verdict(&self.shared.paths, &last))
            .and_then(|()| self.shared.keep(|_| {}));
        written.map_err(|e| End::Failed(Failure::caused(e.code(), &e)))
    }

    fn take_lease(&self, memory: &mut super::memory::Memory, envelope: Envelope, now: Timestamp) {
        let Ok(lease) = serde_json::from_slice::<Lease>(&envelope.payload) else {
            memory.alarm =
                Some(Failure::new(Code::TrustForged, "the controller sent a lease that cannot be read"));
            return;
        };
        let held = HeldLease::new(envelope, lease, now, clock::boottime_ms());
        if !memory.accept_lease(held.clone()) {
            let text = "the controller sent a lease that no key of the fleet document signed";
            memory.alarm = Some(Failure::new(Code::TrustForged, text));
            return;
        }
        if let Err(e) = lease::save(&self.shared.paths, &held, &clock::boot_id()) {
            tracing::error!(error = %Failure::caused(e.code(), &e), "cannot keep the lease; it lasts until a restart");
        }
    }

    async fn send_receipts(&self, client: &Enrolled, identity: &Identity) -> Result<(), End> {
        let receipts = std::mem::take(&mut self.shared.memory().receipts);
        for (bundle, code, load_ms) in receipts {
            let manifest_sha256 = {
                let memory = self.shared.memory();
                memory.bundles.get(&bundle).and_then(|progress| progress.manifest_sha256)
            };
            let Some(manifest_sha256) = manifest_sha256 else { continue };
            let mut receipt = serde_json::json!({
                "node": identity.enrollment.node,
                "bundle": bundle.to_string(),
                "manifest_sha256": manifest_sha256,
                "state": if code.is_some() { "failed" } else { "loaded" },
                "at": clock::now(),
                "load_ms": load_ms,
            });
            if let Some(code) = code {
                receipt["code"] = code.as_str().into();
            }
            let envelope = identity.key.sign(Domain::Receipt, receipt.to_string());
            client.submit_receipt(envelope).await?;
        }
        Ok(())
    }
}
