//! The talk with the controller: renewing, fresh metadata, evidence, and watching. Losing it costs nothing but time:
//! what was granted lasts until it ends, and not longer.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use croft_domain::code::Code;
use croft_domain::time::Timestamp;
use croft_link::backoff::{Backoff, jittered};
use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use super::documents;
use super::memory::Shared;
use super::schedule::{attest_at, renewal_at, trust_at};
use super::senses::Senses;
use crate::clock;
use crate::controller_client::{Anonymous, CallError, ControllerTrust, Enrolled, News};
use crate::failure::Failure;
use crate::limits::{POLL_EVERY, RECONNECT_MAX, RECONNECT_MIN, TICK};
use crate::state::identity::{self, Identity};
use crate::state::lease;

mod attest;
mod quote;

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
    /// The firmware's log of what it measured.
    pub event_log: PathBuf,
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
            Err(End::Failed(failure)) if failure.code() == Code::NodeCloned => {
                // Cleared by the next challenge: a restored node's counter catches up, and the admin has the notice.
                self.shared.memory().chain_alarm = Some(failure.clone());
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
        let Err(failure) = documents::update(&self.shared, &source).await else { return Ok(()) };
        if failure.code() == Code::Unreachable || failure.code() == Code::PinMismatch {
            return Err(End::Failed(failure));
        }
        tracing::error!(code = %failure.code(), detail = failure.message(), "metadata refused, keeping the old set");
        self.shared.memory().alarm = Some(failure);
        Ok(())
    }

    async fn hear(&mut self, news: News, client: &Enrolled, identity: &Identity) -> Result<(), End> {
        match news {
            News::Desired { bundles, baseline, targets_version, recalls } => {
                for recall in recalls {
                    documents::take_recall(&self.shared, &recall);
                }
                let known = self.shared.memory().trust.as_ref().map_or(0, |trust| trust.versions.targets);
                let is_change = {
                    let memory = self.shared.memory();
                    let kept = &memory.kept;
                    // What came in by an archive stays until the controller says what it wants here.
                    kept.assigned != bundles || kept.baseline != baseline || !kept.imported.is_empty()
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
                    let kept = self.shared.keep(|kept| {
                        (kept.assigned, kept.baseline) = (bundles, baseline);
                        kept.imported.clear();
                    });
                    kept.map_err(|e| End::Failed(Failure::caused(e.code(), &e)))?;
                    self.attest(client, identity, "the fleet's wishes changed").await?;
                }
                self.shared.fetch.notify_one();
            }
            News::Recalled(recall) => {
                documents::take_recall(&self.shared, &recall);
                self.attest(client, identity, "a recall came in").await?;
            }
            News::Revoked(reason) => {
                return Err(End::Failed(Failure::new(Code::NodeRevoked, reason)));
            }
            News::AttestNow => self.attest(client, identity, "the controller asked for evidence").await?,
        }
        Ok(())
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
}
