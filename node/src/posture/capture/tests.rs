//! A capture of the machine that runs the tests replays to the same verdicts, and names nothing.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::*;

fn unpacked(archive: &Path) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let status = Command::new("tar").arg("xf").arg(archive).arg("-C").arg(folder.path()).status();
    assert!(status.expect("tar runs").success());
    folder
}

fn captured(paths: &[String], names: &mut Names) -> (Vec<DiskFinding>, TempDir, Vec<u8>) {
    let place = tempfile::tempdir().expect("a folder");
    let archive = place.path().join("capture.tar");
    let findings = write(File::create(&archive).expect("a file"), paths, names).expect("a capture");
    (findings, unpacked(&archive), std::fs::read(&archive).expect("the archive"))
}

#[test]
fn this_machines_verdicts_replay_from_its_capture() {
    let temporary = std::env::temp_dir().join("croft-secret-project-4711");
    std::fs::create_dir_all(&temporary).expect("a folder");
    let asked =
        vec!["/".to_owned(), "/proc".to_owned(), temporary.display().to_string(), "/no/such".to_owned()];
    for mut names in [Names::kept(), Names::replaced()] {
        let (findings, root, bytes) = captured(&asked, &mut names);
        let text = std::fs::read(root.path().join(EXPECTED)).expect("what was concluded");
        let expected: Vec<Expected> = serde_json::from_slice(&text).expect("verdicts");
        assert_eq!(expected.len(), findings.len());
        let swaps = disk::examine_swaps(root.path(), false).expect("the list");
        for expected in &expected[..asked.len()] {
            let replayed = disk::examine(root.path(), false, &expected.path);
            assert_eq!(
                (replayed.state, replayed.confidence),
                (expected.state, expected.confidence),
                "{replayed:#?} {findings:#?}"
            );
        }
        let of_swaps: Vec<_> = swaps.iter().map(|swap| (swap.path.clone(), swap.state)).collect();
        let wanted: Vec<_> = expected[asked.len()..].iter().map(|e| (e.path.clone(), e.state)).collect();
        assert_eq!(of_swaps, wanted);
        let holds = |needle: &str| bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
        assert_eq!(holds("secret-project"), names_are_kept(&mut names));
    }
    std::fs::remove_dir_all(temporary).expect("removed");
}

fn names_are_kept(names: &mut Names) -> bool {
    names.part("secret-project") == "secret-project"
}

/// A machine whose every name is a secret, with its verdicts.
fn secretive() -> (TempDir, Vec<(&'static str, croft_domain::fact::DiskState)>) {
    use croft_domain::fact::DiskState::{Encrypted, Plain};
    let root = tempfile::tempdir().expect("a folder");
    let write = |file: &str, text: &str| {
        let path: PathBuf = root.path().join(file);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        std::fs::write(path, text).expect("a file");
    };
    write(
        "proc/self/mountinfo",
        "1 0 254:1 / / rw,relatime shared:1 - ext4 /dev/mapper/vg--alice-root rw,errors=remount-ro\n\
         2 1 8:1 / /mnt/merger\\040acme rw - ext4 /dev/disk/by-label/ACME rw\n\
         3 1 0:50 / /home/alice/nfs rw - nfs4 files.acme.example:/export/alice rw,addr=10.1.2.3\n\
         4 1 0:51 / /over rw - overlay overlay rw,lowerdir=/acme,upperdir=/home/alice/up,workdir=/acme2\n",
    );
    write(
        "proc/swaps",
        "Filename Type\n/dev/vg-alice/swap partition 1 0 1\n/home/alice/swapfile file 1 0 1\n",
    );
    write("proc/sys/kernel/osrelease", "6.1.0-alicebuild\n");
    write("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\nHOME_URL=https://acme.example/alice\n");
    let device = |name: &str, numbers: &str, uuid: &str, mapped: &str, slaves: &[&str]| {
        let folder = format!("sys/devices/pci0000:00/WWN-5000ACME/{name}");
        write(&format!("{folder}/dev"), &format!("{numbers}\n"));
        write(&format!("{folder}/serial"), "ACMESERIAL1234\n");
        std::fs::create_dir_all(root.path().join(&folder).join("slaves")).expect("folders");
        if uuid.is_empty() {
            write(&format!("{folder}/device/model"), "ACME DISK\n");
        } else {
            write(&format!("{folder}/dm/uuid"), &format!("{uuid}\n"));
            write(&format!("{folder}/dm/name"), &format!("{mapped}\n"));
        }
        for slave in slaves {
            let link = root.path().join(&folder).join("slaves").join(slave);
            std::os::unix::fs::symlink(format!("../../{slave}"), link).expect("a link");
        }
        for (place, link) in [("sys/dev/block", numbers), ("sys/class/block", name)] {
            std::fs::create_dir_all(root.path().join(place)).expect("folders");
            let target = format!("../../devices/pci0000:00/WWN-5000ACME/{name}");
            let target = target.replacen("../../", "../".repeat(place.split('/').count() - 1).as_str(), 1);
            std::os::unix::fs::symlink(target, root.path().join(place).join(link)).expect("a link");
        }
    };
    device(
        "dm-0",
        "254:0",
        "CRYPT-LUKS2-aaaabbbbccccddddeeeeffff00001111-acme_crypt",
        "acme_crypt",
        &["sda"],
    );
    device("dm-1", "254:1", "LVM-AbCdEfAlice", "vg--alice-root", &["dm-0"]);
    device("dm-2", "254:2", "LVM-XyZAlice", "vg--alice-swap", &["dm-0"]);
    device("sda", "8:1", "", "", &[]);
    (root, vec![("/", Encrypted), ("/mnt/merger acme", Plain), ("/over", Encrypted)])
}

#[test]
fn p6_no_name_that_somebody_gave_is_left_and_the_verdicts_stay() {
    let (root, wanted) = secretive();
    let mut names = Names::replaced();
    let mut tree = Tree::default();
    tree.machine(root.path(), &mut names);
    let place = tempfile::tempdir().expect("a folder");
    let archive = place.path().join("capture.tar");
    tree.write(File::create(&archive).expect("a file")).expect("written");
    let text = String::from_utf8_lossy(&std::fs::read(&archive).expect("read")).to_lowercase();
    for secret in [
        "alice", "acme", "merger", "aaaabbbb", "abcdef", "xyz", "serial", "wwn", "pci", "10.1.2.3", "example",
    ] {
        assert!(!text.contains(secret), "{secret} is in the capture");
    }
    let redacted = unpacked(&archive);
    for (path, state) in wanted {
        assert_eq!(disk::examine(root.path(), false, path).state, state, "{path} before");
        let found = disk::examine(redacted.path(), false, &names.path(path));
        assert_eq!(found.state, state, "{path}: {found:#?}");
    }
    let states = |root: &Path| {
        let areas = disk::examine_swaps(root, false).expect("the list");
        areas.into_iter().map(|area| (area.state, area.confidence)).collect::<Vec<_>>()
    };
    assert_eq!(states(root.path()), states(redacted.path()));
    assert!(!states(root.path()).is_empty());
}

#[test]
fn the_kernels_own_words_stay_and_all_others_go() {
    let mut names = Names::replaced();
    for word in ["sda", "sda1", "nvme0n1p2", "dm-3", "loop7", "zram0", "home", "mapper"] {
        assert_eq!(names.part(word), word);
    }
    for word in ["sdcard-alice", "mdalice", "ramona", "luks-1234", "alice", "vg0"] {
        assert_ne!(names.part(word), word);
    }
    assert_eq!(names.part("alice"), names.part("alice"));
    let (whole, apart) = (names.mapped("my--group-my--volume"), names.path("/dev/my-group/my-volume"));
    assert_eq!(format!("/dev/{}", whole.replace('-', "/")), apart);
    assert_eq!(
        names.uuid("CRYPT-VERITY-secret-x").split('-').take(2).collect::<Vec<_>>(),
        ["CRYPT", "VERITY"]
    );
    assert_eq!(
        names.output("dmsetup", "0 10 crypt aes-xts-plain64 :64:logon:alice 0 8:1 0\n"),
        "0 10 crypt aes-xts-plain64\n"
    );
}
