//! Evidence and what follows from it: observing, signing, sending, and taking in the verdict and the lease.

use std::sync::Arc;

use croft_domain::appraise::{Subject, appraise, history_of};
use croft_domain::code::Code;
use croft_domain::digest::Sha256Digest;
use croft_domain::evidence::Evidence;
use croft_domain::lease::Lease;
use croft_domain::signed::{Domain, Envelope};
use croft_domain::time::Timestamp;
use croft_domain::verdict::Assurance;
use croft_trust::digest::sha256;
use croft_trust::store::TrustView;

use super::{End, Session};
use crate::agent::chain;
use crate::agent::evidence::{Occasion, baseline_of, compose, own_facts};
use crate::agent::memory::Memory;
use crate::agent::senses::observe;
use crate::clock;
use crate::controller_client::{Answer, BootQuote, Challenge, Enrolled};
use crate::failure::Failure;
use crate::state::history::LastVerdict;
use crate::state::identity::Identity;
use crate::state::lease::HeldLease;
use crate::state::{counter, history, lease};

impl Session {
    /// Observes, signs, sends, and takes in what follows.
    pub(super) async fn attest(
        &self,
        client: &Enrolled,
        identity: &Identity,
        reason: &str,
    ) -> Result<(), End> {
        let observed = observe(&self.shared, &self.senses, self.listen, identity).await;
        let known = self.shared.memory().verdict.as_ref().and_then(|last| last.chain_head);
        let challenge = client.challenge(known, reason).await?;
        let chain_head = self.resume_chain(known, &challenge);
        let state = |e: crate::state::files::StateError| End::Failed(Failure::caused(e.code(), &e));
        let counter = counter::next(&self.shared.paths).map_err(state)?;
        let attestation_key = identity.attestation_key().await.map_err(state)?;
        let occasion = Occasion {
            identity,
            nonce: &challenge.nonce,
            chain_head,
            counter,
            boot_id: clock::boot_id(),
            attestation_key,
            listen: self.listen,
            mode: self.shared.paths.mode,
            now: clock::now(),
        };
        let (evidence, counters) = {
            let mut memory = self.shared.memory();
            memory.local_facts = own_facts(&memory, self.listen);
            memory.local_facts.extend(observed.facts.iter().cloned());
            (compose(&memory, observed, &occasion), memory.counters.clone())
        };
        let evidence = evidence.evidence();
        let payload = serde_json::to_vec(evidence);
        let payload = payload.map_err(|e| End::Failed(Failure::caused(Code::Internal, &e)))?;
        let sent = sha256(&payload);
        let quote = self.quote(identity, evidence, (&challenge.nonce, &payload)).await.map_err(state)?;
        let envelope = identity.key.sign(Domain::Evidence, payload).map_err(state)?;
        let answer = client.attest(envelope, quote.as_ref(), reason).await?;
        self.shared.memory().counters.subtract(&counters, evidence);
        self.take_in(evidence, sent, answer, identity, quote.as_ref())?;
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

    /// Takes in a verdict and a lease. The node judges itself as well, and the stricter verdict counts.
    fn take_in(
        &self,
        evidence: &Evidence,
        sent: Sha256Digest,
        answer: Answer,
        identity: &Identity,
        quote: Option<&BootQuote>,
    ) -> Result<(), End> {
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
        let enrolled = &identity.enrollment;
        let group = trust
            .as_ref()
            .map_or(&enrolled.group, |trust| trust.fleet.group_of(enrolled.node, &enrolled.group));
        let baseline = trust.as_ref().and_then(|trust| baseline_of(trust, group, &memory));
        let boot = quote.map(BootQuote::state);
        let offered = match (identity.key.tpm(), &boot) {
            (None, _) => Assurance::SelfReported,
            (Some(_), None) => Assurance::HardwareKey,
            (Some(_), Some(_)) => Assurance::Measured,
        };
        let own = baseline.zip(trust.as_ref()).map(|(baseline, trust)| {
            // What this node offered bounds what the controller can have made of it.
            let assurance = verdict.assurance.min(offered);
            let subject = Subject { group, assurance, boot: boot.as_ref() };
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
            self.take_lease(&mut memory, envelope, sent, now);
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

    fn take_lease(&self, memory: &mut Memory, envelope: Envelope, sent: Sha256Digest, now: Timestamp) {
        let Ok(lease) = serde_json::from_slice::<Lease>(&envelope.payload) else {
            memory.alarm =
                Some(Failure::new(Code::TrustForged, "the controller sent a lease that cannot be read"));
            return;
        };
        if lease.evidence != sent {
            let text = "the controller sent a lease for other evidence than was sent";
            memory.alarm = Some(Failure::new(Code::TrustForged, text));
            return;
        }
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
            let signed = identity.key.sign(Domain::Receipt, receipt.to_string());
            let envelope = signed.map_err(|e| End::Failed(Failure::caused(e.code(), &e)))?;
            client.submit_receipt(envelope).await?;
        }
        Ok(())
    }
}
