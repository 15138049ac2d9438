//! The owner hears of it before it blocks, by a program that only the owner can name.

use std::os::unix::fs::PermissionsExt;

use croft_e2e::wait;

use crate::Village;

/// What this machine lacks is told, and blocks in a day.
const WARNING_BASELINE: &str = "\
kind: Baseline
name: starter
version: 1
tier: 1
checks:
  endpoint:
    mode: warn
    grace_s: 86400
    subjects: [screen-lock]
  self-test:
    mode: block
";

#[test]
fn p8_what_will_block_is_told_by_the_owners_program_and_counted_down_in_the_status() {
    let mut village = Village::with(WARNING_BASELINE, "info");
    let (script, heard) = (village.folder.path().join("notify"), village.folder.path().join("heard"));
    let text = format!("#!/bin/sh\nprintf '%s|' \"$@\" >> {}\n", heard.display());
    std::fs::write(&script, text).expect("a script");
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).expect("an executable script");
    let notify =
        format!("[notify]\nprogram = \"{}\"\narguments = [\"--app-name=Croft\"]\n", script.display());
    village.workstation.configure(&notify).expect("a configuration");
    village.workstation.stop().expect("a stopped daemon");
    village.workstation.start().expect("a running daemon");
    let village = village.enrolled();
    let expected = "--app-name=Croft|Croft|Croft will stop serving in ";
    let told = wait::until("the owner is told", 60, || {
        let heard = std::fs::read_to_string(&heard).map_err(|e| e.to_string())?;
        if heard.contains(expected) { Ok(heard) } else { Err(heard) }
    });
    let told = told.expect("a notice");
    assert!(told.contains("endpoint on screen-lock; croft why says what to do|"), "{told}");
    let status = village.workstation.croft(&["status"]).expect("a status");
    assert!(status.stdout.contains("warning      endpoint on screen-lock blocks serving in "), "{status:?}");
}
