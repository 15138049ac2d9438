//! What comes in besides one chat model: a model in several files, one for embeddings, one of another architecture. Each is taken in
//! whole or not at all.

mod renamed;
mod split;

use std::path::{Path, PathBuf};

use croft_e2e::api::Api;
use croft_e2e::controller::starter_model;
use croft_e2e::wait;
use serde_json::json;

use crate::{Village, assert_refused};
use renamed::renamed;
use split::split;

const SHARDS: usize = 3;

fn shard(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("model-{number:05}-of-{SHARDS:05}.gguf"))
}

/// The starter model in three shards.
fn starter_in_shards(village: &Village) -> PathBuf {
    let folder = village.folder.path().join("shards");
    std::fs::create_dir(&folder).expect("a folder");
    split(&starter_model(), SHARDS, |number| shard(&folder, number));
    folder
}

#[test]
fn a_model_in_three_shards_answers_as_the_whole_one_does() {
    let village = Village::new();
    let folder = starter_in_shards(&village);
    village.fleet.publish_bundle("sharded", 1, &shard(&folder, 1)).expect("published");
    village.fleet.ctl(&["assign", "bundle", "sharded@1", "--group", "dev"]).expect("assigned");
    let village = village.enrolled();
    wait::until("both models are loaded", 60, || {
        let models = village.workstation.models().map_err(|e| e.to_string())?.to_string();
        if models.matches("\"loaded\"").count() == 2 { Ok(()) } else { Err(models) }
    })
    .expect("both are loaded");
    let api = Api::new(&village.workstation.gateway(), Some(&village.workstation.api_key().expect("a key")));
    let answer = |model: &str| {
        let body = json!({"model": model, "prompt": "fn add(a: i32", "max_tokens": 24, "temperature": 0});
        let answer = api.post("/v1/completions", &body).expect("an answer");
        assert_eq!(answer.status, 200, "{model}: {answer:?}");
        answer.body["choices"][0]["text"].clone()
    };
    assert_eq!(answer("sharded"), answer("starter"));
}

/// What import says to the shards after `change`.
#[track_caller]
fn refused(village: &Village, folder: &Path, code: &str, change: impl FnOnce(&dyn Fn(usize) -> PathBuf)) {
    let bent = village.folder.path().join("bent");
    std::fs::create_dir(&bent).expect("a folder");
    for number in 1..=SHARDS {
        std::fs::copy(shard(folder, number), shard(&bent, number)).expect("copied");
    }
    change(&|number| shard(&bent, number));
    let first = shard(&bent, 1).display().to_string();
    let import =
        ["bundle", "import", "bent", &first, "--license", "Apache-2.0", "--source", "test", "--unlisted"];
    assert_refused(&village.fleet.try_ctl(&import).expect("croftctl runs"), code);
    let vetted = village.fleet.try_ctl(&["vet", &bent.display().to_string()]).expect("croftctl runs");
    assert_ne!(vetted.code, Some(0), "{vetted:?}");
    std::fs::remove_dir_all(&bent).expect("removed");
}

/// Changes the bytes right behind the name of a key.
fn set(path: &Path, key: &str, at: usize, value: u8) {
    let mut bytes = std::fs::read(path).expect("a shard");
    let key_at = bytes.windows(key.len()).position(|part| part == key.as_bytes()).expect("the key");
    bytes[key_at + key.len() + at] = value;
    std::fs::write(path, bytes).expect("written");
}

#[test]
fn p2_shards_that_do_not_belong_together_are_not_imported() {
    let village = Village::new();
    let folder = starter_in_shards(&village);
    let vetted = village.fleet.try_ctl(&["vet", &folder.display().to_string()]).expect("croftctl runs");
    assert_eq!(vetted.code, Some(0), "{vetted:?}");
    refused(&village, &folder, "E-INPUT", |at| std::fs::remove_file(at(2)).expect("removed"));
    refused(&village, &folder, "E-VET-REFUSED", |at| {
        let held = at(9);
        std::fs::rename(at(2), &held).expect("renamed");
        std::fs::rename(at(3), at(2)).expect("renamed");
        std::fs::rename(held, at(3)).expect("renamed");
    });
    refused(&village, &folder, "E-VET-REFUSED", |at| {
        let others = village.folder.path().join("others");
        std::fs::create_dir(&others).expect("a folder");
        let other = starter_model().with_file_name("croft-starter-f16.gguf");
        // Cut elsewhere: what has the same tensors in the same places cannot be told apart but by digest.
        split(&other, SHARDS + 1, |number| shard(&others, number));
        std::fs::copy(shard(&others, 2), at(2)).expect("copied");
    });
    // Behind a key: four bytes of its type, then its value.
    refused(&village, &folder, "E-VET-REFUSED", |at| set(&at(1), "split.count", 4, 2));
    refused(&village, &folder, "E-VET-REFUSED", |at| set(&at(3), "split.count", 4, 4));
    refused(&village, &folder, "E-VET-REFUSED", |at| set(&at(2), "split.no", 4, 2));
    refused(&village, &folder, "E-VET-REFUSED", |at| set(&at(1), "split.tensors.count", 4, 255));
}

#[test]
fn a_model_for_embeddings_is_imported_without_a_template() {
    let village = Village::new();
    let model = village.folder.path().join("bert.gguf");
    let seed = croft_e2e::binaries::repository().join("proto/fuzz/seeds/gguf/bert");
    std::fs::copy(seed, &model).expect("copied");
    let file = model.display().to_string();
    let import =
        ["bundle", "import", "bert", &file, "--license", "Apache-2.0", "--source", "test", "--unlisted"];
    let checked = [&import[..], &["--check", "1+1=>2"]].concat();
    let output = village.fleet.try_ctl(&checked).expect("croftctl runs");
    assert!(output.stderr.contains("answers nothing"), "{output:?}");
    let output = village.fleet.ctl(&import).expect("imported");
    assert!(output.stderr.contains("chat with it is refused"), "{output:?}");
}

#[test]
fn p2_a_model_comes_in_only_from_the_fleets_signed_sources() {
    let village = Village::new();
    let file = starter_model().display().to_string();
    let import = |source: &str, more: &[&str]| {
        let arguments = ["bundle", "import", "listed", &file, "--license", "Apache-2.0", "--source", source];
        village.fleet.try_ctl(&[&arguments[..], more].concat()).expect("croftctl runs")
    };
    let hub = "https://hub.example/org";
    let refused = import("https://hub.example/org/m@1", &[]);
    assert_refused(&refused, "E-UNAPPROVED");
    assert!(refused.stderr.contains("hint: croftctl intake allow --source lists it"), "{refused:?}");
    village.fleet.ctl(&["intake", "allow", "--source", hub]).expect("allowed");
    for other in
        ["https://hub.example/org-evil/m", "HTTPS://hub.example/org/m", "https://hub.example@evil/org", "hub"]
    {
        assert_refused(&import(other, &[]), "E-UNAPPROVED");
    }
    for climbing in ["https://hub.example/org/../evil/m", "https://hub.example/org/%2e%2e/evil"] {
        assert_refused(&import(climbing, &["--unlisted"]), "E-INPUT");
        let allow = ["intake", "allow", "--source", climbing];
        assert_refused(&village.fleet.try_ctl(&allow).expect("croftctl runs"), "E-INPUT");
    }
    let license = village.fleet.try_ctl(&[
        "bundle",
        "import",
        "listed",
        &file,
        "--source",
        hub,
        "--license",
        "LicenseRef-Other",
    ]);
    assert_refused(&license.expect("croftctl runs"), "E-UNAPPROVED");
    assert!(!village.fleet.ctl_config().join("drafts/listed.1").exists(), "nothing was drafted");
    assert_eq!(import("https://hub.example/org/m@1", &[]).code, Some(0));
    // Approving is where the list binds: what was drafted under a list that is gone, or without one, is not signed.
    village.fleet.ctl(&["intake", "withdraw", "--source", hub]).expect("withdrawn");
    let approve = |bundle: &str, more: &[&str]| {
        village.fleet.try_ctl(&[&["bundle", "approve", bundle][..], more].concat()).expect("croftctl runs")
    };
    assert_refused(&approve("listed@1", &[]), "E-UNAPPROVED");
    assert_eq!(import("a friend", &["--unlisted"]).code, Some(0));
    assert_refused(&approve("listed@2", &[]), "E-UNAPPROVED");
    let approved = approve("listed@2", &["--allow-source"]);
    assert_eq!(approved.code, Some(0), "{approved:?}");
    let listed = village.fleet.ctl(&["intake", "list"]).expect("listed").stdout;
    assert!(listed.contains("a friend") && !listed.contains(hub), "{listed}");
}

#[test]
fn p2_an_operator_passes_only_by_the_fleets_signed_word() {
    let village = Village::new();
    let model = village.folder.path().join("custom.onnx");
    std::fs::write(&model, onnx("acme.ops", "Fuse")).expect("written");
    let vet = ["vet", &model.display().to_string()];
    let refused = village.fleet.try_ctl(&vet).expect("croftctl runs");
    assert!(refused.code == Some(1) && refused.stdout.contains("acme.ops"), "{refused:?}");
    let allow = ["intake", "allow", "--operator", "acme.ops::Fuse", "--reason", "read by the team"];
    village.fleet.ctl(&allow).expect("allowed");
    let listed = village.fleet.ctl(&["intake", "list"]).expect("listed").stdout;
    assert!(listed.contains("acme.ops::Fuse") && listed.contains("read by the team"), "{listed}");
    let passed = village.fleet.try_ctl(&vet).expect("croftctl runs");
    assert_eq!(passed.code, Some(0), "{passed:?}");
    std::fs::write(&model, onnx("acme.ops", "Other")).expect("written");
    assert_eq!(
        village.fleet.try_ctl(&vet).expect("croftctl runs").code,
        Some(1),
        "only the one that was named"
    );
    village.fleet.ctl(&["intake", "withdraw", "--operator", "acme.ops::Fuse"]).expect("withdrawn");
    std::fs::write(&model, onnx("acme.ops", "Fuse")).expect("written");
    assert_eq!(village.fleet.try_ctl(&vet).expect("croftctl runs").code, Some(1));
}

/// An ONNX model (onnx.proto) with one node of `operator` in `domain`.
fn onnx(domain: &str, operator: &str) -> Vec<u8> {
    let field = |number: u8, bytes: &[u8]| {
        let len = u8::try_from(bytes.len()).expect("short");
        [&[number << 3 | 2, len][..], bytes].concat()
    };
    let node = [
        field(1, b"x"),
        field(2, b"y"),
        field(3, b"n"),
        field(4, operator.as_bytes()),
        field(7, domain.as_bytes()),
    ]
    .concat();
    let graph = [field(1, &node), field(2, b"g")].concat();
    let import = |name: &str| field(8, &[field(1, name.as_bytes()), vec![0x10, 1]].concat());
    // ModelProto: ir_version 8, producer, graph, the operator sets it imports.
    [vec![0x08, 8], field(2, b"test"), field(7, &graph), import(""), import(domain)].concat()
}

#[test]
fn p2_another_architecture_is_taken_in_only_by_the_fleets_signed_word() {
    let village = Village::new();
    let mut bytes = std::fs::read(starter_model()).expect("the model");
    // As long as the name it replaces, so that nothing else changes. The tokenizer is called the same, and stays.
    for at in 40..bytes.len() - 5 {
        let is_tokenizer = bytes[at - 40..at].windows(10).any(|part| part == b"ggml.model");
        if bytes[at..].starts_with(b"llama") && !is_tokenizer {
            bytes[at..at + 5].copy_from_slice(b"yamma");
        }
    }
    let model = village.folder.path().join("other.gguf");
    std::fs::write(&model, bytes).expect("written");
    let file = model.display().to_string();
    let import =
        ["bundle", "import", "other", &file, "--license", "Apache-2.0", "--source", "test", "--unlisted"];
    let output = village.fleet.try_ctl(&import).expect("croftctl runs");
    assert_refused(&output, "E-VET-REFUSED");
    assert!(output.stderr.contains("croftctl intake allow --architecture NAME --reason WHY"), "{output:?}");
    let allow = ["intake", "allow", "--architecture", "yamma"];
    assert_ne!(village.fleet.try_ctl(&allow).expect("croftctl runs").code, Some(0), "without a reason");
    village.fleet.ctl(&[&allow[..], &["--reason", "tried by the team"]].concat()).expect("allowed");
    let listed = village.fleet.ctl(&["intake", "list"]).expect("listed");
    assert!(listed.stdout.contains("yamma") && listed.stdout.contains("tried by the team"), "{listed:?}");
    let output = village.fleet.ctl(&import).expect("imported");
    assert!(output.stderr.contains("its shapes are not checked"), "{output:?}");
    village.fleet.ctl(&["intake", "withdraw", "--architecture", "yamma"]).expect("withdrawn");
    let again = [&import[..], &["--version", "7"]].concat();
    assert_refused(&village.fleet.try_ctl(&again).expect("croftctl runs"), "E-VET-REFUSED");
}

#[test]
fn p2_another_architecture_serves_by_the_fleets_signed_word_and_not_without() {
    let village = Village::new();
    let model = village.folder.path().join("smollm3.gguf");
    std::fs::write(&model, renamed(&starter_model(), "smollm3")).expect("written");
    let allow = ["intake", "allow", "--architecture", "smollm3", "--reason", "tried by the team"];
    village.fleet.ctl(&allow).expect("allowed");
    village.fleet.publish_bundle("other", 1, &model).expect("published");
    village.fleet.ctl(&["assign", "bundle", "other@1", "--group", "dev"]).expect("assigned");
    let mut village = village.enrolled();
    let state = |village: &Village| {
        let models = village.workstation.models().expect("models");
        let other = models["models"]
            .as_array()
            .and_then(|all| all.iter().find(|m| m["bundle"] == "other@1").cloned());
        other.ok_or_else(|| models.to_string())
    };
    wait::until("it is loaded", 60, || match state(&village)? {
        other if other["state"] == "loaded" => Ok(()),
        other => Err(other.to_string()),
    })
    .expect("loaded");
    // A machine that comes when the word was taken back does not take it in, though the bundle is approved.
    village.fleet.ctl(&["intake", "withdraw", "--architecture", "smollm3"]).expect("withdrawn");
    let mut later = croft_e2e::Workstation::new(&village.folder.path().join("later")).expect("a workstation");
    later.start().expect("a running daemon");
    later.enroll(&village.fleet.invite(&[]).expect("an invite")).expect("enrollment");
    std::mem::swap(&mut village.workstation, &mut later);
    wait::until("it is refused", 60, || match state(&village)?.to_string() {
        other if other.contains("E-VET-REFUSED") => Ok(()),
        other => Err(other),
    })
    .expect("refused");
}
