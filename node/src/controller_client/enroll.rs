//! Without a certificate: enrolling with an invite, and renewing by proof of the key.

use std::sync::Arc;

use croft_domain::digest::Sha256Digest;
use croft_domain::evidence::Ownership;
use croft_domain::id::{GroupName, NodeId};
use croft_domain::invite::Invite;
use croft_domain::signed::Domain;
use croft_link::channel;
use croft_link::fetch::HttpsClient;
use croft_link::tls::client_config;
use croft_proto::grpc::enrollment_client::EnrollmentClient;
use croft_proto::grpc::{EnrollRequest, HardwareProof, RenewRequest, RenewalChallengeRequest};
use rustls::ClientConfig;
use url::Url;

use super::{CallError, Recorder, address, hardware, within};
use crate::state::node_key::NodeKey;

/// A link to a controller that does not know us, or not any more.
pub struct Anonymous {
    pub(super) url: Url,
    pub(super) config: Arc<ClientConfig>,
    pub(super) recorder: Recorder,
}

/// What a machine says when it enrolls, besides the invite.
#[derive(Clone, Debug)]
pub struct Application {
    /// Whose machine.
    pub ownership: Ownership,
    /// `system` or `user`.
    pub mode: &'static str,
    /// Operating system.
    pub os: String,
    /// Architecture.
    pub arch: String,
    /// Version of the daemon.
    pub agent_version: String,
    /// The machine's hash in this fleet; none where it has none.
    pub machine: Option<Sha256Digest>,
}

impl Application {
    /// The first message as JSON for a person, byte for byte but for the secret and the not yet existing request.
    #[must_use]
    pub fn masked(&self, invite: &Invite, csr: &str, hardware: Option<&HardwareProof>) -> Vec<u8> {
        let Self { ownership, mode, os, arch, agent_version, machine } = self;
        let mut shown = serde_json::json!({
            "call": "Enroll",
            "invite_id": invite.id,
            "invite_secret": "(masked)",
            "csr_der": csr,
            "ownership": ownership,
            "mode": mode,
            "os": os,
            "arch": arch,
            "agent_version": agent_version,
            "machine": machine,
        });
        if let Some(proof) = hardware {
            shown["hardware"] = hardware::shown(proof);
        }
        shown.to_string().into_bytes()
    }
}

/// What the controller gave a new node.
#[derive(Clone, Debug)]
pub struct Admission {
    /// Who we are.
    pub node: NodeId,
    /// Our certificate chain.
    pub chain_pem: String,
    /// Our group.
    pub group: GroupName,
}

impl Anonymous {
    /// A link to `controller` that believes only the pinned CAs. Connects when it is used.
    ///
    /// # Errors
    /// If the address is none.
    pub fn new(controller: &str, pins: &[Sha256Digest], recorder: Recorder) -> Result<Self, CallError> {
        Ok(Self { url: address(controller)?, config: client_config(pins, None)?, recorder })
    }

    /// A client for metadata and blobs, which need no certificate.
    ///
    /// # Errors
    /// If the address is none.
    pub fn https(&self) -> Result<HttpsClient, CallError> {
        Ok(HttpsClient::new(&self.url, &self.config)?)
    }

    /// Enrolls.
    ///
    /// # Errors
    /// [`CallError`] with the controller's reason.
    pub async fn enroll(
        &self,
        invite: &Invite,
        key: &NodeKey,
        application: &Application,
    ) -> Result<Admission, CallError> {
        const CALL: &str = "Enroll";
        let csr_der = key.request()?;
        let secret = hex::decode(&invite.secret).map_err(|e| CallError::malformed(CALL, e))?;
        let hardware = match key.tpm() {
            Some(tpm) => Some(self.show_hardware(invite, &secret, tpm).await?),
            None => None,
        };
        let shown = application.masked(invite, &hex::encode(&csr_der), hardware.as_ref());
        self.recorder.record(CALL, "you asked to join the fleet", shown)?;
        let Application { ownership, mode, os, arch, agent_version, machine } = application.clone();
        let ownership = match ownership {
            Ownership::Personal => "personal",
            Ownership::DevBudget => "dev-budget",
        };
        let request = EnrollRequest {
            invite_id: invite.id.0.to_vec(),
            invite_secret: secret,
            csr_der,
            ownership: ownership.to_owned(),
            mode: mode.to_owned(),
            os,
            arch,
            agent_version,
            machine: machine.map_or_else(Vec::new, |machine| machine.0.to_vec()),
            hardware,
        };
        let mut client = EnrollmentClient::new(channel::grpc(&self.url, &self.config).await?);
        let answer = within(CALL, client.enroll(request)).await?;
        let malformed = |e: &dyn std::fmt::Display| CallError::malformed(CALL, e);
        Ok(Admission {
            node: NodeId::try_from(answer.node_id.as_slice()).map_err(|e| malformed(&e))?,
            chain_pem: answer.certificate_chain_pem,
            group: answer.group.parse().map_err(|e| malformed(&e))?,
        })
    }

    /// A new certificate for a node that proves its key. Works with an expired certificate as well, so that a machine
    /// which slept for months needs no new invite (P8).
    ///
    /// # Errors
    /// [`CallError`]; a banned node is refused here.
    pub async fn renew(&self, node: NodeId, key: &NodeKey) -> Result<String, CallError> {
        let mut client = EnrollmentClient::new(channel::grpc(&self.url, &self.config).await?);
        let id = node.0.to_vec();
        let asked = serde_json::json!({"call": "RenewalChallenge", "node_id": node}).to_string();
        self.recorder.record("RenewalChallenge", "the certificate is due for renewal", asked)?;
        let request = RenewalChallengeRequest { node_id: id.clone() };
        let challenge = within("RenewalChallenge", client.renewal_challenge(request)).await?;
        let csr_der = key.request()?;
        let proven = [challenge.nonce.as_slice(), &csr_der].concat();
        let signature = key.sign(Domain::Renewal, proven)?.signature;
        let sent = serde_json::json!({
            "call": "Renew",
            "node_id": node,
            "nonce": hex::encode(&challenge.nonce),
            "csr_der": hex::encode(&csr_der),
            "signature": hex::encode(&signature),
        });
        self.recorder.record("Renew", "the certificate is due for renewal", sent.to_string())?;
        let request = RenewRequest { node_id: id, nonce: challenge.nonce, csr_der, signature };
        Ok(within("Renew", client.renew(request)).await?.certificate_chain_pem)
    }
}
