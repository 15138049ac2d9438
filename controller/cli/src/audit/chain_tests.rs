//! Every way to edit a history, and what shows it.

use croft_domain::id::FleetId;
use croft_trust::sign::SigningKey;

use super::*;
use crate::audit::{Head, signed_by};

const NODE: NodeId = NodeId([7; 16]);

fn evidence(counter: u64, chain_head: Option<Sha256Digest>) -> Vec<u8> {
    let text = r#"{"version":1,"node":"07070707070707070707070707070707","nonce":"00","counter":1,"boot_id":"b",
        "taken_at":1800000000,"mode":"user","ownership":"personal","platform":{"os":"linux","arch":"x86_64","kernel":"6"},
        "agent_version":"0.1.0","trust":{"root":1,"targets":1,"snapshot":1,"timestamp":1},
        "facts":[],"bundles":[],"recalls":[],"census":[],"usage":[]}"#;
    let mut evidence: Evidence = serde_json::from_str(text).expect("evidence");
    (evidence.counter, evidence.chain_head) = (counter, chain_head);
    serde_json::to_vec(&evidence).expect("JSON")
}

fn verdict(at: Timestamp) -> Vec<u8> {
    format!(
        r#"{{"baseline":{{"name":"standard","version":1}},"at":{},"assurance":"self-reported","checks":[]}}"#,
        at.0
    )
    .into_bytes()
}

/// Appends a link that an honest controller and an honest node would make.
fn append(chain: &mut Chain, key: &SigningKey, counter: u64, at: Timestamp) {
    let before = chain.head;
    let envelope = key.sign(Domain::Evidence, evidence(counter, before));
    let salt = vec![u8::try_from(counter).expect("small"); 32];
    let verdict_salt = vec![0xff; 32];
    let rules = Sha256Digest([3; 32]);
    let judged = commitment(&verdict_salt, &verdict(at));
    let link = Link { commitment: commitment(&salt, &envelope.payload), verdict: judged, rules, at };
    let head = next_head(before, &link);
    chain.length += 1;
    chain.head = Some(head);
    chain.entries.push(Entry {
        position: chain.length,
        at,
        head: head.0.to_vec(),
        salt,
        commitment: link.commitment.0.to_vec(),
        evidence: envelope.payload,
        signature: envelope.signature,
        verdict: verdict(at),
        verdict_salt,
        verdict_commitment: judged.0.to_vec(),
        rules: rules.0.to_vec(),
        quote: Vec::new(),
    });
}

fn chain() -> (Chain, SigningKey) {
    let key = SigningKey::generate().expect("a key");
    let point = key.point().to_vec();
    let mut chain = Chain {
        node: NODE,
        key_point: point,
        attestation_point: Vec::new(),
        head: None,
        length: 0,
        entries: Vec::new(),
    };
    for counter in 1..=5 {
        append(&mut chain, &key, counter, Timestamp(1000 + counter * 60));
    }
    (chain, key)
}

fn checkpoint(chain: &Chain) -> Checkpoint {
    let head = Head { node: chain.node, length: chain.length, head: chain.head.expect("a head") };
    Checkpoint { fleet: FleetId([1; 16]), at: Timestamp(2000), previous: None, heads: vec![head] }
}

/// Recomputes every hash after an edit, as the owner of the database can.
fn rehash(chain: &mut Chain) {
    let mut before = None;
    for (index, entry) in chain.entries.iter_mut().enumerate() {
        let body = commitment(&entry.salt, &entry.evidence);
        let verdict = commitment(&entry.verdict_salt, &entry.verdict);
        let rules = Sha256Digest(entry.rules.as_slice().try_into().expect("a digest"));
        let link = Link { commitment: body, verdict, rules, at: entry.at };
        entry.verdict_commitment = verdict.0.to_vec();
        let head = next_head(before, &link);
        entry.position = index as u64 + 1;
        entry.commitment = link.commitment.0.to_vec();
        entry.head = head.0.to_vec();
        before = Some(head);
    }
    (chain.head, chain.length) = (before, chain.entries.len() as u64);
}

#[test]
fn p7_an_honest_chain_holds_and_goes_on_after_its_checkpoint() {
    let (mut chain, key) = chain();
    let checkpoint = checkpoint(&chain);
    append(&mut chain, &key, 6, Timestamp(3000));
    assert_eq!(verify(&chain, &[checkpoint]), Vec::new());
}

#[test]
fn p7_erased_bodies_break_no_hash() {
    let (mut chain, _) = chain();
    for entry in &mut chain.entries[..4] {
        erase_evidence(entry);
    }
    assert_eq!(verify(&chain, &[checkpoint(&chain)]), Vec::new());
    for entry in &mut chain.entries[..2] {
        entry.verdict.clear();
        entry.verdict_salt.clear();
    }
    assert_eq!((verify(&chain, &[checkpoint(&chain)]), chain.erased()), (Vec::new(), 4));
    for entry in &mut chain.entries {
        erase_evidence(entry);
        entry.verdict.clear();
        entry.verdict_salt.clear();
    }
    assert_eq!((verify(&chain, &[checkpoint(&chain)]), chain.erased()), (Vec::new(), 5));
}

#[test]
fn p7_a_body_that_takes_an_erased_ones_place_is_found() {
    let (honest, key) = chain();
    let checkpoint = checkpoint(&honest);
    let erased = || {
        let mut chain = honest.clone();
        erase_evidence(&mut chain.entries[1]);
        chain.entries[1].verdict.clear();
        chain.entries[1].verdict_salt.clear();
        chain
    };
    // A milder verdict of the right time, with whatever salt.
    let mut replaced = erased();
    let at = replaced.entries[1].at;
    replaced.entries[1].verdict = verdict(at);
    replaced.entries[1].verdict_salt = vec![1; 32];
    let findings = verify(&replaced, &[]);
    assert!(findings.iter().any(|f| f.position == 2 && f.what.contains("verdict is not")), "{findings:?}");
    // Evidence that the node signed at another time, under the salt of then.
    let mut moved = erased();
    let envelope = key.sign(Domain::Evidence, evidence(2, None));
    (moved.entries[1].evidence, moved.entries[1].signature) = (envelope.payload, envelope.signature);
    moved.entries[1].salt = vec![2; 32];
    let findings = verify(&moved, &[]);
    assert!(findings.iter().any(|f| f.position == 2 && f.what.contains("not the one that was judged")));
    // With every commitment recomputed, the next evidence that the node signed contradicts it, and so does the checkpoint.
    let mut rewritten = erased();
    rewritten.entries[1].verdict = verdict(at);
    rehash(&mut rewritten);
    let findings = verify(&rewritten, &[checkpoint]);
    assert!(findings.iter().any(|f| f.position == 3 && f.what.contains("countersigned")), "{findings:?}");
    assert!(findings.iter().any(|f| f.what.contains("checkpoint")), "{findings:?}");
}

fn erase_evidence(entry: &mut Entry) {
    entry.evidence.clear();
    entry.salt.clear();
    entry.signature.clear();
}

#[test]
fn p7_tampering_dropping_reordering_and_cutting_are_found() {
    type Attack = (&'static str, fn(&mut Chain));
    let attacks: [Attack; 12] = [
        ("a verdict is edited", |c| c.entries[1].verdict = verdict(Timestamp(1)).repeat(1)),
        ("evidence is edited", |c| c.entries[1].evidence[3] ^= 1),
        ("a time is edited", |c| c.entries[1].at = Timestamp(1100)),
        ("a link is dropped", |c| drop(c.entries.remove(2))),
        ("a link is dropped and the rest renumbered", |c| {
            c.entries.remove(2);
            c.entries.iter_mut().enumerate().for_each(|(i, e)| e.position = i as u64 + 1);
            c.length -= 1;
        }),
        ("two links change places", |c| c.entries.swap(1, 2)),
        ("the end is cut", |c| drop(c.entries.pop())),
        ("the end is cut in the books as well", |c| {
            c.entries.pop();
            c.length -= 1;
            c.head = None;
        }),
        ("a commitment is damaged", |c| c.entries[0].commitment.truncate(3)),
        ("other rules are claimed", |c| c.entries[1].rules[0] ^= 1),
        ("a signature is taken away", |c| c.entries[1].signature.clear()),
        ("a verdict's salt is taken away", |c| c.entries[1].verdict_salt.clear()),
    ];
    for (attack, change) in attacks {
        let (mut chain, _) = chain();
        change(&mut chain);
        assert_ne!(verify(&chain, &[]), Vec::new(), "{attack}");
    }
}

#[test]
fn p7_a_consistent_rewrite_contradicts_the_nodes_signatures() {
    let (mut chain, _) = chain();
    chain.entries[1].at = Timestamp(1121);
    chain.entries[1].verdict = verdict(Timestamp(1121));
    rehash(&mut chain);
    let findings = verify(&chain, &[]);
    assert!(findings.iter().any(|f| f.position == 3 && f.what.contains("countersigned")), "{findings:?}");
    // Editing what the node signed does not help either.
    for index in 2..5 {
        let before = chain.entries[index - 1].head.as_slice().try_into().map(Sha256Digest).expect("a head");
        chain.entries[index].evidence = evidence(index as u64 + 1, Some(before));
        rehash(&mut chain);
    }
    let findings = verify(&chain, &[]);
    assert!(findings.iter().all(|f| f.what.contains("not signed by the node")) && findings.len() == 3);
}

#[test]
fn p7_a_consistent_rewrite_without_bodies_contradicts_the_checkpoint() {
    let (mut chain, _) = chain();
    let checkpoint = checkpoint(&chain);
    // The newest verdict has no later evidence that would countersign it, and old bodies are erased.
    chain.entries.iter_mut().for_each(|entry| entry.evidence.clear());
    chain.entries[4].verdict = verdict(Timestamp(1301));
    chain.entries[4].at = Timestamp(1301);
    rehash(&mut chain);
    assert_eq!(verify(&chain, &[]), Vec::new(), "hashes alone cannot show it");
    let findings = verify(&chain, &[checkpoint]);
    assert!(findings.iter().any(|f| f.what.contains("checkpoint")), "{findings:?}");
}

#[test]
fn p7_a_fork_contradicts_what_the_node_signed() {
    let (mut chain, key) = chain();
    // Two histories from the same head; the node was shown one, the auditor is shown the other, and then goes on.
    let mut other = chain.clone();
    append(&mut chain, &key, 6, Timestamp(2000));
    append(&mut other, &key, 6, Timestamp(2001));
    let shown = chain.head;
    let envelope = key.sign(Domain::Evidence, evidence(7, shown));
    append(&mut other, &key, 7, Timestamp(2100));
    other.entries[6].evidence = envelope.payload;
    other.entries[6].signature = envelope.signature;
    rehash(&mut other);
    let findings = verify(&other, &[]);
    assert!(findings.iter().any(|f| f.what.contains("countersigned")), "{findings:?}");
}

#[test]
fn p7_a_checkpoint_of_another_key_does_not_count() {
    let (chain, key) = chain();
    let payload = serde_json::to_vec(&checkpoint(&chain)).expect("JSON");
    assert!(!signed_by(b"{}", &key.sign(Domain::Checkpoint, payload)));
}

#[test]
fn p5_a_tier_that_no_tpm_stands_behind_is_found() {
    let claim = |tier: &str, point: Vec<u8>, quote: Vec<u8>| {
        let (mut chain, _) = chain();
        let last = chain.entries.last_mut().expect("a link");
        let verdict = String::from_utf8(last.verdict.clone()).expect("text").replace("self-reported", tier);
        (last.verdict, last.quote) = (verdict.into_bytes(), quote);
        chain.attestation_point = point;
        // The owner of the database makes all hashes right.
        rehash(&mut chain);
        verify(&chain, &[]).into_iter().map(|finding| finding.what).collect::<Vec<_>>()
    };
    assert_eq!(claim("self-reported", Vec::new(), Vec::new()), [""; 0]);
    let found = claim("measured", Vec::new(), Vec::new());
    assert!(found.iter().any(|what| what.contains("no quote was kept")), "{found:?}");
    assert!(found.iter().any(|what| what.contains("the books have none")), "{found:?}");
    // Another TPM's key beside this node's evidence: the node's signature does not name it.
    let found = claim("hardware-key", vec![4; 65], Vec::new());
    assert!(found.iter().all(|what| what.contains("another attestation key than the books")), "{found:?}");
    assert_eq!(found.len(), 5);
    let found = claim("self-reported", Vec::new(), vec![1, 2, 3]);
    assert!(found.iter().any(|what| what.contains("its quote is not what")), "{found:?}");
}
