//! Nodes whose key is in a TPM: the challenge before they enroll, what they show then, and quotes beside their evidence.
//!
//! The endorsement key comes in, is judged, and is forgotten; what is kept of it is an HMAC under this controller's secret.

use std::collections::BTreeMap;

use croft_domain::appraise::Subject;
use croft_domain::baseline::Baseline;
use croft_domain::collection::Item;
use croft_domain::digest::Sha256Digest;
use croft_domain::evidence::Evidence;
use croft_domain::hardware::BootState;
use croft_domain::id::{GroupName, InviteId};
use croft_domain::limits::PCRS;
use croft_domain::time::Timestamp;
use croft_domain::verdict::Assurance;
use croft_tpm::client::Signed;
use croft_tpm::credential::{self, Credential};
use croft_tpm::error::ProofError;
use croft_tpm::event_log::{self, Event};
use croft_tpm::limits::EVENTS_MAX;
use croft_tpm::manufacturer::{self, Claim};
use croft_tpm::proof::{attestation_key, certification_nonce, certified};
use croft_tpm::public::Public;
use croft_tpm::quote::Quote;
use croft_trust::digest::sha256;

use super::enroll::same;
use super::policy::baseline_of;
use super::{App, AppError};
use crate::limits;
use crate::store::{Hardware, InviteRow, NodeRow};

const ENDORSEMENT: &str = "the endorsement key";

/// What a TPM shows at enrollment, as it came.
pub struct HardwareProof {
    /// Public area of the endorsement key.
    pub endorsement: Vec<u8>,
    /// Its certificate, DER; empty if there is none.
    pub certificate: Vec<u8>,
    /// Certificates between that and its maker's, DER, one behind the other.
    pub intermediates: Vec<u8>,
    /// Public area of the attestation key.
    pub attestation: Vec<u8>,
    /// Public area of the node's key.
    pub identity: Vec<u8>,
    /// The attestation key's word on that.
    pub certification: Signed,
    /// What was in the credential.
    pub opened: [u8; 32],
    /// When the credential was made.
    pub at: Timestamp,
}

/// What a TPM quoted, as it came.
pub struct QuoteProof {
    /// The statement and the PCR values, which are kept.
    pub quote: Quote,
    /// How firmware came to them.
    pub events: Vec<Event>,
}

/// How far evidence is rooted, and what its TPM said besides.
pub(super) struct Rooted {
    pub assurance: Assurance,
    pub boot: Option<BootState>,
}

impl Rooted {
    pub(super) const fn subject<'a>(&'a self, group: &'a GroupName) -> Subject<'a> {
        Subject { group, assurance: self.assurance, boot: self.boot.as_ref() }
    }
}

impl App {
    /// A secret that only the TPM can open which has both keys.
    ///
    /// # Errors
    /// As an invite can fail; [`AppError::Hardware`] for keys of another kind.
    pub async fn hardware_challenge(
        &self,
        (invite, secret): (InviteId, &[u8; 32]),
        endorsement: &[u8],
        attestation: &[u8],
        now: Timestamp,
    ) -> Result<Credential, AppError> {
        self.open_invite(invite, secret, now).await?;
        let endorsement = Public::parse(ENDORSEMENT, endorsement)?;
        let attestation = attestation_key(attestation)?;
        let value = self.nonces.credential(invite, endorsement.name(), attestation.name(), now);
        Ok(credential::make(&endorsement, attestation.name(), &value)?)
    }

    /// Judges what a TPM showed for the key `point` of the certificate request.
    pub(super) async fn believe_hardware(
        &self,
        proof: &HardwareProof,
        invite: &InviteRow,
        point: &[u8; 65],
        now: Timestamp,
    ) -> Result<Hardware, AppError> {
        let endorsement = Public::parse(ENDORSEMENT, &proof.endorsement)?;
        let attestation = attestation_key(&proof.attestation)?;
        let made = self.nonces.credential(invite.id, endorsement.name(), attestation.name(), proof.at);
        let is_fresh = proof.at <= now && now.since(proof.at) <= limits::NONCE_TTL_S;
        if !is_fresh || !same(&made, &proof.opened) {
            return Err(ProofError::Nonce("the opened credential").into());
        }
        let nonce = certification_nonce(&proof.opened);
        if certified(&attestation, &proof.identity, &proof.certification, &nonce)? != *point {
            return Err(ProofError::OtherKey.into());
        }
        let endorsement_hmac = self.nonces.endorsement(&proof.endorsement);
        if self.store.is_banned_hardware(&endorsement_hmac).await? {
            return Err(AppError::NodeRevoked {
                reason: "this machine was banned under another name".to_owned(),
            });
        }
        let published = self.mirror.current().ok_or(AppError::Unpublished)?;
        let listed = &baseline_of(&published.view, &invite.group)?.tpm.manufacturers;
        let manufacturer = match proof.certificate.as_slice() {
            [] => None,
            certificate => {
                let intermediates = &proof.intermediates;
                manufacturer::issuer(
                    Claim { certificate, intermediates, endorsement: &endorsement },
                    listed,
                    now.0,
                )?
            }
        };
        let attestation_point = *attestation.point().ok_or(ProofError::OtherKey)?;
        Ok(Hardware { attestation_point, endorsement_hmac, manufacturer })
    }
}

/// How far `evidence` is rooted, by what the node showed at its enrollment and the quote that came with it.
///
/// # Errors
/// [`AppError::Hardware`] for a quote that does not hold: it is refused with the evidence beside it, not passed over.
pub(super) fn rooted(
    node: &NodeRow,
    baseline: &Baseline,
    evidence: &Evidence,
    (challenge, payload): (&[u8], &[u8]),
    quote: Option<&QuoteProof>,
) -> Result<Rooted, AppError> {
    let invalid = |why: &str| AppError::EvidenceInvalid(why.to_owned());
    let attestation = node.hardware.as_ref().map(|hardware| sha256(&hardware.attestation_point));
    if evidence.attestation_key != attestation {
        return Err(invalid("it names another attestation key than the node enrolled with"));
    }
    let Some(hardware) = &node.hardware else {
        let rooted = Rooted { assurance: Assurance::SelfReported, boot: None };
        return quote.map_or(Ok(rooted), |_| Err(invalid("a quote came from a node whose key is in no TPM")));
    };
    // An authority that was taken off the list vouches for nobody any more.
    let is_listed = |known: &[u8; 32]| {
        baseline
            .tpm
            .manufacturers
            .iter()
            .any(|pem| manufacturer::authority(pem).is_ok_and(|listed| listed == *known))
    };
    let is_known = hardware.manufacturer.as_ref().is_some_and(is_listed);
    let Some(quote) = quote else {
        let assurance = if is_known { Assurance::HardwareKey } else { Assurance::UnknownTpm };
        return Ok(Rooted { assurance, boot: None });
    };
    if !evidence.collected.contains(&Item::BootMeasurements) {
        return Err(invalid("a quote came that its evidence does not name as collected"));
    }
    if quote.quote.values.len() > usize::from(PCRS) || quote.events.len() > EVENTS_MAX {
        return Err(invalid("the quote has more values or events than a boot has"));
    }
    let values = &quote.quote.values;
    quote.quote.verify(&hardware.attestation_point, challenge, payload)?;
    if !quote.events.is_empty() {
        event_log::replay(&quote.events, values)?;
    }
    let pcrs: BTreeMap<u8, Sha256Digest> =
        values.iter().map(|(pcr, value)| (*pcr, Sha256Digest(*value))).collect();
    let assurance = if is_known { Assurance::Measured } else { Assurance::UnknownTpm };
    Ok(Rooted { assurance, boot: Some(BootState { pcrs }) })
}
