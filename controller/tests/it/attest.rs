//! Evidence: what holds leads to a lease, what does not leads nowhere.

use croft_controller::clock::now;
use croft_domain::lease::Lease;
use croft_domain::signed::{Domain, Envelope};
use croft_domain::verdict::Verdict;
use croft_proto::grpc::{DescribeNodeRequest, SubmitRecallRequest, SubmitReceiptRequest};
use croft_trust::digest::sha256;
use croft_trust::sign::SigningKey;
use serde_json::json;

use crate::fleet::{Fleet, code};

fn lease_of(fleet: &Fleet, document: croft_proto::grpc::SignedDocument) -> Lease {
    let envelope = Envelope::try_from(document).unwrap();
    croft_trust::sign::verify_listed(&envelope, Domain::Lease, &fleet.document.lease_keys, now()).unwrap();
    serde_json::from_slice(&envelope.payload).unwrap()
}

#[tokio::test]
async fn p4_a_passing_verdict_gives_a_lease_that_a_listed_key_signed() {
    let fleet = Fleet::start().await;
    fleet.assign().await;
    let mut node = fleet.enroll(1).await;
    let answer = node.attest_well(1).await;
    let verdict: Verdict = serde_json::from_slice(&answer.verdict_json).unwrap();
    assert!(verdict.allows_serving());
    let lease = lease_of(&fleet, answer.lease.unwrap());
    assert_eq!((lease.node, lease.node_key), (node.id, sha256(&node.key.point())));
    assert_eq!(lease.bundles, vec!["starter@1".parse().unwrap()]);
    assert_eq!(lease.verdict.0.to_vec(), answer.verdict_id);
    assert!(lease.expires_at <= now().plus(3600) && lease.expires_at > now());
    let request = DescribeNodeRequest { node_id: node.id.0.to_vec() };
    let described = fleet.admin().await.describe_node(request).await.unwrap().into_inner();
    assert_eq!((described.chain_head, described.chain_length), (answer.chain_head, 1));
    assert_eq!(described.verdict_json, answer.verdict_json);
    assert_eq!(described.summary.unwrap().outcome, "pass");
}

#[tokio::test]
async fn p4_a_blocking_verdict_gives_no_lease() {
    let fleet = Fleet::start().await;
    let mut node = fleet.enroll(1).await;
    let challenge = node.challenge().await;
    let mut evidence = node.evidence(&challenge, 1);
    evidence.facts.clear();
    let answer = node.attest(node.signed(&evidence)).await.unwrap();
    assert!(answer.lease.is_none());
    let verdict: Verdict = serde_json::from_slice(&answer.verdict_json).unwrap();
    assert!(!verdict.allows_serving());
}

#[tokio::test]
async fn p3_no_lease_outlives_the_metadata() {
    let fleet = Fleet::start().await;
    let mut node = fleet.enroll(1).await;
    let app = fleet.running().app.clone();
    let expiry = app.mirror.current().unwrap().view.expires_at;
    let row = app.store.node(node.id).await.unwrap().unwrap();
    let before = expiry.minus(60);
    let nonce = app.challenge(&row, before);
    let mut challenge = node.challenge().await;
    challenge.nonce = nonce;
    let envelope = node.signed(&node.evidence(&challenge, 1));
    let lease = app.attest(&row, &envelope, None, before).await.unwrap().lease.unwrap();
    let lease: Lease = serde_json::from_slice(&lease.payload).unwrap();
    assert_eq!(lease.expires_at, expiry);
    let row = app.store.node(node.id).await.unwrap().unwrap();
    challenge.nonce = app.challenge(&row, expiry);
    let envelope = node.signed(&node.evidence(&challenge, 2));
    assert!(app.attest(&row, &envelope, None, expiry).await.unwrap().lease.is_none());
}

#[tokio::test]
async fn forged_evidence_is_refused_and_leaves_no_trace() {
    let fleet = Fleet::start().await;
    let mut node = fleet.enroll(1).await;
    let mut other = fleet.enroll(2).await;
    let challenge = node.challenge().await;
    let evidence = node.evidence(&challenge, 1);
    let thief = SigningKey::generate().unwrap();
    let payload = serde_json::to_vec(&evidence).unwrap();
    assert_eq!(code(node.attest(thief.sign(Domain::Evidence, payload.clone())).await), "E-EVIDENCE-INVALID");
    assert_eq!(code(node.attest(node.key.sign(Domain::Receipt, payload)).await), "E-EVIDENCE-INVALID");
    let mut changed = node.signed(&evidence);
    changed.payload.push(b' ');
    assert_eq!(code(node.attest(changed).await), "E-EVIDENCE-INVALID");
    // One node speaks for another: its own signature, the other's name or the other's challenge.
    let theirs = other.challenge().await;
    let mut about_other = node.evidence(&theirs, 1);
    about_other.node = other.id;
    assert_eq!(code(node.attest(node.signed(&about_other)).await), "E-EVIDENCE-INVALID");
    assert_eq!(code(node.attest(node.signed(&node.evidence(&theirs, 1))).await), "E-EVIDENCE-STALE");
    let long = node.key.sign(Domain::Evidence, vec![b' '; 16 * 1024 + 1]);
    assert_eq!(code(node.attest(long).await), "E-EVIDENCE-INVALID");
    let row = fleet.running().app.store.node(node.id).await.unwrap().unwrap();
    assert_eq!((row.chain_length, row.chain_head), (0, None));
}

#[tokio::test]
async fn replayed_stale_and_cloned_evidence_is_refused() {
    let fleet = Fleet::start().await;
    let mut node = fleet.enroll(1).await;
    let challenge = node.challenge().await;
    let envelope = node.signed(&node.evidence(&challenge, 5));
    node.attest(envelope.clone()).await.unwrap();
    assert_eq!(code(node.attest(envelope).await), "E-EVIDENCE-STALE");
    // A fresh challenge does not help an installation that was restored from a copy: its counter stands still.
    let challenge = node.challenge().await;
    let restored = node.attest(node.signed(&node.evidence(&challenge, 5))).await;
    assert_eq!(code(restored), "E-NODE-CLONED");
    let app = fleet.running().app.clone();
    let row = app.store.node(node.id).await.unwrap().unwrap();
    assert!(row.notice.contains("evidence 5 came after evidence 5") && row.notice_at > now().minus(60));
    let mut old = challenge.clone();
    old.nonce = app.challenge(&row, now().minus(121));
    assert_eq!(code(node.attest(node.signed(&node.evidence(&old, 6))).await), "E-EVIDENCE-STALE");
    node.attest(node.signed(&node.evidence(&challenge, 6))).await.unwrap();
}

#[tokio::test]
async fn p7_two_machines_that_take_turns_with_one_key_are_noticed_by_their_boots() {
    let fleet = Fleet::start().await;
    let mut node = fleet.enroll(1).await;
    let app = fleet.running().app.clone();
    for (counter, boot) in [(1, "a"), (2, "a"), (3, "b"), (4, "b")] {
        let challenge = node.challenge().await;
        let mut evidence = node.evidence(&challenge, counter);
        evidence.boot_id = boot.to_owned();
        node.attest(node.signed(&evidence)).await.unwrap();
        assert_eq!(app.store.node(node.id).await.unwrap().unwrap().notice, "");
    }
    let challenge = node.challenge().await;
    let mut evidence = node.evidence(&challenge, 5);
    evidence.boot_id = "a".to_owned();
    node.attest(node.signed(&evidence)).await.unwrap();
    let row = app.store.node(node.id).await.unwrap().unwrap();
    assert!(row.notice.contains("two machines"), "{row:?}");
    let listed = app.list_nodes(now()).await.unwrap();
    assert!(listed[0].0.notice_at > now().minus(60));
}

#[tokio::test]
async fn p7_a_copy_on_another_machine_is_noticed_at_first_contact_though_the_original_never_returns() {
    let fleet = Fleet::start().await;
    let app = fleet.running().app.clone();
    fleet.invite(9, 1).await;
    let key = SigningKey::generate().unwrap();
    let mut request = crate::fleet::enroll_request(9, &key);
    request.machine = vec![7; 32];
    let answer = fleet.enrollment().await.enroll(request).await.unwrap().into_inner();
    let id = croft_domain::id::NodeId::try_from(answer.node_id.as_slice()).unwrap();
    let client = fleet.node_client(&key, &answer.certificate_chain_pem).await;
    let mut node = crate::fleet::Node { id, key, chain: answer.certificate_chain_pem, client };
    // The machine that enrolled, one whose id cannot be read any more, and another one.
    for (counter, machine, is_noticed) in [(1, Some(7), false), (2, None, false), (3, Some(8), true)] {
        let challenge = node.challenge().await;
        let mut evidence = node.evidence(&challenge, counter);
        evidence.boot_id = format!("boot {counter}");
        evidence.machine = machine.map(|byte| croft_domain::digest::Sha256Digest([byte; 32]));
        node.attest(node.signed(&evidence)).await.unwrap();
        let notice = app.store.node(id).await.unwrap().unwrap().notice;
        assert_eq!(notice.contains("the machine's id is another one"), is_noticed, "{notice}");
    }
}

#[tokio::test]
async fn p4_evidence_of_a_wrong_version_or_with_a_million_checks_is_refused_and_an_unknown_check_is_kept() {
    let fleet = Fleet::start().await;
    let mut node = fleet.enroll(1).await;
    let challenge = node.challenge().await;
    let good = node.evidence(&challenge, 1);
    for version in [0, 2, u32::MAX] {
        let mut other = good.clone();
        other.version = version;
        assert_eq!(code(node.attest(node.signed(&other)).await), "E-EVIDENCE-INVALID", "{version}");
    }
    let mut unknown_key = serde_json::to_value(&good).unwrap();
    unknown_key["run"] = json!("rm -rf /");
    let signed = node.key.sign(Domain::Evidence, serde_json::to_vec(&unknown_key).unwrap());
    assert_eq!(code(node.attest(signed).await), "E-EVIDENCE-INVALID");
    // So short that a million fit into no message, and as many as fit into the longest evidence.
    let facts = |count: usize| {
        let mut many = good.clone();
        many.facts = vec![many.facts[0].clone(); count];
        many
    };
    assert_eq!(code(node.attest(node.signed(&facts(127))).await), "E-EVIDENCE-INVALID");
    let million = node.signed(&facts(1_000_000));
    assert!(node.attest(million).await.is_err());
    let mut strange = good.clone();
    let mut fact = strange.facts[0].clone();
    fact.check = "a-check-of-tomorrow".parse().unwrap();
    strange.facts.push(fact);
    let answer = node.attest(node.signed(&strange)).await.unwrap();
    let verdict: Verdict = serde_json::from_slice(&answer.verdict_json).unwrap();
    let shown = verdict.checks.iter().find(|check| check.check.as_str() == "a-check-of-tomorrow").unwrap();
    assert_eq!(shown.status, croft_domain::verdict::Status::Unknown);
    assert!(verdict.allows_serving() && answer.lease.is_some());
}

#[tokio::test]
async fn p4_enrolling_again_restarts_no_grace_on_the_same_machine() {
    let fleet = Fleet::start().await;
    let app = fleet.running().app.clone();
    // When a node without any fact began to fail its check, judged `later` seconds from now.
    let failing_since = async |invite: u8, machine: u8, later: u64| {
        fleet.invite(invite, 1).await;
        let key = SigningKey::generate().unwrap();
        let mut request = crate::fleet::enroll_request(invite, &key);
        request.machine = vec![machine; 32];
        let answer = fleet.enrollment().await.enroll(request).await.unwrap().into_inner();
        let id = croft_domain::id::NodeId::try_from(answer.node_id.as_slice()).unwrap();
        let client = fleet.node_client(&key, &answer.certificate_chain_pem).await;
        let mut node = crate::fleet::Node { id, key, chain: answer.certificate_chain_pem, client };
        let at = now().plus(later);
        let row = app.store.node(id).await.unwrap().unwrap();
        let mut challenge = node.challenge().await;
        challenge.nonce = app.challenge(&row, at);
        let mut evidence = node.evidence(&challenge, 1);
        evidence.facts.clear();
        let attested = app.attest(&row, &node.signed(&evidence), None, at).await.unwrap();
        let verdict: Verdict = serde_json::from_slice(&attested.verdict_json).unwrap();
        app.store.set_standing(id, croft_controller::app::Standing::Evicted, "again").await.unwrap();
        (verdict.checks[0].failing_since.unwrap(), at)
    };
    let (first, at) = failing_since(1, 7, 0).await;
    assert_eq!(first, at);
    assert_eq!(failing_since(2, 7, 5_000).await.0, first);
    assert_eq!(failing_since(3, 7, 90_000).await.0, first);
    let (other, at) = failing_since(4, 8, 90_000).await;
    assert_eq!(other, at);
}

#[tokio::test]
async fn a_recalled_bundle_is_not_leased() {
    let fleet = Fleet::start().await;
    fleet.assign().await;
    let mut node = fleet.enroll(1).await;
    let recall = Some(fleet.recall(&fleet.keys.recall));
    fleet.admin().await.submit_recall(SubmitRecallRequest { recall }).await.unwrap();
    let lease = lease_of(&fleet, node.attest_well(1).await.lease.unwrap());
    assert!(lease.bundles.is_empty());
}

#[tokio::test]
async fn a_receipt_counts_when_the_node_signed_it() {
    let fleet = Fleet::start().await;
    let mut node = fleet.enroll(1).await;
    let document = json!({"node": node.id, "bundle": "starter@1", "manifest_sha256": sha256(b"m"),
        "state": "loaded", "at": now(), "load_ms": 12});
    let payload = serde_json::to_vec(&document).unwrap();
    let forged = SigningKey::generate().unwrap().sign(Domain::Receipt, payload.clone());
    let request = SubmitReceiptRequest { receipt: Some(forged.into()) };
    assert_eq!(code(node.client.submit_receipt(request).await), "E-EVIDENCE-INVALID");
    let signed = node.key.sign(Domain::Receipt, payload);
    node.client.submit_receipt(SubmitReceiptRequest { receipt: Some(signed.into()) }).await.unwrap();
    let bundles = fleet.running().app.list_bundles().await.unwrap();
    assert_eq!((bundles[0].loaded_on, bundles[0].blobs_complete), (1, false));
}
