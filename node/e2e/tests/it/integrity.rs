//! Only approved bytes run: what was tampered with is refused at load, and mended from the controller.

use std::path::PathBuf;

use croft_e2e::wait;

use crate::Village;

/// Stops both, changes the stored blob, starts the node alone, and gives what `croft models` then says.
fn tamper(village: &mut Village, change: impl FnOnce(&mut Vec<u8>), code: &str) {
    village.workstation.stop().expect("a stopped daemon");
    village.fleet.stop_controller().expect("a stopped controller");
    let blob = blob(village);
    let mut bytes = std::fs::read(&blob).expect("the blob");
    change(&mut bytes);
    std::fs::remove_file(&blob).expect("the blob is replaced");
    std::fs::write(&blob, bytes).expect("the blob is replaced");
    village.workstation.start().expect("a running daemon");
    wait::until("the tampered model is refused", 30, || {
        let models = village.workstation.models().map_err(|e| e.to_string())?.to_string();
        if models.contains(code) && !models.contains("\"loaded\"") { Ok(()) } else { Err(models) }
    })
    .expect("refusal");
    village.fleet.start_controller().expect("a running controller");
    village.workstation.wait_until_serving(60).expect("mended");
}

fn blob(village: &Village) -> PathBuf {
    let store = village.workstation.state().join("store/sha256");
    std::fs::read_dir(store).expect("the store").next().expect("a blob").expect("a blob").path()
}

#[test]
fn p2_a_flipped_byte_is_refused_at_load() {
    let mut village = Village::serving();
    tamper(
        &mut village,
        |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        },
        "E-BLOB-CORRUPT",
    );
}

#[test]
fn p2_a_truncated_model_is_refused_at_load() {
    let mut village = Village::serving();
    tamper(&mut village, |bytes| bytes.truncate(bytes.len() - 1000), "E-BLOB-TRUNCATED");
}

#[test]
fn p2_another_models_bytes_under_the_same_name_are_refused_at_load() {
    let mut village = Village::serving();
    let other = croft_e2e::binaries::repository().join("playbooks/starter-model/croft-starter-f16.gguf");
    let other = std::fs::read(other).expect("the other model");
    tamper(
        &mut village,
        |bytes| {
            let len = bytes.len();
            *bytes = other[..len].to_vec();
        },
        "E-BLOB-CORRUPT",
    );
}

#[test]
fn p2_a_corrupt_gguf_is_not_imported() {
    let village = Village::new();
    let good = std::fs::read(croft_e2e::controller::starter_model()).expect("the model");
    let bent = village.folder.path().join("bent.gguf");
    for (at, value) in [(4_usize, 9_u8), (8, 255), (15, 127)] {
        let mut bytes = good.clone();
        bytes[at] = value;
        std::fs::write(&bent, bytes).expect("a file");
        let file = bent.display().to_string();
        let refused = village
            .fleet
            .try_ctl(&[
                "bundle",
                "import",
                "bent",
                &file,
                "--license",
                "Apache-2.0",
                "--source",
                "test",
                "--unlisted",
            ])
            .expect("croftctl runs");
        crate::assert_refused(&refused, "E-VET-REFUSED");
    }
    let bundles = village.fleet.ctl_json(&["get", "bundles"]).expect("bundles");
    assert!(!bundles.to_string().contains("bent"), "{bundles}");
}
