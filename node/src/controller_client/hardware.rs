//! What a TPM has to say, in the words of the wire: that it holds the node's key, and how the machine booted.

use croft_domain::hardware::BootState;
use croft_domain::invite::Invite;
use croft_link::channel;
use croft_proto::grpc::enrollment_client::EnrollmentClient;
use croft_proto::grpc::{HardwareChallengeRequest, HardwareProof, MeasuredEvent, PcrValue, Quote};
use croft_tpm::error::TpmError;
use croft_tpm::event_log::Event;
use croft_tpm::key::{Quoted, TpmKey};
use croft_tpm::proof::certification_nonce;

use super::enroll::Anonymous;
use super::{CallError, within};
use crate::state::files::StateError;
use crate::state::node_key::salt_of;

/// What goes with evidence: quoted PCRs, and how firmware came to them.
#[derive(Clone, Debug)]
pub struct BootQuote {
    /// Which PCRs, ascending.
    pub selected: Vec<u8>,
    /// What the TPM quoted.
    pub quoted: Quoted,
    /// Of the firmware's log.
    pub events: Vec<Event>,
}

impl BootQuote {
    /// The values, for this node's own judgment.
    #[must_use]
    pub fn state(&self) -> BootState {
        let digests = self.quoted.values.iter().map(|value| croft_domain::digest::Sha256Digest(*value));
        BootState { pcrs: self.selected.iter().copied().zip(digests).collect() }
    }

    pub(super) fn wire(&self) -> Quote {
        let value =
            |(pcr, value): (&u8, &[u8; 32])| PcrValue { pcr: u32::from(*pcr), sha256: value.to_vec() };
        let event = |Event { pcr, kind, sha256 }: &Event| MeasuredEvent {
            pcr: u32::from(*pcr),
            kind: *kind,
            sha256: sha256.to_vec(),
        };
        Quote {
            statement: self.quoted.signed.statement.clone(),
            signature: self.quoted.signed.signature.clone(),
            pcrs: self.selected.iter().zip(&self.quoted.values).map(value).collect(),
            events: self.events.iter().map(event).collect(),
        }
    }

    pub(super) fn shown(&self) -> String {
        let event = |Event { pcr, kind, sha256 }: &Event| serde_json::json!({"pcr": pcr, "kind": kind, "sha256": hex::encode(sha256)});
        let value =
            |(pcr, value): (&u8, &[u8; 32])| serde_json::json!({"pcr": pcr, "sha256": hex::encode(value)});
        serde_json::json!({
            "part_of": "Attest",
            "statement": hex::encode(&self.quoted.signed.statement),
            "signature": hex::encode(&self.quoted.signed.signature),
            "pcrs": self.selected.iter().zip(&self.quoted.values).map(value).collect::<Vec<_>>(),
            "events": self.events.iter().map(event).collect::<Vec<_>>(),
        })
        .to_string()
    }
}

/// A proof as its owner sees it.
pub(super) fn shown(proof: &HardwareProof) -> serde_json::Value {
    let HardwareProof {
        endorsement_public,
        endorsement_certificate,
        attestation_public,
        identity_public,
        statement,
        statement_signature,
        opened,
        at,
        endorsement_intermediates,
    } = proof;
    serde_json::json!({
        "endorsement_public": hex::encode(endorsement_public),
        "endorsement_certificate": hex::encode(endorsement_certificate),
        "endorsement_intermediates": hex::encode(endorsement_intermediates),
        "attestation_public": hex::encode(attestation_public),
        "identity_public": hex::encode(identity_public),
        "statement": hex::encode(statement),
        "statement_signature": hex::encode(statement_signature),
        "opened": hex::encode(opened),
        "at": at,
    })
}

/// Runs `asked` where it holds nobody up: making an RSA key takes some TPMs half a minute.
async fn ask<T: Send + 'static>(
    tpm: &TpmKey,
    asked: impl FnOnce(&TpmKey) -> Result<T, TpmError> + Send + 'static,
) -> Result<T, CallError> {
    let tpm = tpm.clone();
    let answer = tokio::task::spawn_blocking(move || asked(&tpm)).await;
    let answer = answer.map_err(|e| CallError::malformed("HardwareChallenge", e))?;
    answer.map_err(|e| CallError::NotSigned(StateError::Tpm(e)))
}

impl Anonymous {
    /// Shows that the key is in a TPM: opens the controller's credential and has the key certified.
    pub(super) async fn show_hardware(
        &self,
        invite: &Invite,
        secret: &[u8],
        tpm: &TpmKey,
    ) -> Result<HardwareProof, CallError> {
        const CALL: &str = "HardwareChallenge";
        let fleet = salt_of(invite.fleet);
        let asked = ask(tpm, move |tpm| Ok((tpm.endorsement()?, tpm.attestation(&fleet)?))).await?;
        let (endorsement, attestation_public) = asked;
        let shown = serde_json::json!({
            "call": CALL,
            "invite_id": invite.id,
            "invite_secret": "(masked)",
            "endorsement_public": hex::encode(&endorsement.public),
            "attestation_public": hex::encode(&attestation_public),
        });
        self.recorder.record(CALL, "you asked to join the fleet with a key in the TPM", shown.to_string())?;
        let request = HardwareChallengeRequest {
            invite_id: invite.id.0.to_vec(),
            invite_secret: secret.to_vec(),
            endorsement_public: endorsement.public.clone(),
            attestation_public: attestation_public.clone(),
        };
        let mut client = EnrollmentClient::new(channel::grpc(&self.url, &self.config).await?);
        let challenge = within(CALL, client.hardware_challenge(request)).await?;
        let (opened, certification) = ask(tpm, move |tpm| {
            let opened = tpm.activate(&fleet, &challenge.credential, &challenge.seed)?;
            let certification = tpm.certify(&fleet, &certification_nonce(&opened))?;
            Ok((opened, certification))
        })
        .await?;
        Ok(HardwareProof {
            endorsement_public: endorsement.public,
            endorsement_certificate: endorsement.certificate,
            endorsement_intermediates: endorsement.intermediates,
            attestation_public,
            identity_public: tpm.public().to_vec(),
            statement: certification.statement,
            statement_signature: certification.signature,
            opened,
            at: challenge.at,
        })
    }
}
