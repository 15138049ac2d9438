//! A controller that says something else than the signed fleet document: what the node makes of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use croft_domain::baseline::Baseline;
use croft_domain::code::Code;
use croft_domain::digest::Sha256Digest;
use croft_domain::evidence::{Ownership, TrustSeen};
use croft_domain::fact::Attempt;
use croft_domain::fleet::{Fleet, GroupPolicy};
use croft_domain::id::{FleetId, LeaseId, NodeId, RecallId, RuntimeRef, VerdictId};
use croft_domain::lease::Lease;
use croft_domain::recall::{Recall, RecallTarget, Unrecall};
use croft_domain::runtime::Runtime;
use croft_domain::signed::Envelope;
use croft_domain::time::Timestamp;
use croft_trust::sign::SigningKey;

use crate::state::node_key::NodeKey;
use croft_trust::store::TrustView;

use super::decide::Serving;
use super::memory::Memory;
use crate::state::identity::{Enrollment, Identity};
use crate::state::lease::HeldLease;
use crate::supervisor::proof::Proof;

const NOW: Timestamp = Timestamp(1_000_000);
const NODE: NodeId = NodeId([2; 16]);

fn baseline(name: &str, version: u32, tier: u8) -> Baseline {
    serde_json::from_value(serde_json::json!({
        "kind": "Baseline", "name": name, "version": version, "tier": tier,
        "checks": {"self-test": {"mode": "block"}}
    }))
    .expect("a baseline")
}

fn policy(baseline: &str, tier: u8) -> GroupPolicy {
    let baseline = baseline.parse().expect("a reference");
    GroupPolicy { tier, baseline, bundles: BTreeMap::new() }
}

/// Group `dev` is of tier 2 and held to standard@2 or newer; group `play` is laxer.
pub(super) fn view() -> TrustView {
    let groups = [("dev", policy("standard@2", 2)), ("play", policy("lax@1", 1))]
        .map(|(n, p)| (n.parse().expect("a name"), p));
    let fleet = Fleet {
        schema: 1,
        id: FleetId([1; 16]),
        name: "Acme".to_owned(),
        epoch: 1,
        ca_pins: vec![Sha256Digest([1; 32])],
        lease_keys: Vec::new(),
        recall_keys: Vec::new(),
        reviewer_keys: Vec::new(),
        groups: BTreeMap::from(groups),
        licenses: Vec::new(),
        sources: Vec::new(),
        baselines: BTreeMap::new(),
        vetting: croft_domain::vetting::VettingExceptions::default(),
        moves: BTreeMap::new(),
    };
    let signed = [
        baseline("standard", 1, 2),
        baseline("standard", 2, 2),
        baseline("standard", 3, 3),
        baseline("standard", 4, 1),
        baseline("lax", 1, 1),
    ];
    TrustView {
        versions: TrustSeen::default(),
        expires_at: NOW.plus(1000),
        signed_at: NOW.minus(10),
        fleet,
        bundles: BTreeMap::new(),
        baselines: signed.into_iter().map(|baseline| (baseline.reference(), baseline)).collect(),
        baseline_digests: BTreeMap::new(),
        policies: BTreeMap::new(),
        runtimes: BTreeMap::new(),
        waivers: Vec::new(),
        waivers_sha256: None,
        unrecalled: Vec::new(),
    }
}

/// A node of group `dev` that the controller leases and asks for `asked`.
fn leased(view: TrustView, asked: &str) -> Memory {
    let key = SigningKey::generate().expect("a key");
    let lease = Lease {
        id: LeaseId([1; 16]),
        node: NODE,
        node_key: key.key_id(),
        verdict: VerdictId([3; 16]),
        evidence: Sha256Digest([5; 32]),
        runtime: None,
        baseline: asked.parse().expect("a reference"),
        bundles: Vec::new(),
        issued_at: NOW.minus(10),
        expires_at: NOW.plus(100),
    };
    let envelope = Envelope { payload: Vec::new(), signature: Vec::new(), key_id: key.key_id() };
    let enrollment = Enrollment {
        node: NODE,
        fleet: FleetId([1; 16]),
        fleet_name: "Acme".to_owned(),
        group: "dev".parse().expect("a name"),
        ownership: Ownership::DevBudget,
        controller: String::new(),
        ca_pin: Sha256Digest([1; 32]),
        enrolled_at: NOW,
        uids: Vec::new(),
        tpm_refusal: None,
    };
    let identity = Identity {
        enrollment,
        key: NodeKey::File(key),
        chain_pem: String::new(),
        certificate_from: NOW,
        certificate_until: NOW.plus(1000),
    };
    let proof = Proof {
        layers: vec!["seccomp".parse().expect("a name")],
        attempts: vec![Attempt {
            name: "tcp-connect".parse().expect("a name"),
            errno: Some("EPERM".to_owned()),
        }],
    };
    let mut memory = Memory {
        identity: Some(identity),
        lease: Some(HeldLease::new(envelope, lease, NOW, 5_000)),
        trust: Some(Arc::new(view)),
        gateway_proof: Some(proof),
        ..Memory::default()
    };
    memory.kept.baseline = Some(asked.parse().expect("a reference"));
    memory
}

fn code(memory: &Memory) -> Option<Code> {
    match memory.serving(NOW, 5_000) {
        Serving::Yes { .. } => None,
        Serving::No(failure) => Some(failure.code()),
    }
}

fn held_to(memory: &Memory) -> String {
    memory.baseline().expect("a baseline").reference().to_string()
}

#[test]
fn p3_a_lease_under_less_than_the_groups_policy_does_not_serve() {
    for (asked, expected, held) in [
        ("standard@2", None, "standard@2"),
        ("standard@3", None, "standard@3"),
        // Older than the floor, another's, of a lower tier though newer, signed by nobody.
        ("standard@1", Some(Code::PolicyFloor), "standard@3"),
        ("lax@1", Some(Code::PolicyFloor), "standard@3"),
        ("standard@4", Some(Code::PolicyFloor), "standard@3"),
        ("standard@9", Some(Code::PolicyFloor), "standard@3"),
    ] {
        let memory = leased(view(), asked);
        assert_eq!(code(&memory), expected, "{asked}");
        assert_eq!(held_to(&memory), held, "what is asked below the floor is not what is checked");
    }
}

#[test]
fn p3_only_a_signed_move_brings_a_node_into_another_group() {
    let dev = "dev".parse().expect("a name");
    let memory = leased(view(), "lax@1");
    assert_eq!((memory.group(), code(&memory)), (Some(&dev), Some(Code::PolicyFloor)));
    let moved = |node, group: &str| {
        let mut view = view();
        view.fleet.moves.insert(node, group.parse().expect("a name"));
        leased(view, "lax@1")
    };
    assert_eq!(code(&moved(NodeId([9; 16]), "play")), Some(Code::PolicyFloor), "another node was moved");
    let memory = moved(NODE, "play");
    assert_eq!((code(&memory), held_to(&memory).as_str()), (None, "lax@1"));
    // A move to a group that is gone leaves nothing to serve under.
    assert_eq!(code(&moved(NODE, "gone")), Some(Code::Unapproved));
}

fn order(id: u8, target: RecallTarget) -> Recall {
    Recall { id: RecallId([id; 16]), target, reason: "a hole".to_owned(), issued_at: NOW }
}

#[test]
fn p3_a_recall_counts_until_the_publishers_name_it() {
    let worker = Sha256Digest([7; 32]);
    let target = RecallTarget::Runtime(worker);
    let mut memory = leased(view(), "standard@2");
    memory.runtime = Some(worker);
    // The lease is for the worker that runs.
    memory.lease.as_mut().expect("a lease").lease.runtime = Some(worker);
    memory.recalls.push(order(1, target.clone()));
    assert_eq!(code(&memory), Some(Code::Recalled));
    let mut taken_back = view();
    let reason = "the finding was mistaken".to_owned();
    taken_back.unrecalled.push(Unrecall {
        recall: RecallId([1; 16]),
        target: target.clone(),
        reason,
        at: NOW,
    });
    memory.trust = Some(Arc::new(taken_back.clone()));
    assert_eq!(code(&memory), None);
    memory.recalls.push(order(2, target));
    assert_eq!(code(&memory), Some(Code::Recalled), "a later order stops it again");
    // A set of documents that names it no longer brings the order back as well.
    memory.recalls.pop();
    memory.trust = Some(Arc::new(view()));
    assert_eq!(code(&memory), Some(Code::Recalled));
}

#[test]
fn p2_a_worker_older_than_the_baselines_minimum_is_refused() {
    let worker = Sha256Digest([7; 32]);
    let publish = |view: &mut TrustView, reference: &str| {
        let RuntimeRef { name, version } = reference.parse().expect("a reference");
        let runtime = Runtime { schema: 1, name, version, files: vec![worker] };
        view.runtimes.insert(runtime.reference(), runtime);
    };
    let mut signed = view();
    let minimum = BTreeMap::from([("worker".parse().expect("a name"), 2)]);
    signed.baselines.values_mut().for_each(|baseline| baseline.runtime_minimum = minimum.clone());
    let judged = |view: &TrustView| leased(view.clone(), "standard@2").runtime_refusal(Some(&worker));
    let refused = judged(&signed).expect("in no runtime");
    assert_eq!(refused.code(), Code::RuntimeUnapproved);
    publish(&mut signed, "worker@1");
    let refused = judged(&signed).expect("too old");
    assert!(refused.message().contains("version 2"), "{refused}");
    publish(&mut signed, "worker@2");
    assert!(judged(&signed).is_none());
}
