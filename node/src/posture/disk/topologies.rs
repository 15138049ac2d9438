//! Storage as people stack it, device by device, each with the answer that it must give.

use croft_domain::fact::DiskState::{self, Encrypted, Plain, Unknown, Volatile};

use super::{LUKS, Machine};
use crate::posture::disk::{examine, examine_swaps};

const LVM: Option<&str> = Some("LVM-x");
const MULTIPATH: Option<&str> = Some("mpath-3600");

/// A device: name, numbers, `dm/uuid`, slaves. One without slaves and uuid is hardware.
pub(super) type Device = (&'static str, &'static str, Option<&'static str>, &'static [&'static str]);

const SDA: Device = ("sda", "8:0", None, &[]);
const SDB: Device = ("sdb", "8:16", None, &[]);

pub(super) fn machine(root_device: &str, devices: &[Device]) -> Machine {
    let machine = Machine::new(root_device);
    for (name, numbers, uuid, slaves) in devices {
        machine.device(name, numbers, *uuid, slaves);
        if uuid.is_none() && slaves.is_empty() {
            machine.hardware(name);
        }
    }
    machine
}

#[track_caller]
fn check(what: &str, root_device: &str, devices: &[Device], expected: DiskState) {
    assert_eq!(machine(root_device, devices).state(), expected, "{what}");
}

#[test]
fn p5_arrays_are_as_safe_as_their_weakest_member() {
    let luks: [Device; 2] = [("dm-0", "254:0", LUKS, &["sda"]), ("dm-1", "254:1", LUKS, &["sdb"])];
    let [first, second] = luks;
    check(
        "md-raid of two LUKS",
        "9:0",
        &[("md0", "9:0", None, &["dm-0", "dm-1"]), first, second, SDA, SDB],
        Encrypted,
    );
    check(
        "md-raid of LUKS and plain",
        "9:0",
        &[("md0", "9:0", None, &["dm-0", "sdb"]), first, SDA, SDB],
        Plain,
    );
    check("md-raid of plain disks", "9:0", &[("md0", "9:0", None, &["sda", "sdb"]), SDA, SDB], Plain);
    let above: Device = ("dm-0", "254:0", LUKS, &["md0"]);
    check("LUKS on md-raid", "254:0", &[above, ("md0", "9:0", None, &["sda", "sdb"]), SDA, SDB], Encrypted);
}

#[test]
fn p5_multipath_is_a_path_and_not_a_cipher() {
    let paths: Device = ("dm-1", "254:1", MULTIPATH, &["sda", "sdb"]);
    check("multipath alone", "254:1", &[paths, SDA, SDB], Plain);
    check("LUKS on multipath", "254:0", &[("dm-0", "254:0", LUKS, &["dm-1"]), paths, SDA, SDB], Encrypted);
    let partition: Device = ("dm-2", "254:2", Some("part1-mpath-3600"), &["dm-1"]);
    check("a partition of a multipath device", "254:2", &[partition, paths, SDA, SDB], Plain);
}

#[test]
fn p5_a_cache_counts_like_what_it_caches() {
    let inner: Device = ("dm-0", "254:0", LUKS, &["sda"]);
    check(
        "bcache of LUKS with a plain cache",
        "252:0",
        &[("bcache0", "252:0", None, &["dm-0", "sdb"]), inner, SDA, SDB],
        Plain,
    );
    check("bcache of plain disks", "252:0", &[("bcache0", "252:0", None, &["sda", "sdb"]), SDA, SDB], Plain);
    let above: Device = ("dm-1", "254:1", LUKS, &["bcache0"]);
    check(
        "LUKS on bcache",
        "254:1",
        &[above, ("bcache0", "252:0", None, &["sda", "sdb"]), SDA, SDB],
        Encrypted,
    );
    let cached: Device = ("dm-2", "254:2", LVM, &["dm-0", "sdb"]);
    check("an LVM cache with its fast half outside of LUKS", "254:2", &[cached, inner, SDA, SDB], Plain);
}

#[test]
fn p5_thin_volumes_follow_their_pool() {
    let pool: [Device; 3] = [
        ("dm-1", "254:1", Some("LVM-pool-tpool"), &["dm-2", "dm-3"]),
        ("dm-2", "254:2", Some("LVM-pool_tmeta"), &["dm-9"]),
        ("dm-3", "254:3", Some("LVM-pool_tdata"), &["dm-9"]),
    ];
    let [tpool, meta, data] = pool;
    let thin: Device = ("dm-0", "254:0", LVM, &["dm-1"]);
    let luks: Device = ("dm-9", "254:9", LUKS, &["sda"]);
    check("thin in a pool on LUKS", "254:0", &[thin, tpool, meta, data, luks, SDA], Encrypted);
    let spilled: Device = ("dm-3", "254:3", Some("LVM-pool_tdata"), &["dm-9", "sdb"]);
    check(
        "thin in a pool that grew onto a plain disk",
        "254:0",
        &[thin, tpool, meta, spilled, luks, SDA, SDB],
        Plain,
    );
    let snapshot: Device = ("dm-5", "254:5", Some("LVM-snap"), &["dm-0", "dm-9"]);
    check("a snapshot of it", "254:5", &[snapshot, thin, tpool, meta, data, luks, SDA], Encrypted);
}

#[test]
fn p5_cycles_of_any_length_are_unknown() {
    check("a device on itself", "254:0", &[("dm-0", "254:0", LVM, &["dm-0"])], Unknown);
    let three: [Device; 3] = [
        ("dm-0", "254:0", LVM, &["dm-1"]),
        ("dm-1", "254:1", LVM, &["dm-2"]),
        ("dm-2", "254:2", LVM, &["dm-0"]),
    ];
    check("three in a ring", "254:0", &three, Unknown);
    let beside: [Device; 3] = [
        ("dm-0", "254:0", LVM, &["dm-1", "dm-2"]),
        ("dm-1", "254:1", LUKS, &["sda"]),
        ("dm-2", "254:2", LVM, &["dm-0"]),
    ];
    check("a ring beside LUKS", "254:0", &[beside[0], beside[1], beside[2], SDA], Unknown);
}

#[test]
fn p5_nested_overlays_lead_to_the_last_upper_folder() {
    let mounts = |upper: &str| {
        format!(
            "1 0 8:0 / / rw - ext4 /dev/root rw\n2 1 254:0 / /luks rw - ext4 /dev/mapper/luks rw\n\
             3 1 0:40 / /inner rw - overlay overlay rw,lowerdir=/a,upperdir={upper},workdir=/w\n\
             4 1 0:41 / /outer rw - overlay overlay rw,lowerdir=/b,upperdir=/inner/up,workdir=/inner/w\n"
        )
    };
    let devices = [("dm-0", "254:0", LUKS, &["sdb"] as &[_]), SDA, SDB];
    for (upper, expected) in [("/luks/up", Encrypted), ("/var/up", Plain), ("/outer/loop", Unknown)] {
        let machine = machine("8:0", &devices);
        machine.write("proc/self/mountinfo", &mounts(upper));
        assert_eq!(examine(machine.0.path(), false, "/outer/file").state, expected, "{upper}");
    }
    let machine = machine("8:0", &devices);
    machine.write("proc/self/mountinfo", "1 0 0:40 / / ro - overlay overlay ro,lowerdir=/a:/b\n");
    assert_eq!(machine.state(), Unknown, "an overlay without an upper folder");
}

#[test]
fn p5_what_cannot_be_read_is_unknown() {
    let gone = machine("254:0", &[("dm-0", "254:0", LUKS, &["sda"]), SDA]);
    std::fs::remove_dir_all(gone.0.path().join("sys/dev")).expect("removed");
    assert_eq!(gone.state(), Unknown, "sysfs without its index");
    let unreadable = machine("254:0", &[("dm-0", "254:0", LUKS, &["sda"]), SDA]);
    let table = unreadable.0.path().join("proc/self/mountinfo");
    std::fs::remove_file(&table).expect("removed");
    // A folder in its place cannot be read by root either, whom permissions do not stop.
    std::fs::create_dir(&table).expect("a folder");
    assert_eq!(unreadable.state(), Unknown, "a mount table that cannot be read");
    let torn = machine("254:0", &[("dm-0", "254:0", LUKS, &["sda"]), SDA]);
    torn.write("proc/self/mountinfo", "1 0 254:0 / / rw - ext4\ngarbage\n\u{0}\n");
    assert_eq!(torn.state(), Unknown, "a torn mount table");
}

#[test]
fn p5_other_file_systems_that_span_devices_are_followed_or_unknown() {
    let cases: [(&str, DiskState); 5] = [
        ("1 0 0:33 / / rw - zfs rpool/root rw\n", Unknown),
        ("1 0 0:34 / / rw - fuse.gocryptfs /home/.enc rw\n", Unknown),
        ("1 0 0:35 / / rw - virtiofs share rw\n", Unknown),
        ("1 0 0:36 / / rw - bcachefs /dev/sda:/dev/sdb rw\n", Plain),
        ("1 0 0:37 / / rw - ramfs none rw\n", Volatile),
    ];
    for (mounts, expected) in cases {
        let machine = machine("8:0", &[SDA, SDB]);
        machine.write("proc/self/mountinfo", mounts);
        assert_eq!(machine.state(), expected, "{mounts}");
    }
}

#[test]
fn p5_swap_on_zram_with_write_back_is_not_volatile() {
    let machine = machine("8:0", &[SDA, ("zram0", "253:0", None, &[])]);
    machine.write("proc/swaps", "Filename\tType\tSize\n/dev/zram0 partition 100 0 5\n");
    machine.write("sys/devices/virtual/block/zram0/backing_dev", "none\n");
    let state = |machine: &Machine| examine_swaps(machine.0.path(), false).expect("a list")[0].state;
    assert_eq!(state(&machine), Volatile);
    machine.write("sys/devices/virtual/block/zram0/backing_dev", "/dev/sda\n");
    assert_eq!(state(&machine), Plain);
    machine.write("sys/devices/virtual/block/zram0/backing_dev", "/dev/gone\n");
    assert_eq!(state(&machine), Unknown);
}
