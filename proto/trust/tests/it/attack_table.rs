//! The table of attacks on a plain TUF client (`docs/THREAT-MODEL.md`), one test a row. Each is tried twice: by a mirror
//! that holds no key and can only replay, and by one that has stolen the freshness key. Where a new node has nothing to
//! compare with, the floors of its invite must do it.

use croft_trust::repository::RoleHolders;
use croft_trust::store::{Floors, MemorySource};

use crate::fleet::{DAY, Node, Publisher, START, bundle, fleet, key};
use crate::forger::{put_root, put_targets, seal, signed_part};

fn nothing(_: &mut serde_json::Value) {}

/// A publisher whose second set replaced the first, and both sets as they were served.
fn two_sets() -> (Publisher, MemorySource, MemorySource) {
    let mut publisher = Publisher::new();
    let old = publisher.served();
    publisher.set("bundle.starter.2.json", &bundle("starter", 2, 2));
    publisher.set("fleet.json", &fleet(2));
    publisher.publish(START);
    let new = publisher.served();
    (publisher, old, new)
}

/// The old set, sealed as newer than anything with the stolen freshness key.
fn resealed(publisher: &Publisher, old: &MemorySource) -> MemorySource {
    let mut source = old.clone();
    seal(&mut source, 1, 9, &publisher.freshness_keys.0[0], nothing);
    source
}

/// Floors as an invite carries them, made when `publisher` stood where it stands now.
fn invite_floors(publisher: &Publisher) -> Floors {
    let mut floors = Floors { fleet_epoch: 2, ..Floors::default() };
    floors.versions.targets = publisher.repository.versions().targets;
    floors
}

#[test]
fn p3_row_forge_targets() {
    let publisher = Publisher::new();
    for stolen in [false, true] {
        let freshness = if stolen { publisher.freshness_keys.0[0].clone() } else { key() };
        let mut source = publisher.served();
        let mut targets = signed_part(&source, "1.targets.json");
        targets["version"] = 2.into();
        put_targets(&mut source, targets, &[&freshness]);
        seal(&mut source, 2, 2, &freshness, nothing);
        let mut node = Node::current(&publisher);
        node.refuses(&source, START, "E-TRUST-FORGED");
        // The rogue snapshot left no trace: an honest one of the same version is believed.
        let mut honest = publisher_again(&publisher);
        honest.refresh(START);
        node.update(&honest.served(), START).expect("believed");
    }
}

/// The same publisher, reopened from a copy of its folder, so that each attempt begins alike.
fn publisher_again(publisher: &Publisher) -> Publisher {
    let dir = tempfile::tempdir().expect("a folder");
    for folder in ["metadata", "targets"] {
        std::fs::create_dir(dir.path().join(folder)).expect("made");
        for entry in std::fs::read_dir(publisher.dir.path().join(folder)).expect("listed") {
            let entry = entry.expect("an entry");
            std::fs::copy(entry.path(), dir.path().join(folder).join(entry.file_name())).expect("copied");
        }
    }
    std::fs::copy(publisher.dir.path().join("working.json"), dir.path().join("working.json"))
        .expect("copied");
    let repository = croft_trust::repository::Repository::open(dir.path()).expect("opened");
    Publisher {
        dir,
        root_keys: publisher.root_keys.clone(),
        targets_keys: publisher.targets_keys.clone(),
        freshness_keys: publisher.freshness_keys.clone(),
        repository,
        first_root: publisher.first_root.clone(),
    }
}

#[test]
fn p3_row_roll_back_intact_datastore() {
    let (publisher, old, new) = two_sets();
    let mut node = Node::enroll(&publisher);
    node.update(&new, START).expect("believed");
    for source in [old.clone(), resealed(&publisher, &old)] {
        node.refuses(&source, START, "E-TRUST-ROLLBACK");
    }
}

#[test]
fn p3_row_roll_back_new_node_is_cured_by_the_invites_floor() {
    let (publisher, old, new) = two_sets();
    for source in [old.clone(), resealed(&publisher, &old)] {
        // Without the floor a new node cannot know; this is the row that plain TUF loses.
        Node::enroll(&publisher).update(&source, START).expect("nothing to compare with");
        let mut node = Node::enroll_with(&publisher, invite_floors(&publisher));
        node.refuses(&source, START, "E-TRUST-ROLLBACK");
        // The fleet's epoch alone suffices, so that an invite needs to know no metadata version.
        let floors = Floors { fleet_epoch: 2, ..Floors::default() };
        Node::enroll_with(&publisher, floors).refuses(&source, START, "E-TRUST-ROLLBACK");
        node.update(&new, START).expect("believed");
    }
}

#[test]
fn p3_row_roll_back_wiped_state() {
    let (publisher, old, new) = two_sets();
    for source in [old.clone(), resealed(&publisher, &old)] {
        let mut node = Node::enroll_with(&publisher, invite_floors(&publisher));
        node.update(&new, START).expect("believed");
        std::fs::remove_dir_all(node.trust()).expect("wiped");
        assert_eq!(node.reopen().expect_err("an alarm").code().as_str(), "E-TRUST-STATE");
        // With the floors wiped as well, an admin's new invite is the only way in, and it carries the floor.
        std::fs::remove_dir_all(node.floors().parent().expect("a folder")).expect("wiped");
        assert_eq!(node.reopen().expect_err("an alarm").code().as_str(), "E-TRUST-STATE");
        let mut again = Node::enroll_with(&publisher, invite_floors(&publisher));
        again.refuses(&source, START, "E-TRUST-ROLLBACK");
    }
}

#[test]
fn p3_row_roll_back_truncated_files() {
    let (publisher, old, new) = two_sets();
    for (source, name) in [old.clone(), resealed(&publisher, &old)]
        .iter()
        .flat_map(|source| ["timestamp.json", "2.snapshot.json", "2.targets.json"].map(|name| (source, name)))
    {
        let mut node = Node::enroll(&publisher);
        node.update(&new, START).expect("believed");
        std::fs::write(node.set().join(name), b"").expect("truncated");
        assert_eq!(node.reopen().expect_err(name).code().as_str(), "E-TRUST-STATE", "{name}");
        // A daemon that was running meanwhile holds its own copy, and the floors.
        let error = node.update(source, START).expect_err("refused");
        assert_eq!(error.code().as_str(), "E-TRUST-ROLLBACK", "{name}");
    }
}

#[test]
fn p3_row_roll_back_after_key_rotation() {
    let (mut publisher, old, _) = two_sets();
    let stolen = publisher.freshness_keys.0[0].clone();
    publisher.freshness_keys.0[0] = key();
    let (roles, keys) = (publisher.roles(), publisher.root_keys.clone());
    publisher.repository.rotate_root(&roles, &keys, START.plus(700 * DAY)).expect("rotated");
    publisher.refresh(START);
    let mut node = Node::enroll(&publisher);
    node.update(&publisher.served(), START).expect("believed");
    // With the new root shown, the old set is signed by a key that no longer counts, or, with the new key stolen too,
    // sealed anew over old targets. TUF forgets timestamp and snapshot here; the floors do not.
    let mut replay = old.clone();
    replay.0.insert("2.root.json".to_owned(), publisher.served().0["2.root.json"].clone());
    node.refuses(&replay, START, "E-TRUST-FORGED");
    for signer in [&stolen, &publisher.freshness_keys.0[0]] {
        let mut source = replay.clone();
        seal(&mut source, 1, 9, signer, nothing);
        let error = node.update(&source, START).expect_err("refused");
        assert!(matches!(error.code().as_str(), "E-TRUST-FORGED" | "E-TRUST-ROLLBACK"), "{error}");
    }
    let mut floors = invite_floors(&publisher);
    floors.versions.root = 2;
    let mut source = replay;
    seal(&mut source, 1, 9, &publisher.freshness_keys.0[0], nothing);
    Node::enroll_with(&publisher, floors).refuses(&source, START, "E-TRUST-ROLLBACK");
}

#[test]
fn p3_row_hidden_root() {
    let (mut publisher, _, before) = two_sets();
    let stolen = publisher.freshness_keys.0[0].clone();
    publisher.freshness_keys.0[0] = key();
    let (roles, keys) = (publisher.roles(), publisher.root_keys.clone());
    publisher.repository.rotate_root(&roles, &keys, START.plus(700 * DAY)).expect("rotated");
    publisher.refresh(START);
    let mut sealed = before.clone();
    seal(&mut sealed, 2, 9, &stolen, nothing);
    for source in [before, sealed] {
        // A node that has seen the new root keeps it; one that an invite told of it refuses a chain without it.
        let mut node = Node::enroll(&publisher);
        node.update(&publisher.served(), START).expect("believed");
        node.refuses(&source, START, "E-TRUST-FORGED");
        let mut floors = Floors::default();
        floors.versions.root = 2;
        Node::enroll_with(&publisher, floors).refuses(&source, START, "E-TRUST-ROLLBACK");
    }
}

#[test]
fn p3_row_freeze_by_replay() {
    let mut publisher = Publisher::new();
    let mut node = Node::current(&publisher);
    let frozen = publisher.served();
    publisher.set("fleet.json", &fleet(2));
    publisher.publish(START.plus(DAY));
    // Without a key: the same set, for as long as it lasts and not a second longer.
    node.update(&frozen, START.plus(13 * DAY)).expect("nothing newer is known");
    node.refuses(&frozen, START.plus(14 * DAY), "E-TRUST-EXPIRED");
    // With the freshness key: sealed again and again, bounded by the targets' own end and the longest life of a seal.
    let mut source = frozen.clone();
    let key = publisher.freshness_keys.0[0].clone();
    seal(&mut source, 1, 2, &key, |role| role["expires"] = "2099-01-01T00:00:00Z".into());
    node.refuses(&source, START, "E-TRUST-LIMITS");
    let ended = START.plus(366 * DAY);
    let mut source = frozen;
    let until = jiff::Timestamp::from_second(ended.plus(DAY).0.cast_signed()).expect("a time").to_string();
    seal(&mut source, 1, 2, &key, |role| role["expires"] = until.clone().into());
    node.refuses(&source, ended, "E-TRUST-EXPIRED");
}

#[test]
fn p3_row_fast_forward() {
    let publisher = Publisher::new();
    for signer in [key(), publisher.freshness_keys.0[0].clone()] {
        for version in [1002, u64::from(u32::MAX) + 1, u64::MAX] {
            let mut source = publisher.served();
            seal(&mut source, 1, version, &signer, nothing);
            let mut node = Node::current(&publisher);
            let error = node.update(&source, START).expect_err("refused");
            assert!(matches!(error.code().as_str(), "E-TRUST-LIMITS" | "E-TRUST-FORGED"), "{error}");
            node.update(&publisher.served(), START).expect("not locked out");
        }
    }
}

#[test]
fn p3_row_expired_and_clock_set_back() {
    let mut publisher = Publisher::new();
    let frozen = publisher.served();
    let later = START.plus(20 * DAY);
    publisher.refresh(later);
    for source in [frozen.clone(), resealed(&publisher, &frozen)] {
        let mut node = Node::enroll(&publisher);
        node.update(&publisher.served(), later).expect("believed");
        // The old seal has ended, and setting the clock back to when it had not is noticed.
        let is_stolen = source.0["timestamp.json"] != frozen.0["timestamp.json"];
        node.refuses(&source, later, if is_stolen { "E-TRUST-EXPIRED" } else { "E-TRUST-ROLLBACK" });
        node.refuses(&source, START, "E-CLOCK-BEHIND");
    }
    // One that has seen nothing newer learns of the end from the expiry alone.
    Node::current_of(&publisher, &frozen).refuses(&frozen, later, "E-TRUST-EXPIRED");
}

/// A freeze ends when metadata does, so nobody may sign for longer than agreed, not even who holds the key.
#[test]
fn p3_row_targets_and_root_that_live_too_long() {
    for (days, lasts) in [(400, true), (401, false)] {
        let mut publisher = Publisher::new();
        let mut node = Node::current(&publisher);
        publisher.repository.sign_targets(&publisher.targets_keys, START.plus(days * DAY)).expect("signed");
        publisher.refresh(START);
        judged(&mut node, &publisher, lasts);
    }
    for (days, lasts) in [(800, true), (801, false)] {
        let mut publisher = Publisher::new();
        let mut node = Node::current(&publisher);
        let (roles, keys) = (publisher.roles(), publisher.root_keys.clone());
        publisher.repository.rotate_root(&roles, &keys, START.plus(days * DAY)).expect("rotated");
        publisher.publish(START);
        judged(&mut node, &publisher, lasts);
    }
}

fn judged(node: &mut Node, publisher: &Publisher, lasts: bool) {
    if lasts {
        node.update(&publisher.served(), START).expect("within the bound");
    } else {
        let error = node.refuses(&publisher.served(), START, "E-TRUST-LIMITS");
        assert!(error.to_string().contains("longer than allowed"), "{error}");
    }
}

#[test]
fn p3_row_swapped_consistent_snapshot_files() {
    let (publisher, old, new) = two_sets();
    let key = &publisher.freshness_keys.0[0];
    // Each served file in turn holds what another one should.
    for (name, other) in [
        ("2.targets.json", "1.targets.json"),
        ("2.snapshot.json", "1.snapshot.json"),
        ("2.targets.json", "2.snapshot.json"),
        ("timestamp.json", "2.snapshot.json"),
    ] {
        let mut source = new.clone();
        let bytes = old.0.get(other).or_else(|| new.0.get(other)).expect("served").clone();
        source.0.insert(name.to_owned(), bytes);
        // A swapped snapshot can also ask for targets that nobody serves.
        let code = if name == "2.snapshot.json" { "E-BLOB-MISSING" } else { "E-TRUST-FORGED" };
        Node::current_of(&publisher, &old).refuses(&source, START, code);
        // With the freshness key the snapshot can list the swapped bytes; the targets' own signature still decides.
        if name == "2.targets.json" {
            seal(&mut source, 2, 9, key, nothing);
            assert!(Node::current_of(&publisher, &old).update(&source, START).is_err(), "{name}");
        }
    }
    let served: Vec<String> = new.0.keys().filter(|name| name.len() > 64).cloned().collect();
    for name in &served {
        for other in &served {
            if new.0[name] != new.0[other] {
                let mut source = new.clone();
                source.0.insert(name.clone(), new.0[other].clone());
                let error = Node::enroll(&publisher).update(&source, START).expect_err(name);
                assert!(matches!(error.code().as_str(), "E-TRUST-FORGED" | "E-TRUST-LIMITS"), "{error}");
            }
        }
    }
}

#[test]
fn p3_row_duplicate_keys_and_signatures() {
    let mut publisher = Publisher::new();
    let (first, second) = (publisher.targets_keys.0[0].clone(), key());
    let mut roles = publisher.roles();
    roles.targets = RoleHolders { points: vec![first.point(), second.point()], threshold: 2 };
    let keys = publisher.root_keys.clone();
    publisher.repository.rotate_root(&roles, &keys, START.plus(700 * DAY)).expect("rotated");
    publisher.targets_keys.0.push(second);
    publisher.publish(START);
    let mut node = Node::enroll(&publisher);
    node.update(&publisher.served(), START).expect("two have signed");
    for signers in [vec![&first], vec![&first, &first]] {
        let mut source = publisher.served();
        let mut targets = signed_part(&source, "2.targets.json");
        targets["version"] = 3.into();
        put_targets(&mut source, targets, &signers);
        seal(&mut source, 3, 9, &publisher.freshness_keys.0[0], nothing);
        node.refuses(&source, START, "E-TRUST-FORGED");
    }
    // A root that lists one key under two ids does not make two holders of it.
    let mut source = publisher.served();
    let mut root = signed_part(&source, "2.root.json");
    root["version"] = 3.into();
    let ids = root["roles"]["targets"]["keyids"].as_array().expect("ids").clone();
    root["roles"]["targets"]["keyids"] = serde_json::json!([ids[0], ids[0]]);
    put_root(&mut source, root, 3, &[&publisher.root_keys.0[0]]);
    let mut targets = signed_part(&source, "2.targets.json");
    targets["version"] = 3.into();
    put_targets(&mut source, targets, &[&first, &first]);
    seal(&mut source, 3, 9, &publisher.freshness_keys.0[0], nothing);
    node.refuses(&source, START, "E-TRUST-FORGED");
}

#[test]
fn p3_row_root_threshold_not_met() {
    let publisher = Publisher::new();
    let mut node = Node::current(&publisher);
    for signers in
        [vec![key()], vec![publisher.freshness_keys.0[0].clone(), publisher.targets_keys.0[0].clone()]]
    {
        let mut source = publisher.served();
        let mut root = signed_part(&source, "1.root.json");
        root["version"] = 2.into();
        put_root(&mut source, root, 2, &signers.iter().collect::<Vec<_>>());
        node.refuses(&source, START, "E-TRUST-FORGED");
    }
}
