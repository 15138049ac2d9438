//! Ceremonies over several machines: each machine is a folder, and what travels between them is a file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use croft_domain::digest::Sha256Digest;
use croft_domain::fleet::Fleet;
use croft_domain::id::FleetId;
use croft_trust::digest::sha256;
use croft_trust::sign::SigningKey;
use croft_trust::store::{ExpectedRoot, Floors, MemorySource, TrustStore, TrustView};

use super::*;
use crate::args::{NewKey, Replaceable};
use crate::clock;
use crate::command::{handover, init, keys, roles};
use crate::fleet_dir::Settings;

struct Machine {
    _temp: tempfile::TempDir,
    dir: FleetDir,
}

impl Machine {
    fn empty() -> Self {
        let temp = tempfile::tempdir().expect("a folder");
        let dir = FleetDir::locate(Some(temp.path().join("fleet"))).expect("a fleet folder");
        Self { _temp: temp, dir }
    }

    /// The first machine of a fleet, with `roots` of which `threshold` must sign.
    fn founded(roots: &[KeyName], threshold: u8) -> Self {
        let machine = Self::empty();
        machine.dir.prepare().expect("a new folder");
        init::make_keys(&machine.dir, roots, None).expect("keys");
        let now = clock::now();
        let key = SigningKey::generate().expect("a key").entry(now, now.plus(1000));
        let fleet = Fleet {
            id: FleetId([2; 16]),
            ca_pins: vec![Sha256Digest([1; 32])],
            lease_keys: vec![key],
            ..empty_fleet()
        };
        init::sign_first(&machine.dir, &fleet, threshold, now).expect("signed");
        // Nobody listens on this port: what is signed here stays here.
        let controller = "https://127.0.0.1:1".to_owned();
        let settings = Settings { controller, ca_pin: Sha256Digest([1; 32]), fleet: fleet.id };
        machine.dir.save_settings(&settings).expect("saved");
        machine
    }

    /// Another publisher's machine: the same repository, a key of its own, no other key.
    fn joined(first: &Self) -> Self {
        let machine = Self::empty();
        keys::make(&machine.dir, NewKey::Publisher).expect("a key");
        copy(&first.dir.repository(), &machine.dir.repository());
        std::fs::copy(first.dir.root().join("fleet.toml"), machine.dir.root().join("fleet.toml"))
            .expect("copied");
        machine
    }

    fn public_key(&self) -> PathBuf {
        self.dir.key(KeyName::Targets).with_extension("pub")
    }

    fn open(&self) -> Workbench {
        Workbench::open(&self.dir).expect("a workbench")
    }

    /// What a new node makes of this machine's repository.
    async fn view(&self) -> TrustView {
        let workbench = self.open();
        let repository = &workbench.repository;
        let targets = repository.target_files().expect("targets");
        let source = MemorySource(repository.metadata_files().into_iter().chain(targets).collect());
        let root = &source.0["1.root.json"];
        let node = tempfile::tempdir().expect("a folder");
        let (trust, floors) = (node.path().join("trust"), node.path().join("floors.json"));
        let expected = ExpectedRoot { sha256: sha256(root) };
        let mut store =
            TrustStore::bootstrap(&trust, &floors, root, &expected, Floors::default()).expect("a store");
        (*store.update(&source, clock::now()).await.expect("accepted")).clone()
    }
}

fn empty_fleet() -> Fleet {
    serde_json::from_value(serde_json::json!({
        "schema": 1, "id": "00000000000000000000000000000000", "name": "test", "epoch": 1,
        "ca_pins": [], "lease_keys": [], "recall_keys": [], "reviewer_keys": [],
        "groups": BTreeMap::<String, String>::new(), "licenses": ["MIT"]
    }))
    .expect("a fleet")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("listed") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}

#[tokio::test]
async fn p3_two_publishers_sign_from_two_machines_and_one_alone_publishes_nothing() {
    let first = Machine::founded(&[KeyName::Root], 1);
    let second = Machine::joined(&first);
    roles::add_publisher(&first.dir, &second.public_key(), "bob", Some(2)).await.expect("signed");
    let refused = first.open().check_publishable().expect_err("one of two");
    assert_eq!(refused.code().as_str(), "E-UNAPPROVED", "{refused}");
    handover::adopt(&second.dir, &first.dir.handover(), true).expect("signed by the second");
    handover::adopt(&first.dir, &second.dir.handover(), false).expect("taken back");
    first.open().check_publishable().expect("two of two");
    assert_eq!(first.view().await.versions.root, 2);
    // The first publisher changes the fleet; the second is shown it and signs.
    {
        let mut workbench = first.open();
        workbench.change_fleet(|fleet| fleet.licenses.push("BSD-3-Clause".to_owned())).expect("changed");
        workbench.sign(clock::now()).expect("signed");
        assert!(workbench.connect_and_publish().await.is_err_and(|e| e.code().as_str() == "E-UNAPPROVED"));
    }
    let bundle = "starter@1".parse().expect("a reference");
    let refused =
        handover::approve(&second.dir, &bundle, &first.dir.handover()).await.expect_err("no bundle");
    assert!(refused.to_string().contains("starter@1") || refused.hint().contains("handover"), "{refused}");
    assert_eq!(second.open().fleet().licenses, ["MIT"], "a refusal changes nothing");
    handover::adopt(&second.dir, &first.dir.handover(), true).expect("signed by the second");
    handover::adopt(&first.dir, &second.dir.handover(), false).expect("taken back");
    assert_eq!(first.view().await.fleet.licenses, ["MIT", "BSD-3-Clause"]);
    // Taken away again, the second's signature counts for nothing and the first alone suffices.
    let error = roles::remove_publisher(&first.dir, "bob", None).await.expect_err("nobody listens");
    assert!(matches!(error, CtlError::NotPublished { .. }), "{error}");
    let view = first.view().await;
    assert_eq!((view.versions.root, view.versions.targets), (3, 4));
    let refused = handover::adopt(&second.dir, &first.dir.handover(), true);
    assert!(refused.is_err() || second.open().check_publishable().is_err());
}

#[tokio::test]
async fn p3_root_of_three_with_two_and_a_key_lost() {
    let three = [KeyName::RootOf(1), KeyName::RootOf(2), KeyName::RootOf(3)];
    let machine = Machine::founded(&three, 2);
    std::fs::remove_file(machine.dir.key(KeyName::RootOf(2))).expect("lost");
    let before = crate::client::point(&machine.dir, KeyName::Freshness).expect("a point");
    let error =
        roles::rotate_root(&machine.dir, &[Replaceable::Freshness], None).await.expect_err("nobody listens");
    assert!(matches!(error, CtlError::NotPublished { .. }), "{error}");
    let after = crate::client::point(&machine.dir, KeyName::Freshness).expect("a point");
    assert_ne!(before, after, "two of three have replaced the freshness key");
    assert_eq!(machine.view().await.versions.root, 2);
    std::fs::remove_file(machine.dir.key(KeyName::RootOf(3))).expect("lost");
    let error = roles::rotate_root(&machine.dir, &[], None).await.expect_err("one of three");
    assert_eq!(error.code().as_str(), "E-KEY", "{error}");
}

#[tokio::test]
async fn p3_keys_are_replaced_and_the_old_ones_kept_aside() {
    let machine = Machine::founded(&[KeyName::Root], 1);
    let all = [Replaceable::Root, Replaceable::Targets, Replaceable::Freshness];
    assert!(
        roles::rotate_root(&machine.dir, &all, None)
            .await
            .is_err_and(|e| matches!(e, CtlError::NotPublished { .. }))
    );
    let view = machine.view().await;
    assert_eq!((view.versions.root, view.versions.targets), (2, 2));
    for name in ["root", "targets", "freshness"] {
        let keys = machine.dir.root().join("keys");
        assert!(
            keys.join(format!("{name}.old.pk8")).exists() && !keys.join(format!("{name}.new.pk8")).exists()
        );
    }
    // The new root key is the one that counts now.
    assert!(
        roles::rotate_root(&machine.dir, &[], None)
            .await
            .is_err_and(|e| matches!(e, CtlError::NotPublished { .. }))
    );
    assert_eq!(machine.view().await.versions.root, 3);
}

#[test]
fn p3_freshness_key_does_not_sign_a_repository_that_was_put_back() {
    let machine = Machine::founded(&[KeyName::Root], 1);
    let aside = machine.dir.root().join("aside");
    copy(&machine.dir.repository(), &aside);
    {
        let mut workbench = machine.open();
        workbench.change_fleet(|fleet| fleet.licenses.push("BSD-3-Clause".to_owned())).expect("changed");
        workbench.sign(clock::now()).expect("signed");
    }
    std::fs::remove_dir_all(machine.dir.repository()).expect("removed");
    std::fs::rename(aside, machine.dir.repository()).expect("put back");
    let error = machine.open().refresh(clock::now(), 1000).expect_err("refused");
    assert_eq!(error.code().as_str(), "E-TRUST-ROLLBACK", "{error}");
}

#[test]
fn p3_freshness_key_does_not_sign_over_a_document_that_was_changed() {
    let machine = Machine::founded(&[KeyName::Root], 1);
    let targets = machine.dir.repository().join("targets");
    for entry in std::fs::read_dir(&targets).expect("listed") {
        let path = entry.expect("an entry").path();
        let mut bytes = std::fs::read(&path).expect("read");
        bytes.push(b' ');
        let mut workbench = machine.open();
        std::fs::write(&path, &bytes).expect("written");
        assert!(workbench.refresh(clock::now(), 1000).is_err(), "{}", path.display());
        bytes.pop();
        std::fs::write(&path, &bytes).expect("written");
    }
}

#[tokio::test]
async fn a_key_has_one_role() {
    let machine = Machine::founded(&[KeyName::Root], 1);
    let error =
        roles::add_publisher(&machine.dir, &machine.public_key(), "me", None).await.expect_err("twice");
    assert_eq!(error.code().as_str(), "E-CONFLICT", "{error}");
    let other = Machine::joined(&machine);
    let error =
        roles::add_publisher(&machine.dir, &other.public_key(), "bob", Some(3)).await.expect_err("3 of 2");
    assert_eq!(error.code().as_str(), "E-INPUT", "{error}");
    assert!(roles::remove_publisher(&machine.dir, "nobody", None).await.is_err());
}

#[test]
fn p3_a_change_that_could_not_be_signed_is_not_signed_with_the_next_one() {
    let machine = Machine::founded(&[KeyName::Root], 1);
    let key = machine.dir.key(KeyName::Targets);
    let away = key.with_extension("away");
    std::fs::rename(&key, &away).expect("taken away");
    {
        let mut workbench = machine.open();
        workbench.change_fleet(|fleet| fleet.licenses.push("Evil-1.0".to_owned())).expect("changed");
        assert_eq!(workbench.sign(clock::now()).expect_err("no key").code().as_str(), "E-KEY");
    }
    std::fs::rename(&away, &key).expect("brought back");
    let mut workbench = machine.open();
    workbench.change_fleet(|fleet| fleet.licenses.push("BSD-3-Clause".to_owned())).expect("changed");
    workbench.sign(clock::now()).expect("signed");
    drop(workbench);
    assert_eq!(machine.open().fleet().licenses, ["MIT", "BSD-3-Clause"]);
}

#[test]
fn p3_floors_hold_bundle_epochs_and_their_loss_is_an_alarm() {
    let machine = Machine::founded(&[KeyName::Root], 1);
    let path = machine.dir.floors();
    let mut manifest: Manifest = crate::draft::tests::draft(1).manifest;
    manifest.epoch = 7;
    {
        let mut workbench = machine.open();
        workbench.set_bundle(&manifest).expect("set");
        workbench.sign(clock::now()).expect("signed");
    }
    let floors: Floors =
        serde_json::from_slice(&std::fs::read(&path).expect("floors")).expect("floors that parse");
    assert_eq!(floors.bundle_epochs.get(&manifest.name), Some(&7));
    // Another machine's word of a later epoch: what lies here is older, though its versions are not.
    let raised = Floors { bundle_epochs: [(manifest.name.clone(), 8)].into(), ..floors.clone() };
    std::fs::write(&path, serde_json::to_vec(&raised).expect("written")).expect("written");
    let error = machine.open().refresh(clock::now(), 1000).expect_err("refused");
    assert_eq!(error.code().as_str(), "E-TRUST-ROLLBACK", "{error}");
    std::fs::remove_file(&path).expect("removed");
    let error = machine.open().refresh(clock::now(), 1000).expect_err("refused");
    assert_eq!(error.code().as_str(), "E-STATE-CORRUPT", "{error}");
    assert!(error.hint().contains("restore floors.json"), "{}", error.hint());
}

#[tokio::test]
async fn p2_the_second_publisher_signs_no_bundle_from_a_source_that_is_not_listed() {
    let first = Machine::founded(&[KeyName::Root], 1);
    let second = Machine::joined(&first);
    roles::add_publisher(&first.dir, &second.public_key(), "bob", Some(2)).await.expect("signed");
    handover::adopt(&second.dir, &first.dir.handover(), true).expect("signed by the second");
    handover::adopt(&first.dir, &second.dir.handover(), false).expect("taken back");
    let manifest = crate::draft::tests::draft(1).manifest;
    {
        // Whoever changed their croftctl can leave the check out; the other publisher's still asks.
        let mut workbench = first.open();
        workbench.set_bundle(&manifest).expect("set");
        workbench.sign(clock::now()).expect("signed");
    }
    let error = handover::adopt(&second.dir, &first.dir.handover(), true).expect_err("refused");
    assert_eq!(error.code().as_str(), "E-UNAPPROVED", "{error}");
    assert!(error.to_string().contains("source made here is not among"), "{error}");
    let bundle = manifest.reference();
    let error = handover::approve(&second.dir, &bundle, &first.dir.handover()).await.expect_err("refused");
    assert_eq!(error.code().as_str(), "E-UNAPPROVED", "{error}");
    {
        let mut workbench = first.open();
        workbench.change_fleet(|fleet| fleet.sources.push("made here".to_owned())).expect("changed");
        workbench.sign(clock::now()).expect("signed");
    }
    handover::adopt(&second.dir, &first.dir.handover(), true).expect("signed by the second");
}

#[tokio::test]
async fn keys_that_the_fleet_lists_are_prolonged_with_the_root_unless_they_are_over() {
    let machine = Machine::founded(&[KeyName::Root], 1);
    let now = clock::now();
    let over = SigningKey::generate().expect("a key").entry(now.minus(1000), now.minus(1));
    {
        let mut workbench = machine.open();
        workbench.change_fleet(|fleet| fleet.recall_keys.push(over.clone())).expect("changed");
        workbench.sign(now).expect("signed");
    }
    let _ = roles::rotate_root(&machine.dir, &[], None).await.expect_err("nobody listens");
    let view = machine.view().await;
    assert!(view.fleet.lease_keys[0].not_after >= now.plus(crate::limits::ONLINE_KEY_TTL_S));
    assert_eq!(view.fleet.recall_keys, [over]);
}
