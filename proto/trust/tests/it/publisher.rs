//! The publisher's side: what it refuses to sign, and that it survives a restart.

use croft_domain::digest::Sha256Digest;
use croft_trust::repository::{FreshnessKeys, Repository, RepositoryError, RoleHolders, TargetsKeys};
use croft_trust::store::TrustView;

use crate::fleet::{DAY, Node, Publisher, START, key};

#[test]
fn p3_roles_sign_only_with_their_own_keys() {
    let mut publisher = Publisher::new();
    let wrong = TargetsKeys(publisher.freshness_keys.0.clone());
    let error = publisher.repository.sign_targets(&wrong, START.plus(DAY)).expect_err("refused");
    assert!(matches!(error, RepositoryError::KeysMissing { role: "targets", threshold: 1, given: 0 }));
    let wrong = FreshnessKeys(publisher.targets_keys.0.clone());
    assert!(publisher.repository.refresh(&wrong, START.plus(DAY)).is_err());
}

#[test]
fn p3_freshness_key_does_not_vouch_for_targets_that_do_not_verify() {
    let mut publisher = Publisher::new();
    let path = publisher.dir.path().join("metadata/targets.json");
    let text = std::fs::read_to_string(&path).expect("read");
    std::fs::write(&path, text.replace("\"version\": 1", "\"version\": 2")).expect("changed");
    publisher.repository = Repository::open(publisher.dir.path()).expect("opened");
    let keys = publisher.freshness_keys.clone();
    let error = publisher.repository.refresh_at(&keys, START, START.plus(DAY)).expect_err("refused");
    assert_eq!(error.code().as_str(), "E-TRUST-FORGED");
}

#[test]
fn threshold_of_two_needs_two_different_holders() {
    let mut publisher = Publisher::new();
    let (first, second) = (publisher.targets_keys.0[0].clone(), key());
    let mut roles = publisher.roles();
    roles.targets = RoleHolders { points: vec![first.point(), second.point()], threshold: 2 };
    let root_keys = publisher.root_keys.clone();
    publisher.repository.rotate_root(&roles, &root_keys, START.plus(700 * DAY)).expect("rotated");
    let twice = TargetsKeys(vec![first.clone(), first.clone()]);
    assert!(publisher.repository.sign_targets(&twice, START.plus(DAY)).is_err());
    publisher.targets_keys = TargetsKeys(vec![first, second]);
    publisher.publish(START);
    let view = Node::enroll(&publisher).update(&publisher.served(), START).expect("believed");
    assert_eq!((view.versions.root, view.versions.targets), (2, 2));
}

#[test]
fn reopened_repository_goes_on_where_it_was() {
    let mut publisher = Publisher::new();
    let before = publisher.served();
    publisher.repository = Repository::open(publisher.dir.path()).expect("opened");
    assert_eq!(publisher.served().0, before.0);
    publisher.publish(START);
    assert_eq!(publisher.repository.versions().timestamp, 2);
    Node::current(&publisher);
}

#[test]
fn p2_target_names_are_flat() {
    let mut publisher = Publisher::new();
    for name in ["", "../fleet.json", "a/b.json", ".hidden", "Fleet.json", "a b", &"a".repeat(129)] {
        assert!(publisher.repository.set_target(name, b"{}").is_err(), "{name:?}");
    }
}

#[test]
fn second_create_is_refused() {
    let publisher = Publisher::new();
    let result =
        Repository::create(publisher.dir.path(), &publisher.roles(), &publisher.root_keys, START.plus(DAY));
    assert!(matches!(result, Err(RepositoryError::Exists(_))));
}

fn allows(view: &TrustView, worker: Option<&Sha256Digest>) -> bool {
    view.check_runtime(worker, None).is_ok()
}

#[test]
fn p2_a_worker_in_no_published_runtime_may_not_run() {
    let mut publisher = Publisher::new();
    let (ours, other) = (Sha256Digest([1; 32]), Sha256Digest([2; 32]));
    let view = Node::enroll(&publisher).update(&publisher.served(), START).expect("believed");
    assert!(allows(&view, Some(&other)) && allows(&view, None), "nothing was decided yet");
    let document = format!(r#"{{"schema":1,"name":"worker","version":1,"files":["{ours}"]}}"#);
    publisher.repository.set_target("runtime.worker.1.json", document.as_bytes()).expect("set");
    publisher.publish(START);
    let view = Node::enroll(&publisher).update(&publisher.served(), START).expect("believed");
    assert!(allows(&view, Some(&ours)));
    assert!(!allows(&view, Some(&other)) && !allows(&view, None));
    // A document under another's name is refused like a forged one.
    publisher.repository.set_target("runtime.worker.2.json", document.as_bytes()).expect("set");
    publisher.publish(START);
    assert!(Node::enroll(&publisher).update(&publisher.served(), START).is_err());
}
