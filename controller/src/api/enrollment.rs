//! The service that asks for no certificate.

use croft_domain::id::InviteId;
use croft_domain::time::Timestamp;
use croft_proto::grpc as wire;
use croft_proto::grpc::enrollment_server::Enrollment as Wire;
use croft_proto::grpc::{
    BootstrapAdminRequest, BootstrapAdminResponse, EnrollRequest, EnrollResponse, HardwareChallengeRequest,
    HardwareChallengeResponse, RenewRequest, RenewResponse, RenewalChallengeRequest,
    RenewalChallengeResponse,
};
use croft_tpm::client::Signed;
use croft_tpm::credential::Credential;
use tonic::{Request, Response, Status};

use super::{Service, convert};
use crate::app::{AppError, Enrollment, HardwareProof};
use crate::clock::now;

fn enrollment(request: EnrollRequest) -> Result<Enrollment, AppError> {
    let EnrollRequest {
        invite_id,
        invite_secret,
        csr_der,
        ownership,
        mode,
        os,
        arch,
        agent_version,
        machine,
        hardware,
    } = request;
    let machine = if machine.is_empty() { None } else { Some(convert::digest("machine", &machine)?) };
    Ok(Enrollment {
        invite: convert::id::<InviteId>("invite_id", &invite_id)?,
        secret: convert::array("invite_secret", &invite_secret)?,
        csr_der,
        ownership: convert::ownership(&ownership)?,
        mode: convert::mode(&mode)?,
        os,
        arch,
        agent_version,
        machine,
        hardware: hardware.map(proof).transpose()?,
    })
}

fn proof(wire: wire::HardwareProof) -> Result<HardwareProof, AppError> {
    let wire::HardwareProof {
        endorsement_public,
        endorsement_certificate,
        attestation_public,
        identity_public,
        statement,
        statement_signature,
        opened,
        at,
        endorsement_intermediates,
    } = wire;
    Ok(HardwareProof {
        endorsement: endorsement_public,
        certificate: endorsement_certificate,
        intermediates: endorsement_intermediates,
        attestation: attestation_public,
        identity: identity_public,
        certification: Signed { statement, signature: statement_signature },
        opened: convert::array("hardware.opened", &opened)?,
        at: Timestamp(at),
    })
}

#[tonic::async_trait]
impl Wire for Service {
    async fn enroll(&self, request: Request<EnrollRequest>) -> Result<Response<EnrollResponse>, Status> {
        let enrolled = async { self.app.enroll(enrollment(request.into_inner())?, now()).await };
        let (node, group, certificate_chain_pem) = enrolled.await.map_err(|e| self.refuse(&e))?;
        Ok(Response::new(EnrollResponse {
            node_id: node.0.to_vec(),
            certificate_chain_pem,
            group: group.to_string(),
        }))
    }

    async fn hardware_challenge(
        &self,
        request: Request<HardwareChallengeRequest>,
    ) -> Result<Response<HardwareChallengeResponse>, Status> {
        let at = now();
        let made = async {
            let HardwareChallengeRequest { invite_id, invite_secret, endorsement_public, attestation_public } =
                request.into_inner();
            let invite = convert::id::<InviteId>("invite_id", &invite_id)?;
            let secret = convert::array("invite_secret", &invite_secret)?;
            let keys = (endorsement_public.as_slice(), attestation_public.as_slice());
            self.app.hardware_challenge((invite, &secret), keys.0, keys.1, at).await
        };
        let Credential { blob, secret } = made.await.map_err(|e| self.refuse(&e))?;
        Ok(Response::new(HardwareChallengeResponse { credential: blob, seed: secret, at: at.0 }))
    }

    async fn renewal_challenge(
        &self,
        request: Request<RenewalChallengeRequest>,
    ) -> Result<Response<RenewalChallengeResponse>, Status> {
        let node = convert::id("node_id", &request.into_inner().node_id).map_err(|e| self.refuse(&e))?;
        Ok(Response::new(RenewalChallengeResponse { nonce: self.app.renewal_challenge(node, now()) }))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewResponse>, Status> {
        let RenewRequest { node_id, nonce, csr_der, signature } = request.into_inner();
        let node = convert::id("node_id", &node_id).map_err(|e| self.refuse(&e))?;
        let renewed = self.app.renew(node, &nonce, &csr_der, &signature, now()).await;
        let certificate_chain_pem = renewed.map_err(|e| self.refuse(&e))?;
        Ok(Response::new(RenewResponse { certificate_chain_pem }))
    }

    async fn bootstrap_admin(
        &self,
        request: Request<BootstrapAdminRequest>,
    ) -> Result<Response<BootstrapAdminResponse>, Status> {
        let BootstrapAdminRequest { token, csr_der, admin_name } = request.into_inner();
        let name = convert::parsed("admin_name", &admin_name).map_err(|e| self.refuse(&e))?;
        let admitted = self.app.bootstrap_admin(&token, &csr_der, name, now()).await;
        let bootstrapped = admitted.map_err(|e| self.refuse(&e))?;
        Ok(Response::new(BootstrapAdminResponse {
            certificate_chain_pem: bootstrapped.chain_pem,
            lease_key_points: vec![bootstrapped.lease_key_point],
            ca_pins: vec![bootstrapped.ca_pin.to_string()],
        }))
    }
}
