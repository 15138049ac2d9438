//! What a person signed about a report is checked by anybody, offline, and not a byte of it can be changed.

use std::path::Path;
use std::process::Command;

use crate::{Village, assert_refused};

/// The commands of `VERIFY.txt`, as somebody without Croft types them.
fn openssl_accepts(folder: &Path) -> bool {
    let script = "(printf 'croft/review/v1\\000'; cat review.json) > signed.bin &&
        openssl dgst -sha256 -verify reviewer.pem -signature review.sig signed.bin";
    let done = Command::new("sh").arg("-c").arg(script).current_dir(folder).output().expect("a shell");
    String::from_utf8_lossy(&done.stdout).contains("Verified OK")
}

#[test]
fn p7_a_signed_review_verifies_offline_and_an_altered_one_is_refused() {
    let mut village = Village::serving();
    village.fleet.ctl(&["audit", "checkpoint"]).expect("a checkpoint");
    village.fleet.ctl(&["report", "create"]).expect("a report");
    let folder = village.folder.path().join("review");
    let out = folder.display().to_string();
    let review = [
        "report",
        "review",
        "--reviewer",
        "Ada",
        "--outcome",
        "accepted",
        "--comment",
        "no finding",
        "--out",
        &out,
    ];
    assert_refused(&village.fleet.try_ctl(&review).expect("croftctl runs"), "E-NOT-FOUND");
    let key = village.fleet.ctl(&["report", "key"]).expect("a key").stdout.trim().to_owned();
    village.fleet.ctl(&review).expect("a review");
    village.fleet.stop_controller().expect("nobody to ask");

    let held = village.fleet.ctl(&["report", "verify", &out]).expect("it holds");
    assert!(held.stdout.contains("the review holds: accepted by Ada"), "{held:?}");
    assert!(held.stdout.contains("1 chains with"), "{held:?}");
    // An auditor has no fleet, only the folder and what the reviewer said of the key.
    let stranger = village.folder.path().join("stranger");
    let at = |args: &[&str]| croft_e2e::controller::try_ctl_at(&stranger, args).expect("croftctl runs");
    assert_eq!(at(&["report", "verify", &out, "--key", &key]).code, Some(0));
    let other = format!("sha256:{}", "00".repeat(32));
    assert_refused(&at(&["report", "verify", &out, "--key", &other]), "E-REVIEW-FORGED");
    assert!(openssl_accepts(&folder));

    for file in ["report.json", "report.html", "review.json", "review.sig"] {
        let path = folder.join(file);
        let bytes = std::fs::read(&path).expect("a file");
        let mut altered = bytes.clone();
        let middle = altered.len() / 2;
        altered[middle] ^= 1;
        std::fs::write(&path, altered).expect("an altered file");
        assert_refused(
            &village.fleet.try_ctl(&["report", "verify", &out]).expect("croftctl runs"),
            "E-REVIEW-FORGED",
        );
        std::fs::write(&path, bytes).expect("the file as it was");
    }
    village.fleet.ctl(&["report", "verify", &out]).expect("it holds again");
}
