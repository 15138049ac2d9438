//! A real controller in a temporary folder, its first admin with all keys, and nodes that enroll with real invites.

use std::collections::BTreeMap;
use std::sync::Arc;

use croft_controller::clock::now;
use croft_controller::command::server::{Plan, Running, StartError, start};
use croft_controller::config::{Bootstrap, State};
use croft_domain::digest::Sha256Digest;
use croft_domain::evidence::Evidence;
use croft_domain::fleet::{Fleet as FleetDocument, GroupPolicy};
use croft_domain::id::{FleetId, NodeId};
use croft_domain::recall::{Recall, RecallTarget};
use croft_domain::signed::{Domain, Envelope};
use croft_domain::time::Timestamp;
use croft_link::tls::{ClientIdentity, ClientKey, client_config};
use croft_proto::grpc::admin_client::AdminClient;
use croft_proto::grpc::enrollment_client::EnrollmentClient;
use croft_proto::grpc::node_client::NodeClient;
use croft_proto::grpc::*;
use croft_trust::digest::sha256;
use croft_trust::repository::{FreshnessKeys, Repository, RoleHolders, Roles, RootKeys, TargetsKeys};
use croft_trust::sign::SigningKey;
use serde_json::json;
use tempfile::TempDir;
use tonic::transport::Channel;

pub const BLOB: &[u8] = b"these bytes stand for weights, all sixty-four of them, give or take";

pub struct Fleet {
    pub running: Option<Running>,
    pub bootstrap: Bootstrap,
    pub admin_key: SigningKey,
    pub admin_chain: String,
    pub keys: Keys,
    pub repository: Repository,
    pub document: FleetDocument,
    plan: Plan,
    _folder: TempDir,
}

pub struct Keys {
    pub root: SigningKey,
    pub targets: SigningKey,
    pub freshness: SigningKey,
    pub recall: SigningKey,
}

pub struct Node {
    pub id: NodeId,
    pub key: SigningKey,
    pub chain: String,
    pub client: NodeClient<Channel>,
}

pub fn days(n: u64) -> Timestamp {
    now().plus(n * 86_400)
}

pub fn url(running: &Running) -> url::Url {
    format!("https://{}", running.endpoint.listen).parse().unwrap()
}

impl Fleet {
    /// A controller that was bootstrapped and has the starter bundle and baseline published.
    pub async fn start() -> Self {
        let mut fleet = Self::start_bare().await;
        fleet.set_targets();
        fleet.publish().await.unwrap();
        fleet
    }

    /// A controller with its first admin and nothing published.
    pub async fn start_bare() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = State::new(folder.path().join("state"));
        let bootstrap = state.create("Acme", &["127.0.0.1".to_owned()], "127.0.0.1:0").unwrap();
        let plan = Plan {
            state,
            listen: None,
            metrics: "127.0.0.1:0".to_owned(),
            database: None,
            report_every: None,
            node_certificate_s: croft_controller::limits::NODE_CERTIFICATE_TTL_S,
            retention: croft_controller::app::Retention {
                evidence_s: croft_controller::limits::EVIDENCE_KEPT_S,
                verdicts_s: croft_controller::limits::VERDICTS_KEPT_S,
            },
        };
        let running = start(&plan).await.unwrap();
        let admin_key = SigningKey::generate().unwrap();
        let answer = enrollment(&running, &bootstrap)
            .await
            .bootstrap_admin(bootstrap_request(&bootstrap, &admin_key))
            .await
            .unwrap()
            .into_inner();
        let key = || SigningKey::generate().unwrap();
        let keys = Keys { root: key(), targets: key(), freshness: key(), recall: key() };
        let roles = Roles {
            root: RoleHolders::solo(&keys.root),
            targets: RoleHolders::solo(&keys.targets),
            freshness: RoleHolders::solo(&keys.freshness),
        };
        let repository_folder = folder.path().join("repository");
        let root_keys = RootKeys(vec![keys.root.clone()]);
        let repository = Repository::create(&repository_folder, &roles, &root_keys, days(700)).unwrap();
        let document = document(&bootstrap, &answer, &keys);
        Self {
            running: Some(running),
            bootstrap,
            admin_key,
            admin_chain: answer.certificate_chain_pem,
            keys,
            repository,
            document,
            plan,
            _folder: folder,
        }
    }

    pub fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    pub async fn restart(&mut self) {
        self.try_restart().await.unwrap();
    }

    pub async fn try_restart(&mut self) -> Result<(), StartError> {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
        self.running = Some(start(&self.plan).await?);
        Ok(())
    }

    pub fn state(&self) -> &std::path::Path {
        self.plan.state.folder()
    }

    pub fn set_targets(&mut self) {
        let document = serde_json::to_vec(&self.document).unwrap();
        self.repository.set_target("fleet.json", &document).unwrap();
        self.repository.set_target("waivers.json", b"[]").unwrap();
        self.repository.set_target("baseline.starter.1.json", &baseline()).unwrap();
        self.repository.set_target("bundle.starter.1.json", &manifest()).unwrap();
    }

    pub fn sign(&mut self) {
        self.repository.sign_targets(&TargetsKeys(vec![self.keys.targets.clone()]), days(300)).unwrap();
        self.repository.refresh(&FreshnessKeys(vec![self.keys.freshness.clone()]), days(14)).unwrap();
    }

    pub fn set(&self) -> PublishTrustRequest {
        let wire = |files: Vec<(String, Vec<u8>)>| {
            files.into_iter().map(|(name, content)| TrustFile { name, content }).collect()
        };
        PublishTrustRequest {
            metadata: wire(self.repository.metadata_files()),
            targets: wire(self.repository.target_files().unwrap()),
        }
    }

    pub async fn publish(&mut self) -> Result<u64, tonic::Status> {
        self.sign();
        let set = self.set();
        Ok(self.admin().await.publish_trust(set).await?.into_inner().targets_version)
    }

    pub fn pin(&self) -> Sha256Digest {
        self.bootstrap.ca_pin.parse().unwrap()
    }

    pub async fn channel(&self, identity: Option<&ClientIdentity>) -> Channel {
        let config = client_config(&[self.pin()], identity).unwrap();
        croft_link::channel::grpc(&url(self.running()), &config).await.unwrap()
    }

    pub fn admin_identity(&self) -> ClientIdentity {
        ClientIdentity {
            chain_pem: self.admin_chain.clone(),
            key: ClientKey::Pkcs8(self.admin_key.pkcs8().to_vec()),
        }
    }

    pub async fn admin(&self) -> AdminClient<Channel> {
        AdminClient::new(self.channel(Some(&self.admin_identity())).await)
    }

    pub async fn enrollment(&self) -> EnrollmentClient<Channel> {
        enrollment(self.running(), &self.bootstrap).await
    }

    pub async fn invite(&self, id: u8, uses: u32) {
        let request = CreateInviteRequest {
            invite_id: vec![id; 16],
            secret_sha256: sha256(&[id; 32]).0.to_vec(),
            group: "dev".to_owned(),
            expires_at: now().plus(600).0,
            uses,
        };
        self.admin().await.create_invite(request).await.unwrap();
    }

    pub async fn enroll(&self, invite: u8) -> Node {
        self.invite(invite, 1).await;
        let key = SigningKey::generate().unwrap();
        let answer = self.enrollment().await.enroll(enroll_request(invite, &key)).await.unwrap().into_inner();
        let id = NodeId::try_from(answer.node_id.as_slice()).unwrap();
        let client = self.node_client(&key, &answer.certificate_chain_pem).await;
        Node { id, key, chain: answer.certificate_chain_pem, client }
    }

    pub async fn node_client(&self, key: &SigningKey, chain: &str) -> NodeClient<Channel> {
        let identity =
            ClientIdentity { chain_pem: chain.to_owned(), key: ClientKey::Pkcs8(key.pkcs8().to_vec()) };
        NodeClient::new(self.channel(Some(&identity)).await)
    }

    pub async fn assign(&self) -> u32 {
        let request =
            SetAssignmentRequest { group: "dev".to_owned(), bundle: "starter@1".to_owned(), assigned: true };
        self.admin().await.set_assignment(request).await.unwrap().into_inner().nodes_told
    }

    pub fn recall(&self, key: &SigningKey) -> SignedDocument {
        let recall = Recall {
            id: croft_domain::id::RecallId([9; 16]),
            target: RecallTarget::Bundle("starter@1".parse().unwrap()),
            reason: "it leaks".to_owned(),
            issued_at: now(),
        };
        key.sign(Domain::Recall, serde_json::to_vec(&recall).unwrap()).into()
    }
}

impl Node {
    pub async fn challenge(&mut self) -> ChallengeResponse {
        self.client.challenge(ChallengeRequest::default()).await.unwrap().into_inner()
    }

    pub fn evidence(&self, challenge: &ChallengeResponse, counter: u64) -> Evidence {
        let fact = json!({"check": "api-binding", "subject": "gateway", "method": "test", "confidence": "table",
            "observation": {"kind": "listen", "port": 11535, "loopback_only": true}});
        let nonce: String = challenge.nonce.iter().map(|byte| format!("{byte:02x}")).collect();
        serde_json::from_value(json!({
            "version": 1, "node": self.id, "nonce": nonce, "counter": counter, "boot_id": "boot",
            "taken_at": now(), "mode": "user", "ownership": "personal",
            "platform": {"os": "linux", "arch": "x86_64", "kernel": "6.1"}, "agent_version": "0.1.0",
            "trust": {"root": 1, "targets": 1, "snapshot": 1, "timestamp": 1},
            "facts": [fact], "bundles": [], "recalls": [], "census": [], "usage": [],
        }))
        .unwrap()
    }

    pub fn signed(&self, evidence: &Evidence) -> Envelope {
        self.key.sign(Domain::Evidence, serde_json::to_vec(evidence).unwrap())
    }

    pub async fn attest(&mut self, envelope: Envelope) -> Result<AttestResponse, tonic::Status> {
        let request = AttestRequest { evidence: Some(envelope.into()), quote: None };
        Ok(self.client.attest(request).await?.into_inner())
    }

    pub async fn attest_well(&mut self, counter: u64) -> AttestResponse {
        let challenge = self.challenge().await;
        let envelope = self.signed(&self.evidence(&challenge, counter));
        self.attest(envelope).await.unwrap()
    }

    pub async fn watch(&mut self) -> tonic::Streaming<WatchEvent> {
        self.client.watch(WatchRequest { targets_version: 0 }).await.unwrap().into_inner()
    }
}

pub async fn enrollment(running: &Running, bootstrap: &Bootstrap) -> EnrollmentClient<Channel> {
    let config = client_config(&[bootstrap.ca_pin.parse().unwrap()], None).unwrap();
    EnrollmentClient::new(croft_link::channel::grpc(&url(running), &config).await.unwrap())
}

pub fn bootstrap_request(bootstrap: &Bootstrap, key: &SigningKey) -> BootstrapAdminRequest {
    let hex = |at: usize| u8::from_str_radix(&bootstrap.token[at..at + 2], 16).unwrap();
    BootstrapAdminRequest {
        token: (0..bootstrap.token.len()).step_by(2).map(hex).collect(),
        csr_der: croft_link::csr::request(key.pkcs8()).unwrap(),
        admin_name: "root".to_owned(),
    }
}

pub fn enroll_request(invite: u8, key: &SigningKey) -> EnrollRequest {
    EnrollRequest {
        invite_id: vec![invite; 16],
        invite_secret: vec![invite; 32],
        csr_der: croft_link::csr::request(key.pkcs8()).unwrap(),
        ownership: "personal".to_owned(),
        mode: "user".to_owned(),
        os: "linux".to_owned(),
        arch: "x86_64".to_owned(),
        agent_version: "0.1.0".to_owned(),
        machine: Vec::new(),
        hardware: None,
    }
}

fn document(bootstrap: &Bootstrap, answer: &BootstrapAdminResponse, keys: &Keys) -> FleetDocument {
    let entry = |point: String| croft_domain::fleet::KeyEntry {
        point,
        not_before: Timestamp(0),
        not_after: days(365),
    };
    FleetDocument {
        schema: 1,
        id: bootstrap.fleet.parse::<FleetId>().unwrap(),
        name: "Acme".to_owned(),
        epoch: 1,
        ca_pins: answer.ca_pins.iter().map(|pin| pin.parse().unwrap()).collect(),
        lease_keys: answer.lease_key_points.iter().cloned().map(entry).collect(),
        recall_keys: vec![keys.recall.entry(Timestamp(0), days(365))],
        reviewer_keys: Vec::new(),
        sources: Vec::new(),
        groups: BTreeMap::from([(
            "dev".parse().unwrap(),
            GroupPolicy {
                tier: 1,
                baseline: "starter@1".parse().unwrap(),
                bundles: BTreeMap::from([("starter".parse().unwrap(), 1)]),
            },
        )]),
        licenses: vec!["Apache-2.0".to_owned()],
        baselines: BTreeMap::new(),
        vetting: croft_domain::vetting::VettingExceptions::default(),
        moves: BTreeMap::new(),
    }
}

fn baseline() -> Vec<u8> {
    let document = json!({"kind": "Baseline", "name": "starter", "version": 1, "tier": 1, "lease_ttl_s": 3600,
        "checks": {"api-binding": {"mode": "block"}}});
    serde_json::to_vec(&document).unwrap()
}

fn manifest() -> Vec<u8> {
    let template = "{{ messages }}";
    let document = json!({"schema": 1, "name": "starter", "version": 1, "epoch": 1, "architecture": "llama",
        "files": [{"role": "weights", "sha256": sha256(BLOB), "len_bytes": BLOB.len(), "chunk_len_bytes": 65536,
            "chunks": ["00".repeat(32)]}],
        "template": {"source": template, "sha256": sha256(template.as_bytes())},
        "parameters": {"context_tokens": 512, "slots": 1, "temperature": 0.0},
        "aliases": ["chat"], "license": {"id": "Apache-2.0"},
        "provenance": {"source": "test", "vetting_report_sha256": sha256(b"")}, "check_prompts": []});
    serde_json::to_vec(&document).unwrap()
}

/// The stable code of a refusal.
pub fn code<T: std::fmt::Debug>(result: Result<T, tonic::Status>) -> &'static str {
    let status = result.unwrap_err();
    croft_proto::grpc::code_of(&status).map_or("none", croft_domain::code::Code::as_str)
}

/// The server's TLS configuration is shared by none; a client's may be.
pub type ClientConfig = Arc<rustls::ClientConfig>;
