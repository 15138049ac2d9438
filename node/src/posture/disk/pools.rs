//! Whole ZFS machines as their own tools describe them, swap on what people put below it, and encryption by other names.

use croft_domain::fact::DiskState::{self, Encrypted, Plain, Unknown};

use super::topologies::machine;
use super::{LUKS, Machine};
use crate::posture::disk::{examine, examine_swaps};

type Device = super::topologies::Device;

const SDA: Device = ("sda", "8:0", None, &[]);
const SDB: Device = ("sdb", "8:16", None, &[]);
const SDC: Device = ("sdc", "8:32", None, &[]);
const LUKS_A: Device = ("dm-0", "254:0", LUKS, &["sda"]);
const LUKS_B: Device = ("dm-1", "254:1", LUKS, &["sdb"]);

/// `zpool list -vHPL` of a mirror, as OpenZFS 2.2 prints it.
fn mirror(members: [&str; 2], log: Option<&str>) -> String {
    let sizes = "928G\t412G\t516G\t-\t-\t11%\t44%\t1.00x\tONLINE\t-";
    let mut text = format!("rpool\t{sizes}\n\tmirror-0\t{sizes}\n");
    for member in members {
        text.push_str(&format!("\t\t{member}\t931G\t-\t-\t-\t-\t-\t-\t-\tONLINE\n"));
    }
    if let Some(log) = log {
        text.push_str(&format!(
            "logs\t-\t-\t-\t-\t-\t-\t-\t-\t-\n\t{log}\t8G\t0\t8G\t-\t-\t0%\t0.00%\t-\tONLINE\n"
        ));
    }
    text
}

fn properties(encryption: &str, status: &str, root: &str) -> String {
    format!("encryption\t{encryption}\nkeystatus\t{status}\nencryptionroot\t{root}\n")
}

/// A machine on a pool: what its tools say, by dataset and pool.
fn zfs(devices: &[Device], outputs: &[(&str, String)]) -> Machine {
    let machine = machine("0:30", devices);
    machine.write(
        "proc/self/mountinfo",
        "1 0 0:30 / / rw - zfs rpool/ROOT/debian rw,xattr,posixacl\n\
         2 1 0:31 / /home rw - zfs rpool/home rw,xattr\n\
         3 1 0:32 / /home/alice rw - zfs rpool/home/alice rw,xattr\n",
    );
    let outputs: serde_json::Map<_, _> =
        outputs.iter().map(|(key, text)| ((*key).to_owned(), text.clone().into())).collect();
    machine.write("croft/recorded.json", &serde_json::json!({ "outputs": outputs }).to_string());
    machine
}

#[test]
fn p5_a_pool_of_zfs_is_judged_dataset_by_dataset() {
    let off = || properties("off", "-", "-");
    let members = || mirror(["/dev/sda", "/dev/sdb"], None);
    let machine = zfs(
        &[SDA, SDB],
        &[
            ("zfs rpool/ROOT/debian", off()),
            ("zfs rpool/home", properties("aes-256-gcm", "available", "rpool/home")),
            ("zfs rpool/home/alice", properties("aes-256-gcm", "unavailable", "rpool/home")),
            ("zpool rpool", members()),
        ],
    );
    let state = |path: &str| examine(machine.0.path(), false, path).state;
    assert_eq!(state("/"), Plain, "a plain dataset on plain disks");
    assert_eq!(state("/home/bob"), Encrypted, "its own encryption");
    assert_eq!(state("/home/alice"), Unknown, "a key that is not there cannot have been used to write");
}

#[test]
fn p5_a_plain_dataset_is_as_safe_as_every_device_of_its_pool() {
    let cases = [
        ("a mirror of two LUKS", mirror(["/dev/dm-0", "/dev/dm-1"], None), Encrypted),
        ("a mirror of LUKS and plain", mirror(["/dev/dm-0", "/dev/sdb"], None), Plain),
        ("two LUKS with a plain log", mirror(["/dev/dm-0", "/dev/dm-1"], Some("/dev/sdc")), Plain),
        ("a member that is gone", mirror(["/dev/dm-0", "/dev/gone"], None), Unknown),
        ("a member by another name", mirror(["/dev/dm-0", "wwn-0x5000"], None), Unknown),
        ("a pool without devices", "rpool\t928G\n".to_owned(), Unknown),
    ];
    for (what, members, expected) in cases {
        let plain = ("zfs rpool/ROOT/debian", properties("off", "-", "-"));
        let machine = zfs(&[LUKS_A, LUKS_B, SDA, SDB, SDC], &[plain, ("zpool rpool", members)]);
        assert_eq!(machine.state(), expected, "{what}");
    }
    let silent = zfs(&[SDA], &[("zfs rpool/ROOT/debian", properties("off", "-", "-"))]);
    assert_eq!(silent.state(), Unknown, "a pool that its tool does not list");
}

#[test]
fn p5_swap_is_as_safe_as_what_it_lies_on() {
    let state = |area: &str, devices: &[Device]| {
        let machine = machine("8:32", devices);
        machine.write("proc/swaps", &format!("Filename\tType\tSize\n{area} 100 0 5\n"));
        examine_swaps(machine.0.path(), false).expect("a list")[0].state
    };
    assert_eq!(state("/dev/dm-0 partition", &[LUKS_A, SDA, SDC]), Encrypted);
    // Plain dm-crypt with a key made anew at each start, as crypttab(5) makes it.
    let random: Device = ("dm-5", "254:5", Some("CRYPT-PLAIN-cryptswap"), &["sda"]);
    assert_eq!(state("/dev/dm-5 partition", &[random, SDA, SDC]), Encrypted);
    assert_eq!(
        state("/dev/md0 partition", &[("md0", "9:0", None, &["dm-0", "sdb"]), LUKS_A, SDA, SDB, SDC]),
        Plain
    );
    // A volume of ZFS: nothing in sysfs says what it rests on.
    assert_eq!(state("/dev/zd0 partition", &[("zd0", "230:0", None, &["nothing"]), SDC]), Unknown);
    assert_eq!(state("/swapfile file", &[SDC]), Plain);
    assert_eq!(state("/swapfile\\040(deleted) file", &[]), Unknown);
    assert_eq!(state("/dev/sda something-new", &[SDA, SDC]), Unknown);
}

#[test]
fn p5_encryption_by_other_names_counts_and_names_alone_do_not() {
    let state = |uuid: &'static str| {
        let above: Device = ("dm-0", "254:0", Some(uuid), &["dm-1"]);
        machine("254:0", &[above, ("dm-1", "254:1", Some("CRYPT-SUBDEV-x"), &["sda"]), SDA]).state()
    };
    let cases: [(&str, DiskState); 10] = [
        // LUKS2 with integrity rests on an inner device of its own.
        ("CRYPT-LUKS2-0123-x", Encrypted),
        ("CRYPT-TCRYPT-0123-x", Encrypted),
        ("CRYPT-BITLK-0123-x", Encrypted),
        ("CRYPT-FVAULT2-0123-x", Encrypted),
        ("CRYPT-LUKS2", Plain),
        ("crypt-luks2-0123", Plain),
        ("LVM-CRYPT-LUKS2-0123", Plain),
        ("stratis-1-private-0123-physical-originsub", Plain),
        ("DM-CRYPT-LUKS2-x", Plain),
        ("", Plain),
    ];
    for (uuid, expected) in cases {
        assert_eq!(state(uuid), expected, "{uuid}");
    }
}

#[test]
fn p5_replicated_network_and_hidden_devices_are_followed_or_unknown() {
    let over: Device = ("dm-0", "254:0", LUKS, &["drbd0"]);
    let cases: [(&str, &str, &[Device], DiskState); 5] = [
        ("DRBD, which says nothing of its disk", "147:0", &[("drbd0", "147:0", None, &["gone"])], Unknown),
        ("LUKS on DRBD", "254:0", &[over, ("drbd0", "147:0", None, &["sda"]), SDA], Encrypted),
        ("a network block device", "43:0", &[("nbd0", "43:0", None, &["gone"])], Unknown),
        ("a disk on NVMe", "259:0", &[("nvme0n1", "259:0", None, &[])], Plain),
        ("a number that nobody has", "250:7", &[SDA], Unknown),
    ];
    for (what, root, devices, expected) in cases {
        assert_eq!(machine(root, devices).state(), expected, "{what}");
    }
}
