//! The census through the built programs: a store with an approved model and a file that can carry code are told apart,
//! the person here sees their names, and the organization sees numbers.

use std::path::Path;

use croft_e2e::wait;
use serde_json::Value;

use crate::Village;

const BASELINE: &str = "\
kind: Baseline
name: starter
version: 1
tier: 1
checks:
  self-test:
    mode: report
  census-conformity:
    mode: report
    subjects: [models-unsafe, models-unknown]
";

/// A pickle that would run a command if somebody loaded it.
const HOSTILE: &[u8] = b"cos\nsystem\n(S'echo harm'\ntR.";

fn write(home: &Path, file: &str, bytes: &[u8]) {
    let path = home.join(file);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
    std::fs::write(path, bytes).expect("a file");
}

/// A store of Ollama's with one model.
fn ollama(home: &Path, digest: &str, bytes: &[u8]) {
    let manifest = format!(
        r#"{{"layers":[{{"mediaType":"application/vnd.ollama.image.model","digest":"sha256:{digest}","size":1}}]}}"#
    );
    let name = ".ollama/models/manifests/registry.ollama.ai/library/merger-model/latest";
    write(home, name, manifest.as_bytes());
    write(home, &format!(".ollama/models/blobs/sha256-{digest}"), bytes);
}

fn tool<'a>(tools: &'a Value, name: &str) -> Option<&'a Value> {
    tools.as_array().into_iter().flatten().find(|tool| tool["tool"] == name)
}

#[test]
fn p6_models_of_other_tools_are_told_as_numbers_and_shown_here_by_name() {
    let village = Village::with(BASELINE, "info");
    let station = &village.workstation;
    let home = station.folder.join("home");
    let starter = croft_e2e::controller::starter_model();
    let summed = std::process::Command::new("sha256sum").arg(&starter).output().expect("sha256sum runs");
    let sha256 = String::from_utf8_lossy(&summed.stdout).chars().take(64).collect::<String>();
    ollama(&home, &sha256, &std::fs::read(&starter).expect("the starter model"));
    write(&home, ".local/share/nomic.ai/GPT4All/secret-project.pt", HOSTILE);
    let invite = village.fleet.invite(&[]).expect("an invite");
    station.croft(&["enroll", &invite, "--yes"]).expect("enrollment");
    station.wait_until_serving(60).expect("serving");

    let seen = station.croft_json(&["census"]).expect("a census");
    let found = &seen["found"]["tools"];
    let model = &tool(found, "ollama").expect("Ollama's store")["stores"][0]["models"][0];
    assert_eq!(
        (model["name"].as_str(), model["standing"].as_str()),
        (Some("merger-model:latest"), Some("approved"))
    );
    let model = &tool(found, "gpt4all").expect("GPT4All's store")["stores"][0]["models"][0];
    assert_eq!(
        (model["standing"].as_str(), model["scan"].as_str()),
        (Some("unknown"), Some("refused")),
        "{model}"
    );

    let evidence = wait::until("evidence with the stores", 60, || {
        let sent = station.croft_json(&["privacy"]).map_err(|e| e.to_string())?;
        let last = sent["sent"].as_array().into_iter().flatten().rfind(|message| message["kind"] == "Attest");
        let text = last.and_then(|message| message["content"]["text"].as_str()).ok_or("no evidence yet")?;
        let evidence: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
        if tool(&evidence["census"], "gpt4all").is_some() { Ok(evidence) } else { Err(text.to_owned()) }
    })
    .expect("evidence");
    assert_eq!(tool(&evidence["census"], "ollama").expect("Ollama")["models"]["approved"], 1);
    let told = &tool(&evidence["census"], "gpt4all").expect("GPT4All")["models"];
    assert_eq!((&told["unknown"], &told["refused"]), (&1.into(), &1.into()));
    for name in ["merger", "secret-project", ".ollama"] {
        assert!(!evidence.to_string().contains(name), "{evidence}");
    }
    let why = station.croft(&["why"]).expect("why");
    let text = format!("{why:?}");
    assert!(text.contains("census-conformity models-unsafe"), "{text}");
}

#[test]
fn an_approved_model_is_taken_over_from_another_tools_store_without_a_network() {
    let mut village = Village::with(BASELINE, "info").enrolled();
    let home = village.workstation.folder.join("home");
    let starter = croft_e2e::controller::starter_model();
    let summed = std::process::Command::new("sha256sum").arg(&starter).output().expect("sha256sum runs");
    let sha256 = String::from_utf8_lossy(&summed.stdout).chars().take(64).collect::<String>();
    // A plain file under a name that says nothing: it is known by its content.
    let bytes = std::fs::read(&starter).expect("the starter model");
    write(&home, ".local/share/nomic.ai/GPT4All/renamed.gguf", &bytes);
    let shown = village.workstation.croft_json(&["adopt", "--dry-run"]).expect("a list");
    assert_eq!(shown[0]["state"], "here", "{shown}");

    village.fleet.kill_controller();
    village.workstation.stop().expect("a stopped daemon");
    let blob = village.workstation.state().join("store/sha256").join(&sha256);
    std::fs::remove_file(&blob).unwrap_or_else(|e| panic!("{}: {e}", blob.display()));
    village.workstation.start().expect("a running daemon");
    let shown = village.workstation.croft_json(&["adopt", "--dry-run"]).expect("a list");
    assert_eq!(
        (shown[0]["state"].as_str(), shown[0]["bundle"].as_str()),
        (Some("can-be-adopted"), Some("starter@1"))
    );
    village.workstation.croft(&["adopt", "--yes"]).expect("adoption");
    village.workstation.wait_until_serving(60).expect("serving");
    wait::until("the adopted model is in the store", 60, || {
        if blob.is_file() { Ok(()) } else { Err(village.workstation.log()) }
    })
    .expect("the blob");
    assert_eq!(std::fs::read(&blob).expect("the blob"), bytes);
}
