//! Small trees, each with one thing that a machine says about itself.

use std::path::PathBuf;

use tempfile::TempDir;

use super::*;

fn tree(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (file, content) in files {
        let path: PathBuf = folder.path().join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        fs::write(path, content).expect("a file");
    }
    folder
}

fn stands(files: &[(&str, &[u8])], subject: &str) -> Option<bool> {
    let root = tree(files);
    let found = examine(root.path(), root.path());
    found.into_iter().find(|defense| defense.subject == subject).expect("a defense").stands.ok()
}

const SECURE_BOOT: &str = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";

#[test]
fn p5_a_machine_that_says_nothing_is_unknown_in_everything() {
    let root = tree(&[]);
    let found = examine(root.path(), root.path());
    assert_eq!(found.len(), 5);
    assert!(found.iter().all(|d| d.stands.is_err() && d.confidence == Confidence::None), "{found:?}");
}

#[test]
fn secure_boot_is_the_firmwares_word() {
    assert_eq!(stands(&[(SECURE_BOOT, &[6, 0, 0, 0, 1])], "secure-boot"), Some(true));
    assert_eq!(stands(&[(SECURE_BOOT, &[6, 0, 0, 0, 0])], "secure-boot"), Some(false));
    assert_eq!(stands(&[(SECURE_BOOT, &[1])], "secure-boot"), None);
    assert_eq!(stands(&[("sys/firmware/efi/runtime", b"")], "secure-boot"), None);
}

#[test]
fn time_is_synchronized_when_its_service_says_so() {
    assert_eq!(stands(&[("run/systemd/timesync/synchronized", b"")], "time-sync"), Some(true));
    assert_eq!(stands(&[("run/systemd/timesync/clock", b"")], "time-sync"), Some(false));
}

#[test]
fn a_firewall_that_is_turned_off_is_found() {
    assert_eq!(stands(&[("etc/ufw/ufw.conf", b"# ENABLED=yes\nENABLED=no\n")], "firewall"), Some(false));
    assert_eq!(stands(&[("etc/ufw/ufw.conf", b"ENABLED=\"yes\"\n")], "firewall"), Some(true));
    let both: &[(&str, &[u8])] = &[(FIREWALLS[0], b""), ("etc/ufw/ufw.conf", b"ENABLED=no\n")];
    assert_eq!(stands(both, "firewall"), Some(true));
}

#[test]
fn a_screen_lock_is_on_unless_turned_off() {
    let file = ".config/kscreenlockerrc";
    assert_eq!(stands(&[(file, b"[Daemon]\nAutolock=false\n")], "screen-lock"), Some(false));
    assert_eq!(stands(&[(file, b"[Daemon]\nTimeout=5\n")], "screen-lock"), Some(true));
}

#[test]
fn p5_a_pipe_in_the_place_of_a_desktops_settings_makes_nobody_wait_and_is_no_answer() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let home = tree(&[(".config/other", b"")]);
    let path = home.path().join(".config/kscreenlockerrc");
    mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a pipe");
    assert!(screen_lock(home.path(), home.path()).stands.is_err());
    fs::remove_file(&path).expect("removed");
    std::os::unix::fs::symlink("/dev/zero", &path).expect("a link to what never ends");
    assert!(screen_lock(home.path(), home.path()).stands.is_err());
}

#[test]
fn patches_that_wait_for_a_restart_are_found() {
    let hook: (&str, &[u8]) = ("usr/share/update-notifier/notify-reboot-required", b"");
    assert_eq!(stands(&[("run/reboot-required", b""), hook], "patches"), Some(false));
    assert_eq!(stands(&[hook], "patches"), Some(true));
}

#[test]
fn the_machine_that_runs_the_tests_gives_five_answers() {
    assert_eq!(examine(Path::new("/"), Path::new("/nonexistent")).len(), 5);
}

#[test]
fn p5_the_clock_of_a_machine_without_timesyncd_is_what_timedatectl_said() {
    let recorded = |said: &str| serde_json::json!({"outputs": {"timedatectl ": said}}).to_string();
    for (said, expected) in [("yes\n", Some(true)), ("no\n", Some(false)), ("maybe\n", None), ("", None)] {
        let recorded = recorded(said);
        let file: (&str, &[u8]) = ("croft/recorded.json", recorded.as_bytes());
        assert_eq!(stands(&[file], "time-sync"), expected, "{said:?}");
    }
    // The service's own word comes first.
    let recorded = recorded("yes\n");
    let both: &[(&str, &[u8])] =
        &[("run/systemd/timesync/clock", b""), ("croft/recorded.json", recorded.as_bytes())];
    assert_eq!(stands(both, "time-sync"), Some(false));
}

/// A program that takes gsettings' place.
fn gsettings(folder: &Path, body: &str) -> String {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join("gsettings");
    fs::write(&path, format!("#!/bin/sh\n{body}\n")).expect("a program");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
    path.to_str().expect("a path").to_owned()
}

#[test]
fn p5_gnomes_lock_counts_only_for_the_account_that_runs_gnome_and_asks_for_its_own() {
    let desktop = tree(&[("proc/7/comm", b"gnome-shell\n")]);
    let home = desktop.path();
    // What it is asked, and for whom, is part of the answer.
    let said = gsettings(
        home,
        "test \"$HOME $*\" = \"$HOME get org.gnome.desktop.screensaver lock-enabled\" && echo true",
    );
    assert_eq!(gnome_lock(home, home, &said).as_deref(), Some("true\n"));
    let off = gsettings(home, "echo false");
    assert_eq!(gnome_lock(home, home, &off).as_deref(), Some("false\n"));
    let fails = gsettings(home, "echo true; exit 1");
    assert_eq!(gnome_lock(home, home, &fails), None);
    let without = tree(&[("proc/7/comm", b"sway\n")]);
    assert_eq!(gnome_lock(without.path(), home, &off), None);
    assert_eq!(gnome_lock(home, Path::new("/nonexistent"), &off), None, "somebody else's home");
    // A captured tree is never a reason to run anything.
    assert!(
        examine(home, home).iter().all(|defense| defense.subject != "screen-lock" || defense.stands.is_err())
    );
}
