//! Several publishers and several machines: what one alone cannot do, and what nobody can slip in on the way.

use std::collections::BTreeMap;

use croft_trust::repository::{Change, Repository, RepositoryError, RoleHolders, TargetsKeys};
use croft_trust::sign::SigningKey;

use crate::fleet::{DAY, Node, Publisher, START, baseline, bundle, fleet, key};

/// Two publishers with a threshold of two; the second has its own copy of the repository.
fn two_publishers() -> (Publisher, Repository, SigningKey, tempfile::TempDir) {
    let mut first = Publisher::new();
    let second = key();
    let mut roles = first.roles();
    roles.targets =
        RoleHolders { points: vec![first.targets_keys.0[0].point(), second.point()], threshold: 2 };
    let keys = first.root_keys.clone();
    first.repository.rotate_root(&roles, &keys, START.plus(700 * DAY)).expect("rotated");
    first.targets_keys.0.push(second.clone());
    first.publish(START);
    first.targets_keys.0.pop();
    let place = tempfile::tempdir().expect("a folder");
    copy(first.dir.path(), place.path());
    let repository = Repository::open(place.path()).expect("opened");
    (first, repository, second, place)
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    for entry in std::fs::read_dir(from).expect("listed") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            std::fs::create_dir(&target).expect("made");
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}

fn yes(_: &[Change], _: &BTreeMap<String, String>) -> Result<(), RepositoryError> {
    Ok(())
}

#[test]
fn p3_two_publishers_approve_one_bundle_from_two_machines() {
    let (mut first, mut elsewhere, second, _place) = two_publishers();
    first.set("bundle.starter.2.json", &bundle("starter", 2, 1));
    let expires = START.plus(365 * DAY);
    let progress = first.repository.sign_targets_partly(&first.targets_keys, expires).expect("signed");
    assert_eq!((progress.signed_by.len(), progress.threshold, progress.is_complete()), (1, 2, false));
    assert_eq!(first.repository.versions().targets, 2, "one signature puts nothing in force");
    let again = first.repository.sign_targets_partly(&first.targets_keys, expires).expect("signed");
    assert_eq!(again, progress, "signing twice does not count twice");
    let handover = first.repository.handover().expect("a handover");
    let mut seen = Vec::new();
    let taken = elsewhere.adopt(&handover, |changes, documents| {
        seen = changes.to_vec();
        assert!(documents["bundle.starter.2.json"].contains("starter"));
        Ok::<_, RepositoryError>(())
    });
    assert!(!taken.expect("taken").is_complete());
    assert_eq!(seen, [Change::Added("bundle.starter.2.json".to_owned())]);
    let progress =
        elsewhere.sign_targets_partly(&TargetsKeys(vec![second]), expires.plus(5)).expect("signed");
    assert!(progress.is_complete() && elsewhere.pending().expect("read").is_none());
    let back = elsewhere.handover().expect("a handover");
    assert!(first.repository.adopt(&back, yes).expect("taken").is_complete());
    assert_eq!(first.repository.versions().targets, 3);
    first.repository.verify().expect("holds");
    first.refresh(START);
    let view = Node::enroll(&first).update(&first.served(), START).expect("believed");
    assert_eq!((view.versions.targets, view.bundles.len()), (3, 2));
}

#[test]
fn p3_below_the_threshold_nothing_is_published() {
    let (mut first, _, _, _place) = two_publishers();
    first.set("bundle.starter.2.json", &bundle("starter", 2, 1));
    first.repository.sign_targets_partly(&first.targets_keys, START.plus(DAY)).expect("signed");
    let before = first.repository.target_files().expect("files");
    assert!(before.iter().all(|(name, _)| !name.ends_with("bundle.starter.2.json")));
    let stranger = TargetsKeys(vec![key()]);
    let error = first.repository.sign_targets_partly(&stranger, START.plus(DAY)).expect_err("refused");
    assert!(matches!(error, RepositoryError::KeysMissing { given: 0, .. }));
    // What changes meanwhile starts over: a signature is over exact bytes.
    first.set("baseline.standard.2.json", &baseline(2));
    let progress =
        first.repository.sign_targets_partly(&first.targets_keys, START.plus(DAY)).expect("signed");
    assert_eq!(progress.signed_by.len(), 1);
}

#[test]
fn p3_handovers_that_lie_are_refused_and_change_nothing() {
    let (mut first, mut elsewhere, _, place) = two_publishers();
    first.set("bundle.starter.2.json", &bundle("starter", 2, 1));
    first.repository.sign_targets_partly(&first.targets_keys, START.plus(DAY)).expect("signed");
    let good: serde_json::Value =
        serde_json::from_slice(&first.repository.handover().expect("a handover")).expect("JSON");
    let mut refuse = |what: &str, change: &dyn Fn(&mut serde_json::Value)| {
        let mut handover = good.clone();
        change(&mut handover);
        let bytes = serde_json::to_vec(&handover).expect("JSON");
        let error = elsewhere.adopt(&bytes, yes).expect_err(what);
        assert_eq!(error.code().as_str(), "E-TRUST-FORGED", "{what}: {error}");
        let names: Vec<_> = elsewhere.target_names().map(str::to_owned).collect();
        assert!(!names.contains(&"bundle.starter.2.json".to_owned()), "{what}");
        assert!(!place.path().join("pending.targets.json").exists(), "{what}");
    };
    refuse("another document", &|h| h["documents"]["bundle.starter.2.json"] = bundle("starter", 2, 9).into());
    refuse("a document more", &|h| h["documents"]["bundle.evil.1.json"] = "{}".into());
    refuse("a document less", &|h| {
        h["documents"].as_object_mut().expect("an object").remove("waivers.json");
    });
    refuse("another fleet's root", &|h| {
        let other = Publisher::new();
        h["roots"]["1"] = String::from_utf8(other.first_root).expect("text").into();
    });
    refuse("a forged next root", &|h| {
        let text = h["roots"]["2"].as_str().expect("text").replace("\"version\": 2", "\"version\": 3");
        h["roots"]["3"] = text.into();
    });
    refuse("a root held back", &|h| {
        h["roots"].as_object_mut().expect("an object").remove("2");
    });
    refuse("no signature", &|h| {
        let mut targets: serde_json::Value =
            serde_json::from_str(h["targets"].as_str().expect("text")).expect("JSON");
        targets["signatures"] = serde_json::json!([]);
        h["targets"] = targets.to_string().into();
    });
    refuse("a changed expiry", &|h| {
        let mut targets: serde_json::Value =
            serde_json::from_str(h["targets"].as_str().expect("text")).expect("JSON");
        targets["signed"]["expires"] = "2099-01-01T00:00:00Z".into();
        h["targets"] = targets.to_string().into();
    });
    refuse("unknown field", &|h| h["surprise"] = 1.into());
    // A person's no, too, changes nothing.
    let bytes = serde_json::to_vec(&good).expect("JSON");
    let no = elsewhere.adopt(&bytes, |_, _| Err(RepositoryError::Order("no")));
    assert!(no.is_err() && elsewhere.pending().expect("read").is_none());
    elsewhere.adopt(&bytes, yes).expect("the unchanged one is taken");
}

#[test]
fn p3_old_handover_does_not_roll_a_publisher_back() {
    let (mut first, mut elsewhere, second, _place) = two_publishers();
    let old = first.repository.handover().expect("a handover");
    first.set("fleet.json", &fleet(2));
    first.targets_keys.0.push(second);
    first.publish(START);
    let new = first.repository.handover().expect("a handover");
    elsewhere.adopt(&new, yes).expect("taken");
    assert_eq!(elsewhere.versions().targets, 3);
    let error = elsewhere.adopt(&old, yes).expect_err("refused");
    assert_eq!(error.code().as_str(), "E-TRUST-FORGED", "{error}");
}

#[test]
fn p3_a_removed_publishers_signature_counts_no_longer() {
    let (mut first, _, second, _place) = two_publishers();
    first.set("bundle.starter.2.json", &bundle("starter", 2, 1));
    let expires = START.plus(365 * DAY);
    first.repository.sign_targets_partly(&TargetsKeys(vec![second]), expires).expect("signed");
    let mut roles = first.repository.roles().expect("roles");
    assert_eq!((roles.targets.points.len(), roles.targets.threshold), (2, 2));
    roles.targets = RoleHolders::solo(&first.targets_keys.0[0]);
    let keys = first.root_keys.clone();
    first.repository.rotate_root(&roles, &keys, START.plus(700 * DAY)).expect("rotated");
    assert_eq!(first.repository.pending().expect("read").expect("pending").signed_by, []);
    assert!(
        first.repository.sign_targets_partly(&first.targets_keys, expires).expect("signed").is_complete()
    );
    first.repository.verify().expect("holds");
}

#[test]
fn p3_refreshing_needs_targets_at_their_threshold() {
    let (first, _, _, _place) = two_publishers();
    first.repository.verify().expect("holds");
    let path = first.dir.path().join("metadata/targets.json");
    let mut targets: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).expect("read")).expect("JSON");
    targets["signatures"].as_array_mut().expect("a list").pop();
    std::fs::write(&path, targets.to_string()).expect("written");
    let mut repository = Repository::open(first.dir.path()).expect("opened");
    assert!(matches!(repository.verify(), Err(RepositoryError::Unverified { role: "targets", .. })));
    let refused = repository.refresh_at(&first.freshness_keys, START, START.plus(DAY));
    assert!(matches!(refused, Err(RepositoryError::Unverified { .. })));
}
