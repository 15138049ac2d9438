//! A hostile mirror or controller, with and without a stolen freshness key, against a node's update.

use std::sync::Arc;

use croft_domain::time::Timestamp;
use croft_trust::store::{Fetched, Floors, MemorySource, TrustError, TrustSource, TrustStore};
use serde_json::json;

use crate::fleet::{DAY, Node, Publisher, START, baseline, bundle, fleet, key};
use crate::forger::{put_root, put_targets, seal, signed_part};

fn nothing(_: &mut serde_json::Value) {}

#[test]
fn p3_honest_set_is_believed_and_survives_a_restart() {
    let mut publisher = Publisher::new();
    let mut node = Node::enroll(&publisher);
    assert!(node.store.view().is_none() && node.reopen().expect("open").view().is_none());
    let view = node.update(&publisher.served(), START).expect("believed");
    assert_eq!(view.fleet.name, "Example");
    assert_eq!((view.bundles.len(), view.baselines.len(), view.waivers.len()), (1, 1, 1));
    assert_eq!(view.expires_at, START.plus(14 * DAY));
    assert_eq!(node.reopen().expect("open").view().as_deref(), Some(&*view));
    publisher.refresh(START.plus(7 * DAY));
    let view = node.update(&publisher.served(), START.plus(7 * DAY)).expect("believed");
    assert_eq!((view.versions.targets, view.versions.timestamp), (1, 2));
    let again = node.update(&publisher.served(), START.plus(8 * DAY)).expect("believed");
    assert!(Arc::ptr_eq(&view, &again), "an unchanged set is not written again");
    let served: std::collections::BTreeMap<_, _> = node.store.files().into_iter().collect();
    assert_eq!(served, publisher.served().0, "a mirror serves the publisher's exact bytes");
}

#[test]
fn p3_forged_targets_under_a_stolen_freshness_key_are_refused_and_leave_no_trace() {
    let mut publisher = Publisher::new();
    let mut node = Node::current(&publisher);
    let freshness = publisher.freshness_keys.0[0].clone();
    let stranger = key();
    for signer in [&freshness, &stranger] {
        let mut source = publisher.served();
        let mut targets = signed_part(&source, "1.targets.json");
        targets["version"] = 2.into();
        put_targets(&mut source, targets, &[signer]);
        seal(&mut source, 2, 2, &freshness, nothing);
        node.refuses(&source, START, "E-TRUST-FORGED");
    }
    // With tough alone, the rogue snapshot would now lock the honest one out.
    publisher.refresh(START);
    assert_eq!(node.update(&publisher.served(), START).expect("believed").versions.timestamp, 2);
}

#[test]
fn p3_forged_timestamp_is_refused() {
    let publisher = Publisher::new();
    let mut node = Node::current(&publisher);
    let mut source = publisher.served();
    seal(&mut source, 1, 2, &key(), nothing);
    node.refuses(&source, START, "E-TRUST-FORGED");
    let mut source = publisher.served();
    source.0.insert("timestamp.json".to_owned(), b"{}".to_vec());
    node.refuses(&source, START, "E-TRUST-FORGED");
}

#[test]
fn p3_rollback_with_intact_state() {
    let mut publisher = Publisher::new();
    let old = publisher.served();
    publisher.set("bundle.starter.2.json", &bundle("starter", 2, 1));
    publisher.publish(START);
    let mut node = Node::enroll(&publisher);
    node.update(&publisher.served(), START).expect("believed");
    node.refuses(&old, START, "E-TRUST-ROLLBACK");
    // The same old targets, made to look new with the stolen freshness key.
    let mut source = old;
    seal(&mut source, 1, 3, &publisher.freshness_keys.0[0], nothing);
    node.refuses(&source, START, "E-TRUST-ROLLBACK");
}

#[test]
fn p3_rollback_of_epochs_signed_by_mistake() {
    let mut publisher = Publisher::new();
    publisher.set("fleet.json", &fleet(3));
    publisher.set("bundle.starter.2.json", &bundle("starter", 2, 2));
    publisher.publish(START);
    let mut node = Node::enroll(&publisher);
    let view = node.update(&publisher.served(), START).expect("believed");
    let refs: Vec<_> = view.bundles.keys().map(ToString::to_string).collect();
    assert_eq!(refs, ["starter@2"], "epoch 1 is no longer approved beside epoch 2");
    publisher.set("fleet.json", &fleet(2));
    publisher.publish(START);
    node.refuses(&publisher.served(), START, "E-TRUST-ROLLBACK");
    publisher.set("fleet.json", &fleet(3));
    publisher.repository.remove_target("bundle.starter.2.json").expect("removed");
    publisher.publish(START);
    node.refuses(&publisher.served(), START, "E-TRUST-ROLLBACK");
}

#[test]
fn p3_new_node_is_not_enrolled_into_the_past() {
    let publisher = Publisher::new();
    let floors = Floors { fleet_epoch: 2, ..Floors::default() };
    Node::enroll_with(&publisher, floors).refuses(&publisher.served(), START, "E-TRUST-ROLLBACK");
    let mut floors = Floors::default();
    floors.versions.targets = 2;
    Node::enroll_with(&publisher, floors).refuses(&publisher.served(), START, "E-TRUST-ROLLBACK");
}

#[test]
fn p3_mixed_sets() {
    let mut publisher = Publisher::new();
    let old = publisher.served();
    let mut node = Node::current(&publisher);
    publisher.set("baseline.standard.2.json", &baseline(2));
    publisher.publish(START);
    let new = publisher.served();
    for (name, other) in [("2.snapshot.json", "1.snapshot.json"), ("2.targets.json", "1.targets.json")] {
        let mut mixed = new.clone();
        mixed.0.insert(name.to_owned(), old.0[other].clone());
        // The mixture asks for files under the old names as well.
        mixed.0.extend(
            old.0.iter().filter(|(name, _)| *name != "timestamp.json").map(|(n, b)| (n.clone(), b.clone())),
        );
        node.refuses(&mixed, START, "E-TRUST-FORGED");
    }
    let document =
        new.0.keys().find(|name| name.ends_with("baseline.standard.2.json")).expect("served").clone();
    let mut mixed = new.clone();
    mixed.0.insert(document.clone(), baseline(3).into_bytes());
    assert!(matches!(node.refuses(&mixed, START, "E-TRUST-FORGED"), TrustError::Mixed { .. }));
    mixed.0.remove(&document);
    node.refuses(&mixed, START, "E-BLOB-MISSING");
    node.update(&new, START).expect("the unmixed set is believed");
}

#[test]
fn p3_two_truths_under_one_version() {
    let publisher = Publisher::new();
    let mut node = Node::current(&publisher);
    let mut source = publisher.served();
    let mut targets = signed_part(&source, "1.targets.json");
    targets["croft_note"] = "other bytes".into();
    put_targets(&mut source, targets, &[&publisher.targets_keys.0[0]]);
    seal(&mut source, 1, 2, &publisher.freshness_keys.0[0], nothing);
    assert!(matches!(
        node.refuses(&source, START, "E-TRUST-ROLLBACK"),
        TrustError::Equivocation { what: "targets", version: 1 }
    ));
}

#[test]
fn p3_fast_forward() {
    let publisher = Publisher::new();
    let freshness = &publisher.freshness_keys.0[0];
    let mut node = Node::current(&publisher);
    for version in [1002, u64::MAX] {
        let mut source = publisher.served();
        seal(&mut source, 1, version, freshness, nothing);
        node.refuses(&source, START, "E-TRUST-LIMITS");
        if version == u64::MAX {
            Node::enroll(&publisher).refuses(&source, START, "E-TRUST-LIMITS");
        }
    }
    let mut source = publisher.served();
    seal(&mut source, 1, 1001, freshness, nothing);
    node.update(&source, START).expect("a jump of 1000 is allowed");
}

#[test]
fn p3_expired_keeps_last_set() {
    let mut publisher = Publisher::new();
    let mut node = Node::current(&publisher);
    let expiry = START.plus(14 * DAY);
    node.update(&publisher.served(), expiry.minus(1)).expect("a second before");
    node.refuses(&publisher.served(), expiry, "E-TRUST-EXPIRED");
    assert!(node.store.view().is_some_and(|view| view.expires_at == expiry));
    // A change that comes with expired metadata is refused as well.
    publisher.set("fleet.json", &fleet(2));
    publisher.publish(START);
    node.refuses(&publisher.served(), expiry, "E-TRUST-EXPIRED");
    publisher.refresh(expiry);
    assert_eq!(node.update(&publisher.served(), expiry).expect("believed").fleet.epoch, 2);
}

#[test]
fn p3_freshness_that_never_ends_is_refused() {
    let mut publisher = Publisher::new();
    let keys = publisher.freshness_keys.clone();
    publisher.repository.refresh_at(&keys, START, START.plus(60 * DAY)).expect("signed");
    Node::enroll(&publisher).refuses(&publisher.served(), START, "E-TRUST-LIMITS");
}

#[test]
fn p3_clock_set_back_a_day() {
    let mut publisher = Publisher::new();
    publisher.refresh(START.plus(13 * DAY));
    let mut node = Node::enroll(&publisher);
    node.update(&publisher.served(), START.plus(13 * DAY)).expect("believed");
    node.refuses(&publisher.served(), START.plus(12 * DAY), "E-CLOCK-BEHIND");
    node.update(&publisher.served(), START.plus(13 * DAY).minus(300)).expect("drift is allowed");
    // Nor does a stolen freshness key help, which signs something newer and says that it is older.
    let mut source = publisher.served();
    seal(&mut source, 1, 3, &publisher.freshness_keys.0[0], |role| {
        if role["_type"] == "timestamp" {
            role["croft_signed_at"] = START.0.into();
        }
    });
    node.refuses(&source, START.plus(12 * DAY), "E-CLOCK-BEHIND");
    // A new node notices too, by what it is offered.
    Node::enroll(&publisher).refuses(&publisher.served(), START.plus(12 * DAY), "E-CLOCK-BEHIND");
}

#[test]
fn p3_signing_from_the_future_does_not_lock_nodes_out() {
    let publisher = Publisher::new();
    let mut node = Node::current(&publisher);
    let mut source = publisher.served();
    let later = START.plus(3650 * DAY).0;
    seal(&mut source, 1, 2, &publisher.freshness_keys.0[0], |role| {
        if role["_type"] == "timestamp" {
            role["croft_signed_at"] = later.into();
        }
    });
    node.refuses(&source, START, "E-CLOCK-BEHIND");
    node.update(&publisher.served(), START).expect("still believed");
}

#[test]
fn p3_timestamp_that_hides_when_it_was_signed() {
    let publisher = Publisher::new();
    let mut source = publisher.served();
    seal(&mut source, 1, 2, &publisher.freshness_keys.0[0], |timestamp| {
        timestamp.as_object_mut().expect("an object").remove("croft_signed_at");
    });
    Node::current(&publisher).refuses(&source, START, "E-TRUST-FORGED");
}

#[test]
fn p3_wrong_root_hash() {
    let (publisher, other) = (Publisher::new(), Publisher::new());
    let dir = tempfile::tempdir().expect("a folder");
    let (trust, floors) = (dir.path().join("trust"), dir.path().join("floors.json"));
    let result =
        TrustStore::bootstrap(&trust, &floors, &other.first_root, &publisher.expected(), Floors::default());
    assert!(matches!(result, Err(TrustError::RootUnexpected)));
    assert!(!trust.exists() && !floors.exists());
}

#[test]
fn p3_rotated_root_is_followed_and_the_revoked_key_is_not() {
    let mut publisher = Publisher::new();
    let mut node = Node::current(&publisher);
    let stolen = publisher.freshness_keys.0[0].clone();
    let before = publisher.served();
    publisher.freshness_keys.0[0] = key();
    let (roles, keys) = (publisher.roles(), publisher.root_keys.clone());
    publisher.repository.rotate_root(&roles, &keys, START.plus(700 * DAY)).expect("rotated");
    publisher.refresh(START);
    assert_eq!(node.update(&publisher.served(), START).expect("believed").versions.root, 2);
    // The mirror hides 2.root.json and serves what the stolen key signs.
    let mut source = before;
    seal(&mut source, 1, 9, &stolen, nothing);
    node.refuses(&source, START, "E-TRUST-FORGED");
    assert_eq!(node.reopen().expect("open").view().expect("a set").versions.root, 2);
}

#[test]
fn p3_root_signed_by_its_own_new_key_only() {
    let publisher = Publisher::new();
    let mut node = Node::current(&publisher);
    let other = Publisher::new();
    let mut source = publisher.served();
    let mut root = signed_part(&other.served(), "1.root.json");
    root["version"] = 2.into();
    put_root(&mut source, root, 2, &[&other.root_keys.0[0]]);
    node.refuses(&source, START, "E-TRUST-FORGED");
    // A step left out: version 3 served as version 2.
    let mut source = publisher.served();
    let mut root = signed_part(&source, "1.root.json");
    root["version"] = 3.into();
    put_root(&mut source, root, 2, &[&publisher.root_keys.0[0]]);
    let error = node.update(&source, START).expect_err("refused");
    assert!(matches!(error.code().as_str(), "E-TRUST-FORGED" | "E-TRUST-ROLLBACK"), "{error:?}");
}

#[test]
fn p3_endless_data() {
    let publisher = Publisher::new();
    let mut node = Node::current(&publisher);
    for (name, len) in [
        ("timestamp.json", 16 * 1024 + 1),
        ("1.snapshot.json", 16 * 1024 + 1),
        ("2.root.json", 64 * 1024 + 1),
    ] {
        let mut source = publisher.served();
        source.0.insert(name.to_owned(), vec![b' '; len]);
        node.refuses(&source, START, "E-TRUST-LIMITS");
    }
    let mut source = publisher.served();
    for version in 2..=66 {
        source.0.insert(format!("{version}.root.json"), b"{}".to_vec());
    }
    node.refuses(&source, START, "E-TRUST-LIMITS");
}

/// Gives whole files, whatever was asked for.
struct Careless(MemorySource);

impl TrustSource for Careless {
    fn fetch<'a>(&'a self, name: &'a str, _len_max: u64) -> Fetched<'a> {
        self.0.fetch(name, u64::MAX)
    }
}

#[test]
fn p3_endless_data_from_a_source_that_does_not_count() {
    let publisher = Publisher::new();
    let mut node = Node::enroll(&publisher);
    let document =
        publisher.served().0.keys().find(|name| name.ends_with(".fleet.json")).expect("served").clone();
    for (name, len) in
        [("timestamp.json", 16 * 1024 + 1), ("1.targets.json", 4 * 1024 * 1024 + 1), (&document, 10_000)]
    {
        let mut source = publisher.served();
        source.0.insert(name.to_owned(), vec![b' '; len]);
        node.refuses(&Careless(source), START, "E-TRUST-LIMITS");
    }
    node.update(&Careless(publisher.served()), START).expect("believed");
}

#[test]
fn p2_documents_that_contradict_their_name_or_themselves() {
    for (name, document) in [
        ("bundle.other.1.json", bundle("starter", 1, 1)),
        ("bundle.starter.01.json", bundle("starter", 1, 1)),
        ("bundle.starter.json", bundle("starter", 1, 1)),
        ("bundle.starter.1.json", bundle("starter", 1, 1).replace("{{ messages }}", "{{ exfiltrate }}")),
        ("bundle.starter.1.json", bundle("starter", 1, 1).replace("\"epoch\"", "\"surprise\":1,\"epoch\"")),
        ("bundle.starter.1.json", bundle("starter", 1, 1).replace("\"len_bytes\":10", "\"len_bytes\":70000")),
        ("baseline.standard.2.json", baseline(1)),
        ("fleet.json", fleet(1).replace("\"tier\":1", "\"tier\":9")),
        ("waivers.json", "{}".to_owned()),
    ] {
        let mut publisher = Publisher::new();
        publisher.set(name, &document);
        publisher.publish(START);
        let error = Node::enroll(&publisher).refuses(&publisher.served(), START, "E-TRUST-FORGED");
        assert!(matches!(error, TrustError::Malformed { .. }), "{name}: {error}");
    }
}

#[test]
fn p3_delegations_and_other_unused_parts_are_refused() {
    let publisher = Publisher::new();
    let mut source = publisher.served();
    let mut targets = signed_part(&source, "1.targets.json");
    targets["version"] = 2.into();
    targets["delegations"] = json!({"keys": {}, "roles": []});
    put_targets(&mut source, targets, &[&publisher.targets_keys.0[0]]);
    seal(&mut source, 2, 2, &publisher.freshness_keys.0[0], nothing);
    Node::current(&publisher).refuses(&source, START, "E-TRUST-FORGED");
    let mut source = publisher.served();
    seal(&mut source, 1, 2, &publisher.freshness_keys.0[0], |role| {
        if role["_type"] == "snapshot" {
            role["meta"]["more.json"] = json!({"version": 1});
        }
    });
    Node::current(&publisher).refuses(&source, START, "E-TRUST-FORGED");
    let mut source = publisher.served();
    let mut root = signed_part(&source, "1.root.json");
    root["version"] = 2.into();
    root["consistent_snapshot"] = false.into();
    put_root(&mut source, root, 2, &[&publisher.root_keys.0[0]]);
    for (plain, versioned) in [("snapshot.json", "1.snapshot.json"), ("targets.json", "1.targets.json")] {
        let bytes = source.0[versioned].clone();
        source.0.insert(plain.to_owned(), bytes);
    }
    Node::current(&publisher).refuses(&source, START, "E-TRUST-FORGED");
}

#[test]
fn p3_silent_source_changes_nothing() {
    let publisher = Publisher::new();
    let error =
        Node::current(&publisher).refuses(&MemorySource::default(), Timestamp(START.0), "E-BLOB-MISSING");
    assert!(error.retryable());
}
