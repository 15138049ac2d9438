//! With the node's certificate: attesting, receipts, watching, and saying farewell.

use croft_domain::digest::Sha256Digest;
use croft_domain::id::{BaselineRef, BundleRef, NodeId};
use croft_domain::limits::{CHAIN_LINKS_MAX, TEXT_LEN_MAX};
use croft_domain::request::RequestOutcome;
use croft_domain::signed::{Domain, Envelope};
use croft_domain::time::Timestamp;
use croft_domain::verdict::Verdict;
use croft_link::channel;
use croft_link::fetch::HttpsClient;
use croft_link::tls::{ClientIdentity, client_config};
use croft_proto::grpc::node_client::NodeClient;
use croft_proto::grpc::{
    AskedModel as WireAsked, AskedModelsRequest, AttestRequest, ChainLink, ChallengeRequest, DesiredState,
    LeaveRequest, MESSAGE_LEN_MAX, RequestModelRequest, SignedDocument, SubmitReceiptRequest, WatchEvent,
    WatchRequest, watch_event,
};
use croft_trust::chain::{Link, commitment};
use futures_util::{Stream, StreamExt};
use tonic::transport::Channel;

use super::hardware::BootQuote;
use super::{CallError, Recorder, address, within};
use crate::limits::{ASKED_SHOWN_MAX, RECALLS_MAX};
use crate::state::identity::Identity;
use crate::state::node_key::NodeKey;

/// What became of a request for another model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedModel {
    /// For what.
    pub source: String,
    /// When it was asked last.
    pub at: Timestamp,
    /// The admin's answer.
    pub outcome: RequestOutcome,
    /// The admin's sentence.
    pub note: String,
    /// When it was answered.
    pub answered_at: Option<Timestamp>,
}

/// A link as an enrolled node.
#[derive(Clone)]
pub struct Enrolled {
    client: NodeClient<Channel>,
    https: HttpsClient,
    recorder: Recorder,
}

/// What evidence must answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// To be repeated in the evidence.
    pub nonce: Vec<u8>,
    /// Head of this node's chain, if it has one.
    pub chain_head: Option<Sha256Digest>,
    /// How the chain went on from the head that this node knows.
    pub links: Vec<Link>,
}

/// What followed from evidence.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The judgment.
    pub verdict: Verdict,
    /// The link that this answer adds to the chain.
    pub link: Link,
    /// Permission to serve, unverified; none if the verdict blocks.
    pub lease: Option<Envelope>,
    /// Head of this node's chain after it.
    pub chain_head: Option<Sha256Digest>,
}

/// What the controller tells a node that watches.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// What is assigned now.
    Desired {
        /// Bundles, of which only approved ones will be believed.
        bundles: Vec<BundleRef>,
        /// The baseline to collect for.
        baseline: Option<BaselineRef>,
        /// Metadata there is to be had.
        targets_version: u64,
        /// Recalls, unverified.
        recalls: Vec<Envelope>,
    },
    /// A recall, unverified.
    Recalled(Envelope),
    /// This node is no longer part of the fleet.
    Revoked(String),
    /// Evidence is wanted now.
    AttestNow,
}

impl Enrolled {
    /// Connects with the node's certificate.
    ///
    /// # Errors
    /// [`CallError::Link`].
    pub async fn connect(
        identity: &Identity,
        pins: &[Sha256Digest],
        recorder: Recorder,
    ) -> Result<Self, CallError> {
        let url = address(&identity.enrollment.controller)?;
        identity.key.check()?;
        let proof = ClientIdentity { chain_pem: identity.chain_pem.clone(), key: identity.key.client_key() };
        let channel = channel::grpc(&url, &client_config(pins, Some(&proof))?).await?;
        // Metadata and blobs are public; they are fetched without saying who asks.
        let https = HttpsClient::new(&url, &client_config(pins, None)?)?;
        let client = NodeClient::new(channel).max_decoding_message_size(MESSAGE_LEN_MAX);
        Ok(Self { client, https, recorder })
    }

    /// A client for metadata and blobs.
    #[must_use]
    pub fn https(&self) -> HttpsClient {
        self.https.clone()
    }

    /// Asks for a challenge.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn challenge(&self, known: Option<Sha256Digest>, reason: &str) -> Result<Challenge, CallError> {
        const CALL: &str = "Challenge";
        let shown = serde_json::json!({"call": CALL, "chain_head": known});
        self.recorder.record(CALL, reason, shown.to_string())?;
        let request = ChallengeRequest { chain_head: known.map(|head| head.0.to_vec()).unwrap_or_default() };
        let answer = within(CALL, self.client.clone().challenge(request)).await?;
        if answer.nonce.is_empty() || answer.nonce.len() > 512 {
            return Err(CallError::malformed(CALL, "the nonce must be 1 to 512 bytes"));
        }
        if answer.links.len() > CHAIN_LINKS_MAX {
            return Err(CallError::malformed(CALL, "more links than a chain may be behind"));
        }
        let links = answer.links.iter().map(link).collect::<Result<_, _>>()?;
        Ok(Challenge { nonce: answer.nonce, chain_head: head(CALL, &answer.chain_head)?, links })
    }

    /// Sends evidence, with what the TPM says about the boot if that goes with it.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn attest(
        &self,
        evidence: Envelope,
        quote: Option<&BootQuote>,
        reason: &str,
    ) -> Result<Answer, CallError> {
        const CALL: &str = "Attest";
        self.recorder.record(CALL, reason, evidence.payload.clone())?;
        if let Some(quote) = quote {
            self.recorder.record("Quote", reason, quote.shown())?;
        }
        let payload = evidence.payload.clone();
        let request = AttestRequest {
            evidence: Some(SignedDocument::from(evidence)),
            quote: quote.map(BootQuote::wire),
        };
        let answer = within(CALL, self.client.clone().attest(request)).await?;
        let verdict =
            serde_json::from_slice(&answer.verdict_json).map_err(|e| CallError::malformed(CALL, e))?;
        let lease = answer.lease.map(Envelope::try_from).transpose();
        // Computed here from what this node sent: the controller cannot commit to other evidence than this.
        let link = Link {
            commitment: commitment(&answer.salt, &payload),
            verdict: commitment(&answer.verdict_salt, &answer.verdict_json),
            rules: digest(CALL, &answer.rules)?,
            at: Timestamp(answer.judged_at),
        };
        Ok(Answer {
            verdict,
            link,
            lease: lease.map_err(|e| CallError::malformed(CALL, e))?,
            chain_head: head(CALL, &answer.chain_head)?,
        })
    }

    /// Sends a receipt.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn submit_receipt(&self, receipt: Envelope) -> Result<(), CallError> {
        const CALL: &str = "SubmitReceipt";
        self.recorder.record(CALL, "a bundle was loaded or failed", receipt.payload.clone())?;
        let request = SubmitReceiptRequest { receipt: Some(SignedDocument::from(receipt)) };
        within(CALL, self.client.clone().submit_receipt(request)).await.map(drop)
    }

    /// Watches: the first news is the present state.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn watch(
        &self,
        targets_version: u64,
    ) -> Result<impl Stream<Item = Result<News, CallError>> + Send + Unpin + use<>, CallError> {
        const CALL: &str = "Watch";
        let shown = serde_json::json!({"call": CALL, "targets_version": targets_version});
        self.recorder.record(CALL, "to hear of recalls and changes at once", shown.to_string())?;
        let events = within(CALL, self.client.clone().watch(WatchRequest { targets_version })).await?;
        Ok(events.filter_map(|event| {
            std::future::ready(match event {
                Ok(event) => news(event).transpose(),
                Err(status) => Some(Err(CallError::of_status(CALL, &status))),
            })
        }))
    }

    /// Asks the admin for a model.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn request_model(&self, source: &str, reason: &str) -> Result<(), CallError> {
        const CALL: &str = "RequestModel";
        let shown = serde_json::json!({"call": CALL, "source": source, "reason": reason});
        self.recorder.record(CALL, "you asked your admin for a model", shown.to_string())?;
        let request = RequestModelRequest { source: source.to_owned(), reason: reason.to_owned() };
        within(CALL, self.client.clone().request_model(request)).await.map(drop)
    }

    /// Asks what became of the models that were asked for, newest first.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn asked_models(&self) -> Result<Vec<AskedModel>, CallError> {
        const CALL: &str = "AskedModels";
        let shown = serde_json::json!({"call": CALL});
        self.recorder.record(CALL, "you asked what became of your requests", shown.to_string())?;
        let answer = within(CALL, self.client.clone().asked_models(AskedModelsRequest {})).await?;
        answer.asked.into_iter().take(ASKED_SHOWN_MAX).map(asked).collect()
    }

    /// Says that this node leaves, with a signature that makes it the owner's word.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn leave(&self, node: NodeId, key: &NodeKey, now: Timestamp) -> Result<(), CallError> {
        const CALL: &str = "Leave";
        let payload = serde_json::json!({"node": node, "at": now}).to_string();
        self.recorder.record(CALL, "you asked to leave the fleet", payload.clone())?;
        let farewell = key.sign(Domain::Farewell, payload)?;
        let request = LeaveRequest { farewell: Some(SignedDocument::from(farewell)) };
        within(CALL, self.client.clone().leave(request)).await.map(drop)
    }
}

fn asked(wire: WireAsked) -> Result<AskedModel, CallError> {
    let WireAsked { source, at, outcome, note, closed_at } = wire;
    let outcome = RequestOutcome::named(&outcome)
        .ok_or_else(|| CallError::malformed("AskedModels", "an outcome is pending, approved or denied"))?;
    let cut = |text: String| text.chars().take(TEXT_LEN_MAX).collect();
    let answered_at = (closed_at > 0).then_some(Timestamp(closed_at));
    Ok(AskedModel { source: cut(source), at: Timestamp(at), outcome, note: cut(note), answered_at })
}

fn head(call: &'static str, bytes: &[u8]) -> Result<Option<Sha256Digest>, CallError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let digest = bytes.try_into().map_err(|_| CallError::malformed(call, "a chain head is 32 bytes"))?;
    Ok(Some(Sha256Digest(digest)))
}

fn link(wire: &ChainLink) -> Result<Link, CallError> {
    const CALL: &str = "Challenge";
    let ChainLink { evidence_commitment, verdict_commitment, rules, at } = wire;
    Ok(Link {
        commitment: digest(CALL, evidence_commitment)?,
        verdict: digest(CALL, verdict_commitment)?,
        rules: digest(CALL, rules)?,
        at: Timestamp(*at),
    })
}

fn digest(call: &'static str, bytes: &[u8]) -> Result<Sha256Digest, CallError> {
    let digest = bytes.try_into().map_err(|_| CallError::malformed(call, "a digest is 32 bytes"));
    digest.map(Sha256Digest)
}

fn news(event: WatchEvent) -> Result<Option<News>, CallError> {
    const CALL: &str = "Watch";
    let envelope =
        |document: SignedDocument| Envelope::try_from(document).map_err(|e| CallError::malformed(CALL, e));
    Ok(match event.event {
        // An event of a later version of the protocol: it asks for nothing that we know.
        None => None,
        Some(watch_event::Event::Desired(desired)) => {
            let DesiredState { bundles, baseline, targets_version, timestamp_version: _, recalls } = desired;
            if recalls.len() > RECALLS_MAX || bundles.len() > RECALLS_MAX {
                return Err(CallError::malformed(CALL, "more bundles or recalls than a node can have"));
            }
            let bundles = bundles.iter().map(|text| text.parse()).collect::<Result<_, _>>();
            Some(News::Desired {
                bundles: bundles.map_err(|e| CallError::malformed(CALL, e))?,
                baseline: baseline.parse().ok(),
                targets_version,
                recalls: recalls.into_iter().map(envelope).collect::<Result<_, _>>()?,
            })
        }
        Some(watch_event::Event::Recalled(recalled)) => {
            let recall = recalled.recall.ok_or_else(|| CallError::malformed(CALL, "no recall in it"))?;
            Some(News::Recalled(envelope(recall)?))
        }
        Some(watch_event::Event::Revoked(revoked)) => {
            Some(News::Revoked(revoked.reason.chars().take(512).collect()))
        }
        Some(watch_event::Event::AttestNow(_)) => Some(News::AttestNow),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn desired(bundles: &[&str], baseline: &str) -> Result<Option<News>, CallError> {
        let bundles = bundles.iter().map(ToString::to_string).collect();
        let desired = DesiredState { bundles, baseline: baseline.to_owned(), ..DesiredState::default() };
        news(WatchEvent { event: Some(watch_event::Event::Desired(desired)) })
    }

    #[test]
    fn p10_what_a_controller_writes_becomes_a_reference_or_nothing() {
        assert!(matches!(desired(&["starter@1"], "laptop@2"), Ok(Some(News::Desired { .. }))));
        let long = format!("{}@1", "a".repeat(64));
        for hostile in
            ["../../etc/passwd@1", "/bin/sh@1", "a;reboot@1", "$(id)@1", "a b@1", "a@-1", "A@1", "", &long]
        {
            assert!(desired(&[hostile], "laptop@2").is_err(), "{hostile}");
            let Ok(Some(News::Desired { baseline, .. })) = desired(&[], hostile) else { panic!("{hostile}") };
            assert_eq!(baseline, None, "{hostile}");
        }
        assert!(desired(&vec!["starter@1"; RECALLS_MAX + 1], "laptop@2").is_err());
    }

    #[test]
    fn p10_a_reason_is_cut_and_an_unknown_event_asks_for_nothing() {
        let revoked = croft_proto::grpc::Revoked { reason: "x".repeat(100_000) };
        let event = WatchEvent { event: Some(watch_event::Event::Revoked(revoked)) };
        assert!(matches!(news(event), Ok(Some(News::Revoked(reason))) if reason.len() == 512));
        assert!(matches!(news(WatchEvent { event: None }), Ok(None)));
    }
}
