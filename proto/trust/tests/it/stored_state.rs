//! A crash, a damaged disk or somebody with access to it against the stored state.

use std::fs;
use std::path::Path;

use croft_trust::store::{Floors, TrustError, TrustStore};

use crate::fleet::{DAY, Node, Publisher, START, fleet};

fn assert_alarm(node: &Node, what: &str) {
    let error = node.reopen().expect_err(what);
    assert_eq!(error.code().as_str(), "E-TRUST-STATE", "{what}: {error:?}");
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir(to).expect("created");
    for entry in fs::read_dir(from).expect("listed") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}

#[test]
fn p3_rollback_on_truncated_state_is_an_alarm() {
    let publisher = Publisher::new();
    let node = Node::current(&publisher);
    let mut files: Vec<_> =
        fs::read_dir(node.set()).expect("listed").map(|e| e.expect("an entry").path()).collect();
    assert_eq!(files.len(), 8, "root, timestamp, snapshot, targets and four documents");
    files.push(node.floors());
    for path in files {
        let whole = fs::read(&path).expect("read");
        let name = path.display().to_string();
        fs::write(&path, &whole[..whole.len() / 2]).expect("truncated");
        assert_alarm(&node, &format!("{name} truncated"));
        fs::write(&path, b"").expect("emptied");
        assert_alarm(&node, &format!("{name} emptied"));
        fs::remove_file(&path).expect("removed");
        assert_alarm(&node, &format!("{name} removed"));
        fs::write(&path, &whole).expect("restored");
        node.reopen().expect("whole again");
    }
    fs::write(node.set().join("surprise"), b"").expect("written");
    assert_alarm(&node, "a file that does not belong there");
}

#[test]
fn p3_missing_state_is_an_alarm_and_never_a_fresh_start() {
    let publisher = Publisher::new();
    let node = Node::current(&publisher);
    fs::remove_dir_all(node.trust()).expect("removed");
    assert_alarm(&node, "no folder");
    let again = TrustStore::bootstrap(
        &node.trust(),
        &node.floors(),
        &publisher.first_root,
        &publisher.expected(),
        Floors::default(),
    );
    assert!(matches!(again, Err(TrustError::Exists(_))));
}

#[test]
fn p3_metadata_taken_away_but_for_the_root_is_an_alarm() {
    let node = Node::current(&Publisher::new());
    for entry in fs::read_dir(node.set()).expect("listed") {
        let path = entry.expect("an entry").path();
        if !path.ends_with("1.root.json") {
            fs::remove_file(path).expect("removed");
        }
    }
    assert_alarm(&node, "only the root is left");
}

#[test]
fn p3_old_directory_put_back_is_an_alarm() {
    for only_refreshed in [true, false] {
        let mut publisher = Publisher::new();
        let mut node = Node::current(&publisher);
        let aside = node.dir.path().join("aside");
        copy_dir(&node.set(), &aside);
        if only_refreshed {
            publisher.refresh(START);
        } else {
            publisher.set("fleet.json", &fleet(2));
            publisher.publish(START);
        }
        node.update(&publisher.served(), START).expect("believed");
        fs::remove_dir_all(node.set()).expect("removed");
        fs::rename(aside, node.set()).expect("put back");
        assert_alarm(&node, "yesterday's folder");
    }
}

#[test]
fn p3_another_fleets_directory_is_an_alarm() {
    let (mine, other) = (Node::current(&Publisher::new()), Node::current(&Publisher::new()));
    fs::remove_dir_all(mine.set()).expect("removed");
    copy_dir(&other.set(), &mine.set());
    assert_alarm(&mine, "another fleet");
}

#[test]
fn p8_expired_state_still_opens() {
    let publisher = Publisher::new();
    let mut node = Node::current(&publisher);
    // Nothing asks for the time here: months may have passed.
    assert!(node.reopen().expect("open").view().is_some());
    node.refuses(&publisher.served(), START.plus(300 * DAY), "E-TRUST-EXPIRED");
}

#[test]
fn p9_half_written_metadata_directory() {
    let node = Node::current(&Publisher::new());
    let half = node.trust().join("set.new");
    let files = node.store.files();
    // Killed after each file, and in the middle of each.
    for whole in 0..files.len() {
        fs::create_dir(&half).expect("created");
        for (name, bytes) in &files[..whole] {
            fs::write(half.join(name), bytes).expect("written");
        }
        let (name, bytes) = &files[whole];
        fs::write(half.join(name), &bytes[..bytes.len() / 2]).expect("written");
        fs::create_dir(node.trust().join("scratch-x")).expect("created");
        assert_eq!(node.reopen().expect("open").view(), node.store.view());
        assert_eq!(fs::read_dir(node.trust()).expect("listed").count(), 1, "leftovers are gone");
    }
}

#[test]
fn p9_half_written_folder_does_not_stop_the_next_update() {
    let mut publisher = Publisher::new();
    let mut node = Node::current(&publisher);
    fs::create_dir(node.trust().join("set.new")).expect("created");
    fs::write(node.trust().join("set.new/timestamp.json"), b"{").expect("written");
    publisher.refresh(START);
    node.update(&publisher.served(), START).expect("believed");
    assert_eq!(node.reopen().expect("open").view(), node.store.view());
}

#[test]
fn p9_floors_that_could_not_be_written_are_written_later() {
    let mut publisher = Publisher::new();
    let mut node = Node::current(&publisher);
    publisher.refresh(START);
    let (place, aside) = (node.dir.path().join("floors"), node.dir.path().join("aside"));
    fs::rename(&place, &aside).expect("moved away");
    let error = node.update(&publisher.served(), START).expect_err("no place for the floors");
    assert_eq!(error.code().as_str(), "E-STATE-UNWRITABLE");
    fs::rename(&aside, &place).expect("moved back");
    node.update(&publisher.served(), START).expect("believed");
    let stored = fs::read_to_string(node.floors()).expect("read");
    assert!(stored.contains("\"timestamp\": 2"), "{stored}");
}

#[test]
fn p9_killed_between_the_swap_and_the_floors() {
    let mut publisher = Publisher::new();
    let mut node = Node::current(&publisher);
    let before = fs::read(node.floors()).expect("read");
    publisher.refresh(START);
    node.update(&publisher.served(), START).expect("believed");
    let after = fs::read(node.floors()).expect("read");
    fs::write(node.floors(), before).expect("set back");
    assert_eq!(node.reopen().expect("open").view(), node.store.view());
    assert_eq!(fs::read(node.floors()).expect("read"), after, "opening raises the floors");
}

#[test]
fn p9_killed_during_bootstrap_can_be_repeated() {
    let publisher = Publisher::new();
    let node = Node::enroll(&publisher);
    fs::remove_dir_all(node.trust()).expect("removed");
    let floors = Floors::default();
    TrustStore::bootstrap(
        &node.trust(),
        &node.floors(),
        &publisher.first_root,
        &publisher.expected(),
        floors,
    )
    .expect("bootstrapped again");
}
