//! Key and passphrase files as people get them wrong, and a change of passphrase.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::run::Place;

/// A place with an encrypted publisher's key and two passphrase files.
fn place() -> Place {
    let place = Place::new();
    for (name, text) in [("old", "correct horse\n"), ("new", "battery staple\n")] {
        private(&place.write(name, text.as_bytes()));
    }
    let made = place.run(&["trust", "make-key", "publisher", "--passphrase-file", "old"]);
    assert!(made.status.success(), "{made:?}");
    place
}

fn private(path: &Path) {
    mode(path, 0o600);
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("set");
}

/// What `trust change-passphrase targets` says; it opens the key and writes it again.
fn change(place: &Place, arguments: &[&str]) -> String {
    place.shown(&[&["trust", "change-passphrase", "targets"], arguments].concat())
}

#[test]
fn p3_a_passphrase_is_changed_and_the_old_one_opens_nothing() {
    let place = place();
    let before = std::fs::read(place.path("fleet/keys/targets.pub")).expect("a public part");
    let wrong = change(&place, &["--passphrase-file", "new", "--new-passphrase-file", "old"]);
    assert!(wrong.contains("does not open") && wrong.contains("hint: try again"), "{wrong}");
    insta::assert_snapshot!(change(&place, &["--passphrase-file", "old", "--new-passphrase-file", "new"]), @"
    exit: 0
    --- stdout
    --- stderr
    key targets now needs the new passphrase; backups of it still need the old one
    ");
    assert!(change(&place, &["--passphrase-file", "old", "--no-passphrase"]).contains("does not open"));
    assert!(change(&place, &["--passphrase-file", "new", "--no-passphrase"]).contains("no longer encrypted"));
    assert_eq!(std::fs::read(place.path("fleet/keys/targets.pub")).expect("a public part"), before);
    let key = std::fs::metadata(place.path("fleet/keys/targets.pk8")).expect("a key").permissions().mode();
    assert_eq!(key & 0o777, 0o600);
}

#[test]
fn a_change_that_cannot_be_made_leaves_the_key_as_it_was() {
    let place = place();
    let key = std::fs::read(place.path("fleet/keys/targets.pk8")).expect("a key");
    for (arguments, says) in [
        (&["--passphrase-file", "old"][..], "there is no terminal"),
        (&["--new-passphrase-file", "new"], "no passphrase was given"),
        (&["--passphrase-file", "old", "--new-passphrase-file", "missing"], "cannot read missing"),
    ] {
        let said = change(&place, arguments);
        assert!(said.contains("error[E-KEY]") && said.contains(says) && said.contains("hint: "), "{said}");
    }
    let unknown = place.shown(&["trust", "change-passphrase", "recall", "--no-passphrase"]);
    assert!(unknown.contains("error[E-NOT-FOUND]"), "{unknown}");
    assert_eq!(std::fs::read(place.path("fleet/keys/targets.pk8")).expect("a key"), key);
}

#[test]
fn p3_a_passphrase_file_that_others_may_read_is_refused_with_its_own_cure() {
    let place = place();
    mode(&place.path("old"), 0o644);
    let said = change(&place, &["--passphrase-file", "old", "--no-passphrase"]);
    assert!(said.contains("passphrase file old may be read by others (mode 0644)"), "{said}");
    assert!(said.contains("hint: chmod 600 FILE") && said.contains("change-passphrase"), "{said}");
    assert!(!said.contains("rotate-root"), "the key itself is not known to anybody: {said}");
}

#[test]
fn p3_key_files_that_are_wrong_are_refused_by_what_is_wrong() {
    let place = place();
    let key = place.path("fleet/keys/targets.pk8");
    mode(&key, 0o644);
    let said = change(&place, &["--passphrase-file", "old", "--no-passphrase"]);
    assert!(said.contains("may be read by others (mode 0644)") && said.contains("rotate-root"), "{said}");
    for (bytes, says) in [(&b"no key"[..], "is not a PKCS#8 P-256 key"), (&[0x30; 5000], "is not a PKCS#8")] {
        std::fs::write(&key, bytes).expect("written");
        private(&key);
        let said = change(&place, &["--passphrase-file", "old", "--no-passphrase"]);
        assert!(said.contains(says) && said.contains("hint: restore the file"), "{said}");
    }
}
