//! Becoming known: enrolling with an invite, renewing by key proof, and the first admin.

use croft_domain::digest::Sha256Digest;
use croft_domain::evidence::{Mode, Ownership};
use croft_domain::id::{GroupName, InviteId, NodeId};
use croft_domain::signed::{Domain, Envelope};
use croft_domain::time::Timestamp;
use croft_trust::digest::sha256;

use super::hardware::HardwareProof;
use super::nonce::Purpose;
use super::{Actor, App, AppError, bounded, random};
use crate::ca::{Request, Subject};
use crate::limits;
use crate::store::{InviteRow, NewNode, Redeemed};

/// What a machine says of itself when it enrolls.
pub struct Enrollment {
    /// With which invite.
    pub invite: InviteId,
    /// The invite's secret.
    pub secret: [u8; 32],
    /// A certificate request over its fresh key.
    pub csr_der: Vec<u8>,
    /// Whose machine.
    pub ownership: Ownership,
    /// How installed.
    pub mode: Mode,
    /// Operating system.
    pub os: String,
    /// Architecture.
    pub arch: String,
    /// Version of the daemon.
    pub agent_version: String,
    /// The machine's hash in this fleet; none where it has none.
    pub machine: Option<Sha256Digest>,
    /// That its key is in a TPM; none if it is a file.
    pub hardware: Option<HardwareProof>,
}

/// What the first admin gets.
pub struct Bootstrapped {
    /// Certificate chain, PEM.
    pub chain_pem: String,
    /// Uncompressed point of the lease key, hexadecimal, for `fleet.json`.
    pub lease_key_point: String,
    /// Pin of the CA, for `fleet.json`.
    pub ca_pin: Sha256Digest,
}

impl App {
    /// Takes one use of an invite and certifies the node's key, which is its key for ever.
    ///
    /// # Errors
    /// The three ways an invite can fail; [`AppError::Input`] or [`AppError::Certificate`] for what the node sent.
    pub async fn enroll(
        &self,
        enrollment: Enrollment,
        now: Timestamp,
    ) -> Result<(NodeId, GroupName, String), AppError> {
        let texts = [&enrollment.os, &enrollment.arch, &enrollment.agent_version];
        texts.iter().try_for_each(|text| bounded("os, arch, agent_version", text, 64))?;
        let request = Request::parse(&enrollment.csr_der)?;
        let invite = self.open_invite(enrollment.invite, &enrollment.secret, now).await?;
        let hardware = match &enrollment.hardware {
            Some(proof) => Some(self.believe_hardware(proof, &invite, request.point(), now).await?),
            None => None,
        };
        let node = NewNode {
            id: NodeId(random()?),
            group: invite.group.clone(),
            key_point: *request.point(),
            ownership: enrollment.ownership,
            mode: enrollment.mode,
            os: enrollment.os,
            arch: enrollment.arch,
            agent_version: enrollment.agent_version,
            machine: enrollment.machine,
            hardware,
        };
        // Certified first: a use of the invite is only spent when there is something to hand out for it.
        let subject = Subject::Node(node.id);
        let chain = self.authority.certify(&request, &subject, self.node_certificate_s, now)?;
        match self.store.redeem_invite(invite.id, &node, now).await? {
            Redeemed::Enrolled => {}
            Redeemed::Spent => return Err(AppError::InviteUsed),
        }
        self.metrics.enrollments.inc();
        tracing::info!(node = %node.id, group = %invite.group, "a node enrolled");
        Ok((node.id, invite.group, chain))
    }

    /// The invite, if whoever asks has its secret and it is not over.
    pub(super) async fn open_invite(
        &self,
        id: InviteId,
        secret: &[u8; 32],
        now: Timestamp,
    ) -> Result<InviteRow, AppError> {
        let invite = self.store.invite(id).await?.ok_or(AppError::InviteUnknown)?;
        if !same(&sha256(secret).0, &invite.secret_sha256) {
            return Err(AppError::InviteUnknown);
        }
        if invite.expires_at <= now {
            return Err(AppError::InviteExpired);
        }
        Ok(invite)
    }

    /// A nonce for [`App::renew`]. Given to anyone: it opens nothing without the node's key.
    #[must_use]
    pub fn renewal_challenge(&self, node: NodeId, now: Timestamp) -> Vec<u8> {
        self.nonces.make(Purpose::Renew, node, now)
    }

    /// A new certificate for a node's own key, whose old one may have expired long ago (P8).
    ///
    /// # Errors
    /// [`AppError::NodeRevoked`] or [`AppError::NodeUnknown`]; [`AppError::EvidenceStale`] for an old nonce;
    /// [`AppError::Denied`] if the signature or the key is not the node's.
    pub async fn renew(
        &self,
        node: NodeId,
        nonce: &[u8],
        csr_der: &[u8],
        signature: &[u8],
        now: Timestamp,
    ) -> Result<String, AppError> {
        if !self.nonces.check(nonce, Purpose::Renew, node, now) {
            return Err(AppError::EvidenceStale);
        }
        let row = self.active_node(node).await?;
        let proof = Envelope {
            payload: [nonce, csr_der].concat(),
            signature: signature.to_vec(),
            key_id: sha256(&row.key_point),
        };
        croft_trust::sign::verify(&proof, Domain::Renewal, &row.key_point)
            .map_err(|_| AppError::Denied("the renewal is not signed by the node's key"))?;
        let request = Request::parse(csr_der)?;
        if *request.point() != row.key_point {
            return Err(AppError::Denied("a node's key is the one it enrolled with"));
        }
        Ok(self.authority.certify(&request, &Subject::Node(node), self.node_certificate_s, now)?)
    }

    /// Admits the first admin against the one-time token.
    ///
    /// # Errors
    /// [`AppError::Denied`] if the token is wrong or spent.
    pub async fn bootstrap_admin(
        &self,
        token: &[u8],
        csr_der: &[u8],
        name: GroupName,
        now: Timestamp,
    ) -> Result<Bootstrapped, AppError> {
        let request = Request::parse(csr_der)?;
        let subject = Subject::Admin(name.clone());
        let chain_pem = self.authority.certify(&request, &subject, limits::ADMIN_CERTIFICATE_TTL_S, now)?;
        let spent = self.store.spend_bootstrap(&sha256(token).0, name.as_str(), request.point(), now).await?;
        if !spent {
            return Err(AppError::Denied("the bootstrap token is wrong or was used"));
        }
        self.audit(&Actor { name: name.to_string() }, "admin.bootstrap", name.as_str(), "", now).await?;
        Ok(Bootstrapped {
            chain_pem,
            lease_key_point: hex::encode(self.lease_key.point()),
            ca_pin: self.authority.pin(),
        })
    }

    /// Keeps an invite that an admin composed.
    ///
    /// # Errors
    /// [`AppError::Input`] for a value out of bounds, [`AppError::Conflict`] if the id is taken.
    pub async fn create_invite(
        &self,
        actor: &Actor,
        invite: &InviteRow,
        now: Timestamp,
    ) -> Result<(), AppError> {
        let until = now.plus(croft_domain::limits::INVITE_TTL_MAX_S);
        if invite.expires_at <= now || invite.expires_at > until {
            return Err(AppError::Input("expires_at: expected a time in the next thirty days".to_owned()));
        }
        if !(1..=u64::from(limits::INVITE_USES_MAX)).contains(&invite.uses_left) {
            return Err(AppError::Input("uses: expected 1 to 10000".to_owned()));
        }
        let published = self.mirror.current().ok_or(AppError::Unpublished)?;
        if !published.view.fleet.groups.contains_key(&invite.group) {
            return Err(AppError::NotFound(format!("group {}", invite.group)));
        }
        if !self.store.create_invite(invite, &actor.name, now).await? {
            return Err(AppError::Conflict("an invite with this id exists".to_owned()));
        }
        let detail = format!("group {}, {} uses", invite.group, invite.uses_left);
        self.audit(actor, "invite.create", &invite.id.to_string(), &detail, now).await
    }
}

// In constant time, though both are hashes of high-entropy secrets: nothing is to be learned from how long it takes.
pub(super) fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    let difference = a.iter().zip(b).fold(0_u8, |all, (x, y)| all | (x ^ y));
    std::hint::black_box(difference) == 0
}
