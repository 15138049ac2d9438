//! The store's promises, each held on both databases.

use croft_controller::ca;
use croft_controller::store::{
    Appended, Assignment, AuditEntry, Erasure, InviteRow, NewNode, NewVerdict, Receipt, Redeemed, ReportRow,
    RequestRow, Standing, Store, StoredReport,
};
use croft_domain::data_class::DataClass;
use croft_domain::digest::Sha256Digest;
use croft_domain::evidence::{ContentCount, Mode, Ownership, UsageCount};
use croft_domain::id::{InviteId, NodeId, RecallId, ReportId, RequestId, VerdictId};
use croft_domain::request::RequestOutcome;
use croft_domain::signed::Envelope;
use croft_domain::tally::Amount;
use croft_domain::time::Timestamp;
use croft_domain::usage::Sensitivity;

use crate::engines::{self, Database};

const NOW: Timestamp = Timestamp(1_000_000);

macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(&super::engines::sqlite()).await; })+
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(&super::engines::postgres()).await; })+
        }
    };
}

on_both!(
    an_invite_is_used_as_often_as_it_says,
    p7_a_chain_is_only_appended_to,
    a_counter_that_does_not_rise_is_refused,
    a_banned_node_appends_nothing,
    a_restart_loses_nothing,
    recalls_reports_and_assignments,
    the_bootstrap_token_works_once,
    old_evidence_is_erased_and_the_chain_stands,
    counters_are_summed_by_day_and_forgotten,
    a_request_is_answered_once_and_may_be_asked_again,
);

fn invite(uses: u64) -> InviteRow {
    InviteRow {
        id: InviteId([1; 16]),
        secret_sha256: [9; 32],
        group: "team-a".parse().unwrap(),
        expires_at: NOW.plus(600),
        uses_left: uses,
    }
}

fn node(number: u8) -> NewNode {
    NewNode {
        id: NodeId([number; 16]),
        group: "team-a".parse().unwrap(),
        key_point: [number; 65],
        ownership: Ownership::Personal,
        mode: Mode::User,
        os: "linux".to_owned(),
        arch: "x86_64".to_owned(),
        agent_version: "0.1.0".to_owned(),
        machine: Some(Sha256Digest([7; 32])),
        hardware: None,
    }
}

fn verdict(number: u8, before: Option<u8>, after: u8, counter: u64) -> NewVerdict {
    NewVerdict {
        node: NodeId([number; 16]),
        head_before: before.map(|b| Sha256Digest([b; 32])),
        head: Sha256Digest([after; 32]),
        counter,
        boot_id: "boot".to_owned(),
        boots: "boot".to_owned(),
        agent_version: "0.2.0".to_owned(),
        id: VerdictId([after; 16]),
        at: NOW.plus(counter),
        salt: [3; 32],
        evidence_commitment: ca::sha256(b"salted"),
        evidence: b"evidence".to_vec(),
        quote: Vec::new(),
        evidence_signature: b"signature".to_vec(),
        verdict: b"{}".to_vec(),
        verdict_salt: [4; 32],
        verdict_commitment: ca::sha256(b"salted verdict"),
        rules: Sha256Digest([6; 32]),
        lease: Vec::new(),
        lease_until: NOW.plus(3600),
        taken_at: NOW,
        bundles: Vec::new(),
        usage: vec![count(counter)],
        content: vec![ContentCount { kind: DataClass::PaymentCards, requests: 1 }],
    }
}

fn count(requests: u64) -> UsageCount {
    let amount = Amount { requests, ..Amount::default() };
    UsageCount::of("starter".parse().unwrap(), Some(Sensitivity::Internal), &amount)
}

async fn enrolled(store: &Store) {
    assert!(store.create_invite(&invite(1), "root", NOW).await.unwrap());
    assert_eq!(store.redeem_invite(InviteId([1; 16]), &node(5), NOW).await.unwrap(), Redeemed::Enrolled);
}

async fn an_invite_is_used_as_often_as_it_says(database: &Database) {
    let store = std::sync::Arc::new(database.open().await);
    assert!(store.create_invite(&invite(3), "root", NOW).await.unwrap());
    assert!(!store.create_invite(&invite(9), "root", NOW).await.unwrap());
    let tries = (10..20_u8).map(|number| {
        let store = store.clone();
        tokio::spawn(async move { store.redeem_invite(InviteId([1; 16]), &node(number), NOW).await.unwrap() })
    });
    let mut enrolled = 0;
    for attempt in tries.collect::<Vec<_>>() {
        enrolled += usize::from(attempt.await.unwrap() == Redeemed::Enrolled);
    }
    assert_eq!((enrolled, store.nodes().await.unwrap().len()), (3, 3));
    assert_eq!(store.invite(InviteId([1; 16])).await.unwrap().unwrap().uses_left, 0);
    let mut other = invite(1);
    other.id = InviteId([2; 16]);
    store.create_invite(&other, "root", NOW).await.unwrap();
    let late = store.redeem_invite(other.id, &node(30), NOW.plus(600)).await.unwrap();
    assert_eq!(late, Redeemed::Spent);
}

async fn p7_a_chain_is_only_appended_to(database: &Database) {
    let store = database.open().await;
    enrolled(&store).await;
    assert_eq!(store.append_verdict(&verdict(5, None, 1, 1)).await.unwrap(), Appended::Done);
    assert_eq!(store.append_verdict(&verdict(5, None, 2, 2)).await.unwrap(), Appended::Raced);
    assert_eq!(store.append_verdict(&verdict(5, Some(1), 2, 2)).await.unwrap(), Appended::Done);
    assert_eq!(store.append_verdict(&verdict(5, Some(1), 3, 3)).await.unwrap(), Appended::Raced);
    let row = store.node(NodeId([5; 16])).await.unwrap().unwrap();
    assert_eq!((row.chain_length, row.chain_head, row.counter), (2, Some(Sha256Digest([2; 32])), 2));
    assert_eq!((row.last_seen, row.lease_until), (NOW.plus(2), NOW.plus(3600)));
    let last = store.last_verdict(row.id).await.unwrap().unwrap();
    assert_eq!((last.position, last.head), (2, Sha256Digest([2; 32])));
    assert_eq!(store.last_verdicts().await.unwrap(), vec![(row.id, last)]);
}

async fn a_counter_that_does_not_rise_is_refused(database: &Database) {
    let store = database.open().await;
    enrolled(&store).await;
    assert_eq!(store.append_verdict(&verdict(5, None, 1, 7)).await.unwrap(), Appended::Done);
    assert_eq!(store.append_verdict(&verdict(5, Some(1), 2, 7)).await.unwrap(), Appended::Raced);
    assert_eq!(store.append_verdict(&verdict(5, Some(1), 2, 8)).await.unwrap(), Appended::Done);
}

async fn a_banned_node_appends_nothing(database: &Database) {
    let store = database.open().await;
    enrolled(&store).await;
    assert!(store.set_standing(NodeId([5; 16]), Standing::Banned, "stolen").await.unwrap());
    assert_eq!(store.append_verdict(&verdict(5, None, 1, 1)).await.unwrap(), Appended::Raced);
    let row = store.node(NodeId([5; 16])).await.unwrap().unwrap();
    assert_eq!(
        (row.standing, row.reason.as_str(), row.lease_until),
        (Standing::Banned, "stolen", Timestamp(0))
    );
    assert!(!store.set_standing(NodeId([6; 16]), Standing::Evicted, "").await.unwrap());
}

async fn a_restart_loses_nothing(database: &Database) {
    let store = database.open().await;
    enrolled(&store).await;
    store.append_verdict(&verdict(5, None, 1, 1)).await.unwrap();
    store.close().await;
    let store = database.open().await;
    assert_eq!(store.nodes().await.unwrap().len(), 1);
    let last = store.last_verdict(NodeId([5; 16])).await.unwrap().unwrap();
    assert_eq!((last.evidence.as_slice(), last.verdict.as_slice()), (&b"evidence"[..], &b"{}"[..]));
    assert!(store.admin("root").await.unwrap().is_none());
    store.ping().await.unwrap();
}

async fn recalls_reports_and_assignments(database: &Database) {
    let store = database.open().await;
    enrolled(&store).await;
    let recall = Envelope { payload: vec![1], signature: vec![2], key_id: Sha256Digest([3; 32]) };
    assert!(store.add_recall(RecallId([1; 16]), &recall, NOW).await.unwrap());
    assert!(!store.add_recall(RecallId([1; 16]), &recall, NOW).await.unwrap());
    assert_eq!(store.recalls().await.unwrap(), vec![recall]);

    let assignment = Assignment { group: "team-a".parse().unwrap(), bundle: "starter@1".parse().unwrap() };
    assert!(store.set_assignment(&assignment, true, NOW).await.unwrap());
    assert!(!store.set_assignment(&assignment, true, NOW).await.unwrap());
    assert_eq!(store.assignments().await.unwrap(), vec![assignment.clone()]);
    assert!(store.set_assignment(&assignment, false, Timestamp(0)).await.unwrap());
    assert!(store.assignments().await.unwrap().is_empty());

    for number in 1..=4_u8 {
        let row = ReportRow { id: ReportId([number; 16]), as_of: NOW.plus(number.into()), nodes: 1 };
        store.add_report(&StoredReport { row, html: vec![number], json: vec![] }, 3).await.unwrap();
    }
    let listed = store.reports().await.unwrap();
    assert_eq!(listed.iter().map(|r| r.id.0[0]).collect::<Vec<_>>(), [4, 3, 2]);
    assert_eq!(store.report(None).await.unwrap().unwrap().html, [4]);
    assert!(store.report(Some(ReportId([1; 16]))).await.unwrap().is_none());

    let mut receipt = Receipt {
        bundle: "starter@1".to_owned(),
        manifest_sha256: Sha256Digest([1; 32]),
        state: "loaded",
        code: String::new(),
        at: NOW,
        document: vec![1],
    };
    store.put_receipt(NodeId([5; 16]), &receipt).await.unwrap();
    (receipt.state, receipt.at) = ("failed", NOW.minus(1));
    store.put_receipt(NodeId([5; 16]), &receipt).await.unwrap();
    assert_eq!(store.loaded_counts().await.unwrap().get("starter@1"), Some(&1));
    // Later evidence without the bundle says that it is gone.
    store.append_verdict(&verdict(5, None, 1, 1)).await.unwrap();
    assert_eq!(store.loaded_counts().await.unwrap().get("starter@1"), None);

    let entry = AuditEntry {
        at: NOW,
        actor: "root".to_owned(),
        action: "node.ban".to_owned(),
        object: "x".to_owned(),
        detail: String::new(),
    };
    store.add_audit([1; 16], &entry).await.unwrap();
    assert_eq!(store.audit_since(NOW, 10).await.unwrap(), vec![entry]);
    assert!(store.audit_since(NOW.plus(1), 10).await.unwrap().is_empty());
}

async fn the_bootstrap_token_works_once(database: &Database) {
    let store = database.open().await;
    store.offer_bootstrap(&[7; 32]).await.unwrap();
    assert!(!store.spend_bootstrap(&[8; 32], "root", &[4; 65], NOW).await.unwrap());
    assert!(store.spend_bootstrap(&[7; 32], "root", &[4; 65], NOW).await.unwrap());
    assert!(!store.spend_bootstrap(&[7; 32], "second", &[4; 65], NOW).await.unwrap());
    // A restart offers the same token again; it stays spent.
    store.offer_bootstrap(&[7; 32]).await.unwrap();
    assert!(!store.spend_bootstrap(&[7; 32], "second", &[4; 65], NOW).await.unwrap());
    assert_eq!(store.admin("root").await.unwrap().unwrap().key_point, [4; 65]);
}

async fn old_evidence_is_erased_and_the_chain_stands(database: &Database) {
    let store = database.open().await;
    enrolled(&store).await;
    store.append_verdict(&verdict(5, None, 1, 1)).await.unwrap();
    store.append_verdict(&verdict(5, Some(1), 2, 2)).await.unwrap();
    store.append_verdict(&verdict(5, Some(2), 3, 3)).await.unwrap();
    let entry = AuditEntry {
        at: NOW,
        actor: "root".to_owned(),
        action: "audit.erase".to_owned(),
        object: "node".to_owned(),
        detail: "asked for".to_owned(),
    };
    assert_eq!(store.erase_evidence(NOW.plus(2), [1; 16], &entry).await.unwrap(), 1);
    assert_eq!(store.erase_evidence(NOW.plus(2), [2; 16], &entry).await.unwrap(), 0);
    let chain = store.chain(NodeId([5; 16]), 0, 10).await.unwrap();
    assert!(chain[0].evidence.is_empty() && chain[0].salt.is_empty() && !chain[0].verdict.is_empty());
    let heads: Vec<_> = chain.iter().map(|row| (row.position, row.head.clone())).collect();
    let other = Erasure { node: Some(NodeId([6; 16])), ..Erasure::default() };
    assert_eq!(store.erase_bodies(&other, [3; 16], &entry).await.unwrap(), 0);
    let second = Erasure { verdict: Some(VerdictId([2; 16])), ..Erasure::default() };
    assert_eq!(store.erase_bodies(&second, [4; 16], &entry).await.unwrap(), 1);
    let all = Erasure { node: Some(NodeId([5; 16])), before: Some(NOW.plus(100)), verdict: None };
    assert_eq!(store.erase_bodies(&all, [5; 16], &entry).await.unwrap(), 1);
    let chain = store.chain(NodeId([5; 16]), 0, 10).await.unwrap();
    assert!(chain[..2].iter().all(|row| row.verdict.is_empty() && row.verdict_salt.is_empty()));
    assert!(chain[..2].iter().all(|row| row.evidence_signature.is_empty()));
    assert_eq!(heads, chain.iter().map(|row| (row.position, row.head.clone())).collect::<Vec<_>>());
    // What an active node's grace runs from stays; of one that is gone, all goes.
    assert_eq!(store.last_verdict(NodeId([5; 16])).await.unwrap().unwrap().evidence, b"evidence");
    store.set_standing(NodeId([5; 16]), Standing::Evicted, "lost").await.unwrap();
    assert_eq!(store.erase_bodies(&all, [6; 16], &entry).await.unwrap(), 1);
    assert!(store.last_verdict(NodeId([5; 16])).await.unwrap().unwrap().verdict.is_empty());
    // Each erasure is on record, with its number; what erased nothing is not.
    let log = store.audit_since(NOW, 10).await.unwrap();
    assert_eq!(log.len(), 4);
    assert!(log.iter().all(|entry| entry.detail == "1 bodies: asked for"), "{log:?}");
}

async fn counters_are_summed_by_day_and_forgotten(database: &Database) {
    let store = database.open().await;
    enrolled(&store).await;
    let appended = |before, after, counter, at| {
        let new = NewVerdict { at, ..verdict(5, before, after, counter) };
        let store = &store;
        async move { assert_eq!(store.append_verdict(&new).await.unwrap(), Appended::Done) }
    };
    appended(None, 1, 1, NOW).await;
    appended(Some(1), 2, 2, NOW.plus(60)).await;
    appended(Some(2), 3, 3, NOW.plus(86_400)).await;
    let store_now = &store;
    let requests = |since| async move {
        let mut counts: Vec<u64> =
            store_now.usage_since(since).await.unwrap().iter().map(|(_, count)| count.requests).collect();
        counts.sort_unstable();
        let found = store_now.content_since(since).await.unwrap();
        (counts, found.iter().map(|(_, count)| count.requests).sum::<u64>())
    };
    let next = NOW.plus(86_400);
    assert_eq!(requests(NOW).await, (vec![3, 3], 3), "two of the first day are one sum");
    assert_eq!(requests(next).await, (vec![3], 1));
    // A link that was refused counts nothing.
    let raced = verdict(5, Some(1), 9, 9);
    assert_eq!(store.append_verdict(&raced).await.unwrap(), Appended::Raced);
    store.forget_usage(next, None).await.unwrap();
    assert_eq!(requests(NOW).await, (vec![3], 1));
    store.forget_usage(Timestamp(0), Some(NodeId([6; 16]))).await.unwrap();
    assert_eq!(requests(NOW).await, (vec![3], 1), "another node's");
    store.forget_usage(Timestamp(0), Some(NodeId([5; 16]))).await.unwrap();
    assert_eq!(requests(NOW).await, (vec![], 0));
}

async fn a_request_is_answered_once_and_may_be_asked_again(database: &Database) {
    let store = database.open().await;
    enrolled(&store).await;
    let (id, node) = (RequestId([1; 16]), NodeId([5; 16]));
    let asked = RequestRow::pending(id, node, "https://x.test/m".to_owned(), "why".to_owned(), NOW);
    assert!(store.add_request(&asked, 1).await.unwrap());
    let close = |outcome| store.close_request(id, outcome, "next week", NOW.plus(5));
    assert_eq!(close(RequestOutcome::Approved).await.unwrap().as_deref(), Some("https://x.test/m"));
    assert_eq!(close(RequestOutcome::Denied).await.unwrap(), None, "it is answered");
    assert!(store.open_requests(9).await.unwrap().is_empty());
    let own = store.requests_of(node, 9).await.unwrap();
    assert_eq!(
        (own[0].outcome, own[0].note.as_str(), own[0].reason.as_str()),
        (RequestOutcome::Approved, "next week", "")
    );
    assert!(store.requests_of(NodeId([6; 16]), 9).await.unwrap().is_empty());
    // What is answered takes no place, and asking again opens it again.
    let other =
        RequestRow::pending(RequestId([2; 16]), node, "https://x.test/n".to_owned(), "why".to_owned(), NOW);
    assert!(store.add_request(&other, 1).await.unwrap());
    assert!(!store.add_request(&asked, 1).await.unwrap(), "the other is open");
    assert!(store.add_request(&asked, 2).await.unwrap());
    assert_eq!(store.open_requests(9).await.unwrap().len(), 2);
    close(RequestOutcome::Denied).await.unwrap();
    store.forget_requests(NOW.plus(6)).await.unwrap();
    assert_eq!(store.requests_of(node, 9).await.unwrap().len(), 1, "the open one stays");
}
