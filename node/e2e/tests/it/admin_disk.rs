//! The admin's folder after a crash or a bad disk: each file of it cut off, emptied or gone. croftctl says which and what
//! to do, and does not go on with half of it.

use std::path::{Path, PathBuf};

use crate::Village;

/// Every regular file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() { found.extend(files(&entry)) } else { found.push(entry) }
    }
    found.sort();
    found
}

/// What croftctl must refuse with a code and a hint while the folder is as it is.
#[track_caller]
fn refuses(village: &Village, what: &str) {
    let output = village.fleet.try_ctl(&["trust", "refresh"]).expect("croftctl runs");
    assert_eq!(output.code, Some(1), "{what}: {output:?}");
    let said = &output.stderr;
    assert!(
        said.contains("error[E-") && said.contains("hint: ") && !said.contains("E-INTERNAL"),
        "{what}: {output:?}"
    );
}

#[test]
fn p9_a_half_written_metadata_folder_of_the_admin_is_an_error_with_its_cure() {
    let village = Village::new();
    let config = village.fleet.ctl_config();
    let repository = config.join("repository");
    let named = std::fs::read_to_string(repository.join("metadata/targets.json")).expect("targets metadata");
    let mut damaged = 0;
    for path in files(&repository).into_iter().chain([config.join("fleet.toml"), config.join("floors.json")])
    {
        let whole = std::fs::read(&path).expect("a file");
        // What an older set left behind is not read any more: no metadata names its digest.
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let digest = name.split('.').next().filter(|digest| digest.len() == 64);
        if digest.is_some_and(|digest| !named.contains(digest)) {
            continue;
        }
        let shown = path.strip_prefix(&config).expect("below").display().to_string();
        for (how, bytes) in [("cut", &whole[..whole.len() / 2]), ("emptied", &[][..])] {
            std::fs::write(&path, bytes).expect("written");
            refuses(&village, &format!("{shown} {how}"));
        }
        std::fs::remove_file(&path).expect("removed");
        if path.ends_with("working.json") {
            // What was to be signed next begins again from what is signed; nothing that anybody saw is lost.
            village.fleet.ctl(&["trust", "refresh"]).expect("begun again");
        } else {
            refuses(&village, &format!("{shown} gone"));
        }
        std::fs::write(&path, &whole).expect("restored");
        damaged += 1;
    }
    assert!(damaged > 5, "only {damaged} files");
    let aside = config.join("aside");
    std::fs::rename(&repository, &aside).expect("taken away");
    refuses(&village, "repository gone");
    std::fs::rename(&aside, &repository).expect("put back");
    // Without its settings it is no new folder: init makes nothing over it, and import does not go on without a fleet.
    let settings = config.join("fleet.toml");
    std::fs::rename(&settings, &aside).expect("taken away");
    let model = croft_e2e::controller::starter_model().display().to_string();
    let import = ["bundle", "import", "m", &model, "--license", "MIT", "--source", "x"];
    let output = village.fleet.try_ctl(&import).expect("croftctl runs");
    crate::assert_refused(&output, "E-STATE-CORRUPT");
    assert!(output.stderr.contains("hint: restore fleet.toml"), "{output:?}");
    std::fs::rename(&aside, &settings).expect("put back");
    village.fleet.ctl(&["trust", "refresh"]).expect("whole again");
}
