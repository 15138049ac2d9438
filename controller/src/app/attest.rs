//! Evidence in, verdict and lease out.
//!
//! The order matters: whose signature, then which document, then which challenge, then what it says. Nothing that fails
//! leaves a trace in the node's chain; nothing that is answered is missing from it.

use croft_domain::appraise::{History, appraise, history_of};
use croft_domain::digest::Sha256Digest;
use croft_domain::evidence::{BundleState, Evidence};
use croft_domain::id::{BundleRef, LeaseId, VerdictId};
use croft_domain::lease::{Lease, LeaseRequest};
use croft_domain::limits::EVIDENCE_LEN_MAX;
use croft_domain::signed::{Domain, Envelope};
use croft_domain::time::Timestamp;
use croft_domain::verdict::Verdict;
use croft_trust::chain::{Link, commitment, next_head};
use croft_trust::digest::sha256;
use croft_trust::store::TrustView;
use serde::Deserialize;

use super::hardware::{QuoteProof, rooted};
use super::nonce::Purpose;
use super::policy::{baseline_of, leasable_of, recalls_in_force};
use super::{App, AppError, random};
use crate::metrics::VerdictLabel;
use crate::store::{Appended, BundleNow, NewVerdict, NodeRow, Receipt};

/// Earlier enrollments of a machine that count for its grace.
const EARLIER_MAX: u32 = 16;

/// The answer to evidence.
pub struct Attested {
    /// The verdict's id.
    pub verdict_id: VerdictId,
    /// The verdict, exactly as it is chained.
    pub verdict_json: Vec<u8>,
    /// Permission to serve; none if the verdict blocks or the metadata has expired.
    pub lease: Option<Envelope>,
    /// The chain's head after this verdict.
    pub chain_head: [u8; 32],
    /// Salt of the evidence's commitment.
    pub salt: [u8; 32],
    /// Salt of the verdict's commitment.
    pub verdict_salt: [u8; 32],
    /// Which signed baseline and waivers it rests on.
    pub rules: Sha256Digest,
    /// When it was judged.
    pub at: Timestamp,
}

impl App {
    /// A nonce for the next evidence, bound to the present head of the node's chain.
    #[must_use]
    pub fn challenge(&self, node: &NodeRow, now: Timestamp) -> Vec<u8> {
        self.nonces.make(Purpose::Attest(node.chain_head), node.id, now)
    }

    /// Judges evidence and appends the verdict to the node's chain.
    ///
    /// # Errors
    /// [`AppError::EvidenceInvalid`], [`AppError::EvidenceStale`], [`AppError::Hardware`]; [`AppError::Unapproved`] if the signed state has
    /// nothing for the group; [`AppError::NodeRevoked`] if the node was removed meanwhile.
    pub async fn attest(
        &self,
        node: &NodeRow,
        envelope: &Envelope,
        quote: Option<&QuoteProof>,
        now: Timestamp,
    ) -> Result<Attested, AppError> {
        let (evidence, nonce) = self.read_evidence(node, envelope, now)?;
        let boots = self.check_for_copies(node, &evidence, now).await?;
        let published = self.mirror.current().ok_or(AppError::Unpublished)?;
        let view = &published.view;
        let baseline = baseline_of(view, &node.group)?;
        let history = self.history(node).await?;
        let root = rooted(node, baseline, &evidence, (&nonce, &envelope.payload), quote)?;
        let verdict = appraise(baseline, &view.waivers, &evidence, &history, &root.subject(&node.group), now);
        let verdict_id = VerdictId(random()?);
        let verdict_json = json(&verdict)?;
        let (judged, claimed) = ((&verdict, verdict_id), (&evidence, envelope.payload.as_slice()));
        let lease = self.lease(node, view, judged, claimed, baseline.lease_ttl_s, now).await?;

        let (salt, verdict_salt) = (random()?, random()?);
        let link = Link {
            commitment: commitment(&salt, &envelope.payload),
            verdict: commitment(&verdict_salt, &verdict_json),
            rules: view.rules(&verdict.baseline),
            at: now,
        };
        let head = next_head(node.chain_head, &link);
        let (usage, content) = super::usage::kept(view, &evidence);
        let lease_json = lease.as_ref().map(json).transpose()?.unwrap_or_default();
        let new = NewVerdict {
            node: node.id,
            head_before: node.chain_head,
            head,
            counter: evidence.counter,
            boot_id: evidence.boot_id.clone(),
            boots,
            agent_version: evidence.agent_version.clone(),
            id: verdict_id,
            at: now,
            salt,
            evidence_commitment: link.commitment,
            evidence: envelope.payload.clone(),
            evidence_signature: envelope.signature.clone(),
            quote: quote.map(|proof| proof.quote.to_bytes()).unwrap_or_default(),
            verdict: verdict_json.clone(),
            verdict_salt,
            verdict_commitment: link.verdict,
            rules: link.rules,
            lease: lease_json.clone(),
            lease_until: lease.as_ref().map_or(Timestamp(0), |lease| lease.expires_at),
            taken_at: evidence.taken_at,
            bundles: bundles_now(&evidence),
            usage,
            content,
        };
        if self.store.append_verdict(&new).await? == Appended::Raced {
            // Another answer to the same challenge was first, or the node was removed: the row says which.
            self.active_node(node.id).await?;
            return Err(AppError::EvidenceStale);
        }
        self.count(&verdict);
        Ok(Attested {
            verdict_id,
            verdict_json,
            lease: lease.map(|_| self.lease_key.sign(Domain::Lease, lease_json)),
            chain_head: head.0,
            salt,
            verdict_salt,
            rules: link.rules,
            at: now,
        })
    }

    fn count(&self, verdict: &Verdict) {
        let outcome = if verdict.allows_serving() { "allowed" } else { "blocked" };
        self.metrics.verdicts.get_or_create(&VerdictLabel { outcome }).inc();
    }

    fn read_evidence(
        &self,
        node: &NodeRow,
        envelope: &Envelope,
        now: Timestamp,
    ) -> Result<(Evidence, Vec<u8>), AppError> {
        let invalid = |why: &str| AppError::EvidenceInvalid(why.to_owned());
        if envelope.payload.len() > EVIDENCE_LEN_MAX {
            return Err(invalid("it is longer than 16 KiB"));
        }
        croft_trust::sign::verify(envelope, Domain::Evidence, &node.key_point)
            .map_err(|_| invalid("it is not signed by this node's key"))?;
        let evidence: Evidence = serde_json::from_slice(&envelope.payload)
            .map_err(|e| AppError::EvidenceInvalid(format!("it does not parse: {e}")))?;
        evidence.check_bounds().map_err(|e| AppError::EvidenceInvalid(e.to_string()))?;
        if evidence.node != node.id {
            return Err(invalid("it is about another node"));
        }
        let nonce = hex::decode(&evidence.nonce).map_err(|_| AppError::EvidenceStale)?;
        if !self.nonces.check(&nonce, Purpose::Attest(node.chain_head), node.id, now) {
            return Err(AppError::EvidenceStale);
        }
        Ok((evidence, nonce))
    }

    // The controller keeps its own clock of first failures. What the node remembers can only make it stricter.
    async fn history(&self, node: &NodeRow) -> Result<History, AppError> {
        let last = self.store.last_verdict(node.id).await?;
        // Only a node that was out of the fleet can have lost its last one.
        if let Some(last) = last.filter(|last| !last.verdict.is_empty()) {
            return parse_history(&last.verdict);
        }
        let Some(machine) = &node.machine else { return Ok(History::new()) };
        // Its first: what this machine failed under another name goes on, so that enrolling again restarts no grace.
        let mut history = History::new();
        for verdict in self.store.verdicts_of_machine(machine, node.id, EARLIER_MAX).await? {
            for (key, remembered) in parse_history(&verdict)? {
                history.entry(key).or_insert(remembered);
            }
        }
        Ok(history)
    }

    async fn lease(
        &self,
        node: &NodeRow,
        view: &TrustView,
        (verdict, verdict_id): (&Verdict, VerdictId),
        (evidence, payload): (&Evidence, &[u8]),
        ttl_s: u64,
        now: Timestamp,
    ) -> Result<Option<Lease>, AppError> {
        let recalls = recalls_in_force(view, &self.store.recalls().await?)?;
        let assignments = self.store.assignments().await?;
        let request = LeaseRequest {
            id: LeaseId(random()?),
            node: node.id,
            node_key: sha256(&node.key_point),
            verdict_id,
            verdict,
            evidence: sha256(payload),
            runtime: evidence.runtime_sha256,
            bundles: leasable_of(view, &node.group, &assignments, &recalls),
            ttl_s,
            unseen_since: now,
            metadata_expires_at: view.expires_at,
            now,
        };
        Ok(Lease::grant(request).ok())
    }

    /// Takes in a node's signed word on a bundle.
    ///
    /// # Errors
    /// [`AppError::EvidenceInvalid`] if it is not this node's, or does not parse.
    pub async fn receive_receipt(
        &self,
        node: &NodeRow,
        envelope: &Envelope,
        now: Timestamp,
    ) -> Result<(), AppError> {
        let document: ReceiptDocument = read_signed(node, envelope, Domain::Receipt)?;
        if document.node != node.id {
            return Err(AppError::EvidenceInvalid("the receipt is about another node".to_owned()));
        }
        check_clock(document.at, now)?;
        let published = self.mirror.current().ok_or(AppError::Unpublished)?;
        if !published.view.bundles.contains_key(&document.bundle) {
            return Err(AppError::NotFound(format!("bundle {}", document.bundle)));
        }
        let receipt = Receipt {
            bundle: document.bundle.to_string(),
            manifest_sha256: document.manifest_sha256,
            state: match document.state {
                ReceiptState::Loaded => "loaded",
                ReceiptState::Failed => "failed",
            },
            code: document.code.unwrap_or_default(),
            at: document.at,
            document: envelope.payload.clone(),
        };
        super::bounded("code", &receipt.code, 64)?;
        self.metrics.receipts.inc();
        Ok(self.store.put_receipt(node.id, &receipt).await?)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ReceiptState {
    Loaded,
    Failed,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReceiptDocument {
    node: croft_domain::id::NodeId,
    bundle: BundleRefText,
    manifest_sha256: Sha256Digest,
    state: ReceiptState,
    #[serde(default)]
    code: Option<String>,
    at: Timestamp,
    #[serde(default, rename = "load_ms")]
    _load_ms: u64,
}

// Receipts write a bundle as `name@version`; the domain's own documents spell out both fields. Either is plain.
#[derive(Deserialize)]
#[serde(untagged)]
enum AnyBundleRef {
    Text(String),
    Fields(BundleRef),
}

#[derive(Deserialize)]
#[serde(try_from = "AnyBundleRef")]
struct BundleRefText(BundleRef);

impl TryFrom<AnyBundleRef> for BundleRefText {
    type Error = croft_domain::id::IdError;

    fn try_from(any: AnyBundleRef) -> Result<Self, Self::Error> {
        match any {
            AnyBundleRef::Text(text) => text.parse().map(Self),
            AnyBundleRef::Fields(reference) => Ok(Self(reference)),
        }
    }
}

impl std::ops::Deref for BundleRefText {
    type Target = BundleRef;

    fn deref(&self) -> &BundleRef {
        &self.0
    }
}

impl std::fmt::Display for BundleRefText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Reads a small document that this node signed.
pub(super) fn read_signed<T: serde::de::DeserializeOwned>(
    node: &NodeRow,
    envelope: &Envelope,
    domain: Domain,
) -> Result<T, AppError> {
    if envelope.payload.len() > EVIDENCE_LEN_MAX {
        return Err(AppError::EvidenceInvalid("it is longer than 16 KiB".to_owned()));
    }
    croft_trust::sign::verify(envelope, domain, &node.key_point)
        .map_err(|_| AppError::EvidenceInvalid("it is not signed by this node's key".to_owned()))?;
    serde_json::from_slice(&envelope.payload)
        .map_err(|e| AppError::EvidenceInvalid(format!("it does not parse: {e}")))
}

/// A node's time must not lie far in the future: it would outrank everything the node says later.
pub(super) fn check_clock(at: Timestamp, now: Timestamp) -> Result<(), AppError> {
    if at > now.plus(croft_domain::limits::CLOCK_SKEW_MAX_S) {
        return Err(AppError::EvidenceInvalid("it was made in the future: set the node's clock".to_owned()));
    }
    Ok(())
}

fn parse_history(verdict: &[u8]) -> Result<History, AppError> {
    let verdict: Verdict =
        serde_json::from_slice(verdict).map_err(|_| AppError::Internal("a stored verdict does not parse"))?;
    Ok(history_of(&verdict))
}

fn bundles_now(evidence: &Evidence) -> Vec<BundleNow> {
    evidence
        .bundles
        .iter()
        .map(|status| BundleNow {
            bundle: status.bundle.to_string(),
            manifest_sha256: status.manifest_sha256,
            state: match status.state {
                BundleState::Fetching => "fetching",
                BundleState::Installed => "installed",
                BundleState::Loaded => "loaded",
                BundleState::Failed => "failed",
                BundleState::Recalled => "recalled",
            },
            code: status.code.clone().unwrap_or_default(),
        })
        .collect()
}

fn json<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, AppError> {
    serde_json::to_vec(value).map_err(|_| AppError::Internal("a document does not serialize"))
}
