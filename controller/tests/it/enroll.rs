//! Enrolling, renewing, the first admin: each way to get in without a right to.

use croft_controller::app::Enrollment;
use croft_controller::clock::now;
use croft_domain::code::Code;
use croft_domain::evidence::{Mode, Ownership};
use croft_domain::id::InviteId;
use croft_domain::signed::Domain;
use croft_proto::grpc::{RenewRequest, RenewalChallengeRequest, SetNodeStandingRequest};
use croft_trust::sign::SigningKey;

use crate::fleet::{Fleet, Node, bootstrap_request, code, enroll_request};

#[tokio::test]
async fn an_invite_that_is_used_unknown_or_guessed_is_refused() {
    let fleet = Fleet::start().await;
    let node = fleet.enroll(1).await;
    let key = SigningKey::generate().unwrap();
    let mut client = fleet.enrollment().await;
    assert_eq!(code(client.enroll(enroll_request(1, &key)).await), "E-INVITE-USED");
    assert_eq!(code(client.enroll(enroll_request(7, &key)).await), "E-INVITE-UNKNOWN");
    fleet.invite(2, 1).await;
    let mut guessed = enroll_request(2, &key);
    guessed.invite_secret = vec![3; 32];
    assert_eq!(code(client.enroll(guessed).await), "E-INVITE-UNKNOWN");
    // The wrong guess spent nothing.
    client.enroll(enroll_request(2, &key)).await.unwrap();
    assert_eq!(fleet.running().app.store.nodes().await.unwrap().len(), 2);
    drop(node);
}

#[tokio::test]
async fn an_invite_ends_with_its_time() {
    let fleet = Fleet::start().await;
    fleet.invite(1, 1).await;
    let enrollment = |key: &SigningKey| Enrollment {
        invite: InviteId([1; 16]),
        secret: [1; 32],
        csr_der: croft_link::csr::request(key.pkcs8()).unwrap(),
        ownership: Ownership::Personal,
        mode: Mode::User,
        os: "linux".to_owned(),
        arch: "x86_64".to_owned(),
        agent_version: "0.1.0".to_owned(),
        machine: None,
        hardware: None,
    };
    let key = SigningKey::generate().unwrap();
    let late = fleet.running().app.enroll(enrollment(&key), now().plus(601)).await;
    assert_eq!(late.unwrap_err().code(), Code::InviteExpired);
    fleet.running().app.enroll(enrollment(&key), now()).await.unwrap();
}

#[tokio::test]
async fn a_malformed_enrollment_is_refused_by_field() {
    let fleet = Fleet::start().await;
    fleet.invite(1, 1).await;
    let key = SigningKey::generate().unwrap();
    let mut client = fleet.enrollment().await;
    let mut request = enroll_request(1, &key);
    request.ownership = "corporate".to_owned();
    assert_eq!(code(client.enroll(request).await), "E-INPUT");
    let mut request = enroll_request(1, &key);
    request.csr_der.truncate(40);
    assert_eq!(code(client.enroll(request).await), "E-INPUT");
    let mut request = enroll_request(1, &key);
    request.os = "linux\nforged log line".to_owned();
    assert_eq!(code(client.enroll(request).await), "E-INPUT");
}

async fn renewal(fleet: &Fleet, node: &Node, signer: &SigningKey, subject: &SigningKey) -> RenewRequest {
    let request = RenewalChallengeRequest { node_id: node.id.0.to_vec() };
    let nonce = fleet.enrollment().await.renewal_challenge(request).await.unwrap().into_inner().nonce;
    let csr_der = croft_link::csr::request(subject.pkcs8()).unwrap();
    let proof = signer.sign(Domain::Renewal, [nonce.as_slice(), &csr_der].concat());
    RenewRequest { node_id: node.id.0.to_vec(), nonce, csr_der, signature: proof.signature }
}

#[tokio::test]
async fn p8_a_node_renews_by_key_proof_without_a_certificate() {
    let fleet = Fleet::start().await;
    let node = fleet.enroll(1).await;
    let request = renewal(&fleet, &node, &node.key, &node.key).await;
    let answer = fleet.enrollment().await.renew(request).await.unwrap().into_inner();
    let mut renewed = fleet.node_client(&node.key, &answer.certificate_chain_pem).await;
    renewed.challenge(croft_proto::grpc::ChallengeRequest::default()).await.unwrap();
}

#[tokio::test]
async fn a_renewal_by_or_for_another_key_is_refused() {
    let fleet = Fleet::start().await;
    let node = fleet.enroll(1).await;
    let thief = SigningKey::generate().unwrap();
    let mut client = fleet.enrollment().await;
    assert_eq!(code(client.renew(renewal(&fleet, &node, &thief, &thief).await).await), "E-DENIED");
    assert_eq!(code(client.renew(renewal(&fleet, &node, &node.key, &thief).await).await), "E-DENIED");
    let mut forged = renewal(&fleet, &node, &node.key, &node.key).await;
    forged.nonce[20] ^= 1;
    assert_eq!(code(client.renew(forged).await), "E-EVIDENCE-STALE");
    let ban = SetNodeStandingRequest {
        node_id: node.id.0.to_vec(),
        standing: "banned".to_owned(),
        reason: "stolen".to_owned(),
    };
    fleet.admin().await.set_node_standing(ban).await.unwrap();
    let request = renewal(&fleet, &node, &node.key, &node.key).await;
    assert_eq!(code(client.renew(request).await), "E-NODE-REVOKED");
}

#[tokio::test]
async fn the_bootstrap_token_admits_one_admin_also_after_a_restart() {
    let mut fleet = Fleet::start_bare().await;
    let second = SigningKey::generate().unwrap();
    let request = bootstrap_request(&fleet.bootstrap, &second);
    assert_eq!(code(fleet.enrollment().await.bootstrap_admin(request.clone()).await), "E-DENIED");
    fleet.restart().await;
    assert_eq!(code(fleet.enrollment().await.bootstrap_admin(request).await), "E-DENIED");
    let mut wrong = bootstrap_request(&fleet.bootstrap, &second);
    wrong.token = vec![0; 32];
    assert_eq!(code(fleet.enrollment().await.bootstrap_admin(wrong).await), "E-DENIED");
}
