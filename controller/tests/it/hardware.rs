//! Nodes whose key is in a TPM: swtpm against a real controller, and everything that must not pass for such a node.

use croft_domain::collection::Item;
use croft_domain::evidence::Evidence;
use croft_domain::id::NodeId;
use croft_domain::verdict::{Assurance, Status, Verdict};
use croft_link::held::HeldKey;
use croft_link::tls::{ClientIdentity, ClientKey};
use croft_proto::grpc::node_client::NodeClient;
use croft_proto::grpc::*;
use croft_tpm::key::{Quoted, TpmKey};
use croft_tpm::proof::{certification_nonce, quote_nonce};
use croft_trust::sign::SigningKey;
use serde_json::json;
use tonic::Status as Refusal;

use crate::fleet::{self, Fleet, code};
use swtpm::{Maker, Swtpm};

#[path = "../../../proto/tpm/tests/it/swtpm.rs"]
mod swtpm;

const SALT: [u8; 32] = [7; 32];
/// PCR 4 of a TPM into which nothing was measured.
const ZERO: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

#[derive(Debug)]
struct Held(TpmKey);

impl HeldKey for Held {
    fn point(&self) -> [u8; 65] {
        self.0.point()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.0.sign(message)?)
    }
}

/// A fleet whose baseline lists these makers and values of PCR 4.
async fn fleet(makers: &[&Swtpm], values: &[&str]) -> Fleet {
    let mut fleet = Fleet::start_bare().await;
    fleet.set_targets();
    let makers: Vec<String> = makers.iter().map(|tpm| tpm.authority()).collect();
    let pcrs = if values.is_empty() { json!({}) } else { json!({"4": values}) };
    let baseline = json!({"kind": "Baseline", "name": "starter", "version": 1, "tier": 1, "lease_ttl_s": 3600,
        "checks": {"hardware-root": {"mode": "block", "assurance": "hardware-key"}},
        "tpm": {"manufacturers": makers, "pcrs": pcrs}});
    fleet.repository.set_target("baseline.starter.1.json", baseline.to_string().as_bytes()).unwrap();
    fleet.publish().await.unwrap();
    fleet
}

/// Asks for a challenge with what `key` says of itself, and answers it.
async fn prove(fleet: &Fleet, invite: u8, key: &TpmKey) -> Result<HardwareProof, Refusal> {
    let endorsement = key.endorsement().unwrap();
    let attestation_public = key.attestation(&SALT).unwrap();
    let request = HardwareChallengeRequest {
        invite_id: vec![invite; 16],
        invite_secret: vec![invite; 32],
        endorsement_public: endorsement.public.clone(),
        attestation_public: attestation_public.clone(),
    };
    let challenge = fleet.enrollment().await.hardware_challenge(request).await?.into_inner();
    let opened = key.activate(&SALT, &challenge.credential, &challenge.seed).unwrap();
    let certification = key.certify(&SALT, &certification_nonce(&opened)).unwrap();
    Ok(HardwareProof {
        endorsement_public: endorsement.public,
        endorsement_certificate: endorsement.certificate,
        endorsement_intermediates: endorsement.intermediates,
        attestation_public,
        identity_public: key.public().to_vec(),
        statement: certification.statement,
        statement_signature: certification.signature,
        opened,
        at: challenge.at,
    })
}

fn request(invite: u8, key: &TpmKey, hardware: Option<HardwareProof>) -> EnrollRequest {
    let request = fleet::enroll_request(invite, &SigningKey::generate().unwrap());
    let csr_der = croft_link::csr::request_held(&Held(key.clone())).unwrap();
    EnrollRequest { csr_der, hardware, ..request }
}

struct Node {
    id: NodeId,
    key: TpmKey,
    client: NodeClient<tonic::transport::Channel>,
    counter: u64,
}

async fn enroll(fleet: &Fleet, invite: u8, key: TpmKey) -> Node {
    fleet.invite(invite, 1).await;
    let proof = prove(fleet, invite, &key).await.unwrap();
    let answer =
        fleet.enrollment().await.enroll(request(invite, &key, Some(proof))).await.unwrap().into_inner();
    let held = ClientKey::Held(std::sync::Arc::new(Held(key.clone())));
    let identity = ClientIdentity { chain_pem: answer.certificate_chain_pem, key: held };
    let client = NodeClient::new(fleet.channel(Some(&identity)).await);
    Node { id: NodeId::try_from(answer.node_id.as_slice()).unwrap(), key, client, counter: 0 }
}

impl Node {
    /// Evidence that answers a fresh challenge, with that challenge's nonce.
    async fn evidence(&mut self) -> (Vec<u8>, Vec<u8>) {
        let nonce = self.client.challenge(ChallengeRequest::default()).await.unwrap().into_inner().nonce;
        self.counter += 1;
        let text: String = nonce.iter().map(|byte| format!("{byte:02x}")).collect();
        let evidence: Evidence = serde_json::from_value(json!({
            "version": 1, "node": self.id, "nonce": text, "counter": self.counter, "boot_id": "boot",
            "taken_at": croft_controller::clock::now(), "mode": "user", "ownership": "dev-budget",
            "platform": {"os": "linux", "arch": "x86_64", "kernel": "6.1"}, "agent_version": "0.1.0",
            "trust": {"root": 1, "targets": 1, "snapshot": 1, "timestamp": 1},
            "attestation_key": croft_trust::digest::sha256(&self.key.attestation_point(&SALT).unwrap()),
            "facts": [], "bundles": [], "recalls": [], "census": [], "usage": [],
            "collected": [Item::BootMeasurements],
        }))
        .unwrap();
        (serde_json::to_vec(&evidence).unwrap(), nonce)
    }

    async fn send(&mut self, payload: &[u8], quote: Option<Quote>) -> Result<Verdict, Refusal> {
        let message = [croft_domain::signed::Domain::Evidence.prefix(), payload].concat();
        let evidence = SignedDocument {
            payload: payload.to_vec(),
            signature: self.key.sign(&message).unwrap(),
            key_id: croft_trust::digest::sha256(&self.key.point()).0.to_vec(),
        };
        let answer =
            self.client.attest(AttestRequest { evidence: Some(evidence), quote }).await?.into_inner();
        Ok(serde_json::from_slice(&answer.verdict_json).unwrap())
    }
}

fn quote_of(key: &TpmKey, nonce: &[u8]) -> Quote {
    let Quoted { signed, values } = key.quote(&SALT, nonce, &[4]).unwrap();
    Quote {
        statement: signed.statement,
        signature: signed.signature,
        pcrs: vec![PcrValue { pcr: 4, sha256: values[0].to_vec() }],
        events: Vec::new(),
    }
}

fn status(verdict: &Verdict, subject: &str) -> Status {
    verdict.checks.iter().find(|check| check.subject == subject).unwrap().status
}

#[tokio::test]
async fn a_node_with_a_known_tpm_counts_as_such_and_a_good_quote_makes_its_evidence_measured() {
    let tpm = Swtpm::start(Maker::Known);
    let fleet = fleet(&[&tpm], &[ZERO]).await;
    let mut node = enroll(&fleet, 1, TpmKey::create(&tpm.socket()).unwrap()).await;
    let (payload, _) = node.evidence().await;
    let verdict = node.send(&payload, None).await.unwrap();
    assert_eq!(verdict.assurance, Assurance::HardwareKey);
    assert_eq!(
        (status(&verdict, "identity-key"), status(&verdict, "boot-state")),
        (Status::Pass, Status::Unknown)
    );
    assert!(!verdict.allows_serving(), "unknown never passes");
    let (payload, nonce) = node.evidence().await;
    let quote = quote_of(&node.key, &quote_nonce(&nonce, &payload));
    let verdict = node.send(&payload, Some(quote)).await.unwrap();
    assert_eq!((verdict.assurance, verdict.allows_serving()), (Assurance::Measured, true));
}

#[tokio::test]
async fn p4_a_boot_that_the_baseline_does_not_list_blocks() {
    let tpm = Swtpm::start(Maker::Known);
    let fleet = fleet(&[&tpm], &[ZERO]).await;
    // Another boot loader than the one whose value is listed.
    tpm.extend(4, &[0x11; 32]);
    let mut node = enroll(&fleet, 1, TpmKey::create(&tpm.socket()).unwrap()).await;
    let (payload, nonce) = node.evidence().await;
    let quote = quote_of(&node.key, &quote_nonce(&nonce, &payload));
    let verdict = node.send(&payload, Some(quote)).await.unwrap();
    assert_eq!(status(&verdict, "boot-state"), Status::Fail);
    assert!(!verdict.allows_serving());
}

#[tokio::test]
async fn p4_quotes_that_are_replayed_forged_or_anothers_are_refused_with_their_evidence() {
    let (tpm, other) = (Swtpm::start(Maker::Known), Swtpm::start(Maker::Known));
    let fleet = fleet(&[&tpm, &other], &[ZERO]).await;
    let mut node = enroll(&fleet, 1, TpmKey::create(&tpm.socket()).unwrap()).await;
    let foreign = TpmKey::create(&other.socket()).unwrap();
    let (payload, nonce) = node.evidence().await;
    let earlier = quote_of(&node.key, &quote_nonce(&nonce, &payload));
    assert!(node.send(&payload, Some(earlier.clone())).await.is_ok());

    let (payload, nonce) = node.evidence().await;
    let bound = quote_nonce(&nonce, &payload);
    assert_eq!(code(node.send(&payload, Some(earlier)).await), "E-TPM-REFUSED", "replayed");
    let mut forged = quote_of(&node.key, &bound);
    forged.pcrs[0].sha256 = vec![0x11; 32];
    assert_eq!(code(node.send(&payload, Some(forged)).await), "E-TPM-REFUSED", "forged value");
    let anothers = quote_of(&foreign, &bound);
    assert_eq!(code(node.send(&payload, Some(anothers)).await), "E-TPM-REFUSED", "another TPM's key");
    let mut explained = quote_of(&node.key, &bound);
    explained.events = vec![MeasuredEvent { pcr: 4, kind: 13, sha256: vec![1; 32] }];
    assert_eq!(code(node.send(&payload, Some(explained)).await), "E-TPM-REFUSED", "a log of another boot");
    let mut endless = quote_of(&node.key, &bound);
    endless.events = vec![MeasuredEvent { pcr: 4, kind: 13, sha256: vec![1; 32] }; 513];
    assert_eq!(code(node.send(&payload, Some(endless)).await), "E-EVIDENCE-INVALID");
    // Nothing of it left a trace: the same challenge is still open.
    let good = quote_of(&node.key, &bound);
    assert_eq!(node.send(&payload, Some(good)).await.unwrap().assurance, Assurance::Measured);
}

#[tokio::test]
async fn p4_a_tpm_whose_maker_is_not_listed_stays_below_a_hardware_key() {
    let (tpm, other) = (Swtpm::start(Maker::Known), Swtpm::start(Maker::Known));
    let nameless = Swtpm::start(Maker::None);
    let fleet = fleet(&[&other], &[]).await;
    for (invite, tpm) in [(1, &tpm), (2, &nameless)] {
        let mut node = enroll(&fleet, invite, TpmKey::create(&tpm.socket()).unwrap()).await;
        let (payload, _) = node.evidence().await;
        let verdict = node.send(&payload, None).await.unwrap();
        assert_eq!(verdict.assurance, Assurance::UnknownTpm);
        assert_eq!(status(&verdict, "identity-key"), Status::Unknown);
        assert!(!verdict.allows_serving());
    }
}

#[tokio::test]
async fn p4_a_software_key_fails_where_hardware_is_demanded_and_brings_no_quote() {
    let tpm = Swtpm::start(Maker::None);
    let fleet = fleet(&[], &[ZERO]).await;
    let mut node = fleet.enroll(1).await;
    let verdict = node.attest_well(1).await;
    let verdict: Verdict = serde_json::from_slice(&verdict.verdict_json).unwrap();
    assert_eq!(verdict.assurance, Assurance::SelfReported);
    assert_eq!(status(&verdict, "identity-key"), Status::Fail);
    let challenge = node.challenge().await;
    let evidence = node.signed(&node.evidence(&challenge, 2));
    let key = TpmKey::create(&tpm.socket()).unwrap();
    let quote = quote_of(&key, &quote_nonce(&challenge.nonce, &evidence.payload));
    let request = AttestRequest { evidence: Some(evidence.into()), quote: Some(quote) };
    assert_eq!(code(node.client.attest(request).await), "E-EVIDENCE-INVALID");
}

#[tokio::test]
async fn p4_a_key_that_the_tpm_did_not_certify_or_a_credential_that_it_did_not_open_enrolls_nothing() {
    let (tpm, other) = (Swtpm::start(Maker::Known), Swtpm::start(Maker::Known));
    let fleet = fleet(&[&tpm, &other], &[]).await;
    fleet.invite(1, 1).await;
    let key = TpmKey::create(&tpm.socket()).unwrap();
    let proof = prove(&fleet, 1, &key).await.unwrap();
    let foreign = TpmKey::create(&other.socket()).unwrap();
    let theirs = foreign.endorsement().unwrap();
    // A software key beside an honest TPM's proof; somebody else's TPM; a guess; an old challenge; another certificate.
    let software = fleet::enroll_request(1, &SigningKey::generate().unwrap());
    let lies = [
        EnrollRequest { hardware: Some(proof.clone()), ..software },
        request(1, &key, Some(HardwareProof { endorsement_public: theirs.public, ..proof.clone() })),
        request(1, &key, Some(HardwareProof { opened: vec![0; 32], ..proof.clone() })),
        request(1, &key, Some(HardwareProof { at: proof.at - 1, ..proof.clone() })),
        request(
            1,
            &key,
            Some(HardwareProof { endorsement_certificate: theirs.certificate, ..proof.clone() }),
        ),
        request(
            1,
            &foreign,
            Some(HardwareProof { identity_public: foreign.public().to_vec(), ..proof.clone() }),
        ),
    ];
    for (at, lie) in lies.into_iter().enumerate() {
        assert_eq!(code(fleet.enrollment().await.enroll(lie).await), "E-TPM-REFUSED", "{at}");
    }
    // The invite was not spent by any of it.
    fleet.enrollment().await.enroll(request(1, &key, Some(proof))).await.unwrap();
}

#[tokio::test]
async fn a_stranger_without_an_invite_makes_the_controller_compute_nothing() {
    let tpm = Swtpm::start(Maker::None);
    let fleet = fleet(&[], &[]).await;
    let refused = prove(&fleet, 1, &TpmKey::create(&tpm.socket()).unwrap()).await;
    assert_eq!(code(refused), "E-INVITE-UNKNOWN");
}

#[tokio::test]
async fn p8_a_banned_machine_is_known_when_it_comes_back_and_its_endorsement_key_is_kept_nowhere() {
    let tpm = Swtpm::start(Maker::Known);
    let fleet = fleet(&[&tpm], &[]).await;
    let node = enroll(&fleet, 1, TpmKey::create(&tpm.socket()).unwrap()).await;
    let endorsement = node.key.endorsement().unwrap();
    let banned = SetNodeStandingRequest {
        node_id: node.id.0.to_vec(),
        standing: "banned".to_owned(),
        reason: "stolen".to_owned(),
    };
    fleet.admin().await.set_node_standing(banned).await.unwrap();
    drop(node);
    fleet.invite(2, 1).await;
    let key = TpmKey::create(&tpm.socket()).unwrap();
    let proof = prove(&fleet, 2, &key).await.unwrap();
    let refused = fleet.enrollment().await.enroll(request(2, &key, Some(proof))).await;
    assert_eq!(code(refused), "E-NODE-REVOKED");
    let hash = croft_trust::digest::sha256(&endorsement.public).0;
    let modulus = &endorsement.public[endorsement.public.len() - 64..];
    for entry in std::fs::read_dir(fleet.state()).unwrap() {
        let path = entry.unwrap().path();
        let Ok(bytes) = std::fs::read(&path) else { continue };
        for secret in [modulus, &hash, &endorsement.certificate[..64]] {
            let is_there = bytes.windows(secret.len()).any(|window| window == secret);
            assert!(!is_there, "{} holds the endorsement key", path.display());
        }
    }
}

#[tokio::test]
async fn a_tpm_is_known_by_its_makers_root_over_what_lies_in_it() {
    let (tpm, bare) = (Swtpm::start(Maker::Known), Swtpm::start(Maker::Known));
    let der = |pem: String| x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap().1.contents;
    tpm.lay_in(&der(tpm.authority()));
    let mut fleet = Fleet::start_bare().await;
    fleet.set_targets();
    let baseline = json!({"kind": "Baseline", "name": "starter", "version": 1, "tier": 1, "lease_ttl_s": 3600,
        "checks": {"hardware-root": {"mode": "report", "subjects": ["identity-key"]}},
        "tpm": {"manufacturers": [tpm.root(), bare.root()]}});
    fleet.repository.set_target("baseline.starter.1.json", baseline.to_string().as_bytes()).unwrap();
    fleet.publish().await.unwrap();
    for (invite, tpm, tier) in [(1, &tpm, Assurance::HardwareKey), (2, &bare, Assurance::UnknownTpm)] {
        let mut node = enroll(&fleet, invite, TpmKey::create(&tpm.socket()).unwrap()).await;
        let (payload, _) = node.evidence().await;
        assert_eq!(node.send(&payload, None).await.unwrap().assurance, tier);
    }
}

#[tokio::test]
async fn p5_evidence_that_names_another_attestation_key_is_refused() {
    let (tpm, other) = (Swtpm::start(Maker::Known), Swtpm::start(Maker::None));
    let fleet = fleet(&[&tpm], &[]).await;
    let mut node = enroll(&fleet, 1, TpmKey::create(&tpm.socket()).unwrap()).await;
    let foreign = TpmKey::create(&other.socket()).unwrap().attestation_point(&SALT).unwrap();
    let (payload, _) = node.evidence().await;
    let mut evidence: Evidence = serde_json::from_slice(&payload).unwrap();
    for wrong in [None, Some(croft_trust::digest::sha256(&foreign))] {
        evidence.attestation_key = wrong;
        let refused = node.send(&serde_json::to_vec(&evidence).unwrap(), None).await;
        assert_eq!(code(refused), "E-EVIDENCE-INVALID");
    }
    node.send(&payload, None).await.unwrap();
}
