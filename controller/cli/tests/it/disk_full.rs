//! An admin's disk that fills up: a clean error, nothing half-done, and the next attempt works.

use std::process::Command;

use crate::import::starter;
use crate::run::Place;

/// Fills the fleet's folder, imports, looks, frees the space, imports again. Everything happens inside one mount
/// namespace, so that no other process sees the small disk.
const SCRIPT: &str = r#"
mount -t tmpfs -o size=512k tmpfs fleet || exit 77
cat /dev/zero > fleet/filler 2>/dev/null
"$0" "$@" 2>&1; echo "exit $?"
find fleet -mindepth 1 -not -name filler -not -name drafts
rm fleet/filler
"$0" "$@" 2>/dev/null; echo "exit $?"
test -e fleet/drafts/starter.1/manifest.json && echo drafted
exit 0
"#;

#[test]
fn p9_a_full_disk_leaves_no_part_of_a_draft() {
    let place = Place::new();
    place.write("model.gguf", &starter());
    std::fs::create_dir(place.path("fleet")).expect("a folder");
    let mut command = Command::new("unshare");
    // As root a mount namespace is enough; else a user namespace gives the right to mount.
    if !rustix::process::getuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    let output = command
        .args(["--mount", "sh", "-c", SCRIPT])
        .arg(assert_cmd::cargo::cargo_bin!("croftctl"))
        .args([
            "bundle",
            "import",
            "starter",
            "model.gguf",
            "--license",
            "Apache-2.0",
            "--source",
            "made here",
        ])
        .current_dir(place.path("."))
        .env("CROFTCTL_CONFIG", place.fleet())
        .output();
    let made = output.as_ref().is_ok_and(|output| !matches!(output.status.code(), Some(77 | 1 | 126 | 127)));
    if !made {
        eprintln!("no small disk can be mounted here ({output:?}): the failed write is tested in its place");
        return without_mount(&place);
    }
    let said = String::from_utf8_lossy(&output.expect("it ran").stdout).into_owned();
    let (full, freed) = said.split_once("exit 1\n").unwrap_or_else(|| panic!("it must fail: {said}"));
    assert!(
        full.contains("error[E-DISK-FULL]: cannot write ") && full.contains("\nhint: free space"),
        "{said}"
    );
    assert_eq!(freed, "starter@1\nexit 0\ndrafted\n");
}

/// A file where a folder must be is a write that fails, for root as well.
fn without_mount(place: &Place) {
    place.write("fleet/drafts", b"in the way");
    let output = place.run(&[
        "bundle",
        "import",
        "starter",
        "model.gguf",
        "--license",
        "Apache-2.0",
        "--source",
        "made here",
    ]);
    let talk = String::from_utf8_lossy(&output.stderr);
    assert!(
        talk.starts_with("error[E-STATE-UNWRITABLE]: ") || talk.contains("error[E-STATE-UNWRITABLE]"),
        "{talk}"
    );
    assert_eq!(std::fs::read(place.path("fleet/drafts")).expect("still there"), b"in the way");
}
