//! The playbooks, run once against a throw-away root.

use std::process::Command;

use croft_e2e::{binaries, process};

#[test]
fn both_playbooks_install_into_a_throwaway_root_and_are_idempotent() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = binaries::repository().join("playbooks/tests/throwaway-root.sh");
    let output = process::must(
        Command::new("bash").arg(script).arg(folder.path()).arg(binaries::folder().expect("the binaries")),
    )
    .expect("the playbooks run");
    assert!(output.says("the second run changed nothing"), "a second run changed something: {output:?}");
}
