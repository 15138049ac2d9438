//! The captured guest replays, and small trees ask what no honest guest has.

#[path = "pools.rs"]
mod pools;
#[path = "topologies.rs"]
mod topologies;

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use croft_domain::fact::{Confidence, DiskState};
use tempfile::TempDir;

use super::*;

fn captured() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let archive =
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/posture/linux-6.1-luks-lvm-btrfs.tar.gz");
    let status = Command::new("tar").args(["xzf", archive, "-C"]).arg(folder.path()).status();
    assert!(status.expect("tar runs").success());
    folder
}

#[test]
fn every_path_of_the_captured_guest_has_its_expected_verdict() {
    use DiskState::{Encrypted, Plain, Volatile};
    let root = captured();
    for (path, expected) in [
        ("/mnt/luks", Encrypted),
        ("/mnt/luks/deep/down", Encrypted),
        ("/mnt/bind", Encrypted),
        ("/mnt/ov", Encrypted),
        ("/mnt/lvm-on-luks", Encrypted),
        ("/mnt/luks-on-lvm", Encrypted),
        ("/mnt/part2", Encrypted),
        ("/mnt/loop-in-luks", Encrypted),
        ("/mnt/btrfs-enc", Encrypted),
        ("/mnt/btrfs-mixed", Plain),
        ("/mnt/span", Plain),
        ("/img", Plain),
        ("/mnt/with space", Plain),
        ("/tmp", Volatile),
        ("/run", Volatile),
        ("/mnt/null", Encrypted),
        ("/mnt/fake", Encrypted),
    ] {
        let found = examine(root.path(), false, path);
        assert_eq!(found.state, expected, "{found:#?}");
        let confidence = if expected == Encrypted { Confidence::Uuid } else { Confidence::Table };
        // One member of the mixed ones encrypts by its uuid.
        assert!(found.confidence <= confidence && found.confidence >= Confidence::Uuid, "{found:#?}");
        assert!(!found.trace.is_empty());
    }
}

#[test]
fn every_swap_area_of_the_captured_guest_has_its_expected_verdict() {
    let root = captured();
    let areas = examine_swaps(root.path(), false).expect("the list");
    let states: Vec<_> = areas.iter().map(|area| (area.path.as_str(), area.state)).collect();
    assert_eq!(
        states,
        [
            ("/dev/mapper/vg0-swap", DiskState::Encrypted),
            ("/img/swapfile", DiskState::Plain),
            ("/dev/zram0", DiskState::Volatile)
        ]
    );
}

/// A machine with one mount of `/` and devices that are described by hand.
struct Machine(TempDir);

impl Machine {
    fn new(root_device: &str) -> Self {
        let machine = Self(tempfile::tempdir().expect("a folder"));
        machine.write("proc/self/mountinfo", &format!("1 0 {root_device} / / rw - ext4 /dev/root rw\n"));
        machine
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.0.path().join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        fs::write(path, text).expect("a file");
    }

    /// Adds a device over `slaves`, with a `dm/uuid` if one is given.
    fn device(&self, name: &str, numbers: &str, uuid: Option<&str>, slaves: &[&str]) -> &Self {
        let folder = format!("sys/devices/virtual/block/{name}");
        self.write(&format!("{folder}/dev"), numbers);
        if let Some(uuid) = uuid {
            self.write(&format!("{folder}/dm/uuid"), uuid);
            self.write(&format!("{folder}/dm/name"), name);
        }
        let root = self.0.path();
        fs::create_dir_all(root.join(&folder).join("slaves")).expect("folders");
        for slave in slaves {
            let link = root.join(&folder).join("slaves").join(slave);
            symlink(format!("../../{slave}"), link).expect("a link");
        }
        for (place, link) in [("sys/dev/block", numbers), ("sys/class/block", name)] {
            fs::create_dir_all(root.join(place)).expect("folders");
            let up = "../".repeat(place.split('/').count() - 1);
            symlink(format!("{up}devices/virtual/block/{name}"), root.join(place).join(link))
                .expect("a link");
        }
        self
    }

    /// Makes a device a piece of hardware.
    fn hardware(&self, name: &str) -> &Self {
        let link = self.0.path().join(format!("sys/devices/virtual/block/{name}/device"));
        symlink("../nowhere", link).expect("a link");
        self
    }

    fn state(&self) -> DiskState {
        let found = examine(self.0.path(), false, "/");
        println!("{found:#?}");
        found.state
    }
}

const LUKS: Option<&str> = Some("CRYPT-LUKS2-0123-x");

#[test]
fn luks_on_a_disk_is_encrypted_and_the_disk_alone_is_not() {
    let machine = Machine::new("254:0");
    machine.device("dm-0", "254:0", LUKS, &["sda"]).device("sda", "8:0", None, &[]).hardware("sda");
    assert_eq!(machine.state(), DiskState::Encrypted);
    let machine = Machine::new("8:0");
    machine.device("sda", "8:0", None, &[]).hardware("sda");
    assert_eq!(machine.state(), DiskState::Plain);
}

#[test]
fn p5_slaves_that_rest_on_each_other_are_unknown() {
    let machine = Machine::new("254:0");
    machine.device("dm-0", "254:0", Some("LVM-a"), &["dm-1"]).device(
        "dm-1",
        "254:1",
        Some("LVM-b"),
        &["dm-0"],
    );
    assert_eq!(machine.state(), DiskState::Unknown);
}

#[test]
fn p5_a_missing_sysfs_is_unknown() {
    assert_eq!(Machine::new("254:0").state(), DiskState::Unknown);
    let nothing = tempfile::tempdir().expect("a folder");
    assert_eq!(examine(nothing.path(), false, "/").state, DiskState::Unknown);
    assert_eq!(examine_swaps(nothing.path(), false), None);
}

#[test]
fn p5_verity_and_integrity_do_not_encrypt() {
    for uuid in
        ["CRYPT-VERITY-0123-x", "CRYPT-INTEGRITY-x", "CRYPT-SUBDEV-x", "LVM-x", "mpath-x", "CRYPT-LUKS9-x"]
    {
        let machine = Machine::new("254:0");
        machine.device("dm-0", "254:0", Some(uuid), &["sda"]).device("sda", "8:0", None, &[]).hardware("sda");
        assert_eq!(machine.state(), DiskState::Plain, "{uuid}");
    }
}

#[test]
fn p5_a_crypt_device_over_nothing_is_unknown() {
    let machine = Machine::new("254:0");
    machine.device("dm-0", "254:0", LUKS, &[]);
    assert_eq!(machine.state(), DiskState::Unknown);
}

#[test]
fn p5_every_slave_must_encrypt() {
    for order in [["dm-1", "sda"], ["sda", "dm-1"]] {
        let machine = Machine::new("254:0");
        machine.device("dm-0", "254:0", Some("LVM-x"), &order);
        machine.device("dm-1", "254:1", LUKS, &["sda"]).device("sda", "8:0", None, &[]).hardware("sda");
        assert_eq!(machine.state(), DiskState::Plain);
    }
}

#[test]
fn p5_a_slave_that_cannot_be_followed_is_unknown() {
    let machine = Machine::new("254:0");
    machine.device("dm-0", "254:0", Some("LVM-x"), &["dm-1", "gone"]).device("dm-1", "254:1", LUKS, &["sda"]);
    assert_eq!(machine.state(), DiskState::Unknown);
    let machine = Machine::new("43:0");
    machine.device("nbd0", "43:0", None, &[]);
    assert_eq!(machine.state(), DiskState::Unknown);
}

#[test]
fn p5_a_loop_file_on_its_own_mount_is_unknown() {
    let machine = Machine::new("7:0");
    machine.device("loop0", "7:0", None, &[]);
    machine.write("sys/devices/virtual/block/loop0/loop/backing_file", "/image\n");
    assert_eq!(machine.state(), DiskState::Unknown);
    machine.write("sys/devices/virtual/block/loop0/loop/backing_file", "/image (deleted)\n");
    assert_eq!(machine.state(), DiskState::Unknown);
}

#[test]
fn p5_a_tangle_of_slaves_ends_unknown() {
    let machine = Machine::new("254:0");
    let names: Vec<String> = (0..40).map(|n| format!("dm-{n}")).collect();
    for (n, name) in names.iter().enumerate() {
        let below: Vec<&str> = names.iter().skip(n + 1).map(String::as_str).collect();
        machine.device(name, &format!("254:{n}"), Some("LVM-x"), &below);
    }
    assert_eq!(machine.state(), DiskState::Unknown);
}

#[test]
fn p5_a_network_file_system_is_unknown() {
    let machine = Machine::new("0:50");
    machine.write("proc/self/mountinfo", "1 0 0:50 / / rw - nfs4 host:/export rw\n");
    assert_eq!(machine.state(), DiskState::Unknown);
}

#[test]
fn p5_a_plain_disk_under_wsl_is_unknown() {
    let machine = Machine::new("8:0");
    machine.device("sda", "8:0", None, &[]).hardware("sda");
    machine.write("proc/sys/kernel/osrelease", "5.15.90.1-microsoft-standard-WSL2\n");
    assert_eq!(machine.state(), DiskState::Unknown);
}

#[test]
fn the_machine_that_runs_the_tests_gives_an_answer() {
    let found = examine(Path::new("/"), true, "/proc");
    assert_eq!(found.state, DiskState::Unknown, "{found:#?}");
    let relative = examine(Path::new("/"), true, "etc/../..");
    assert_eq!(relative.state, DiskState::Unknown);
    let root = examine(Path::new("/"), true, "/");
    assert!(!root.trace.is_empty(), "{root:#?}");
}
