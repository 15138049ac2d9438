//! Models that are on the machine already, in a store of another tool: taken from there if they are the approved bytes,
//! and fetched if they are not.

use std::path::Path;

use croft_e2e::api::Api;
use croft_e2e::controller::{REPORTING_BASELINE, starter_model};
use croft_trust::digest::sha256;

use crate::Village;

/// Bytes of blobs that the controller has sent.
fn sent(village: &Village) -> u64 {
    let metrics = Api::new(&village.fleet.metrics_url(), None).get("/metrics").expect("metrics");
    let text = metrics.body.as_str().expect("a text").to_owned();
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix("croft_controller_blob_bytes_total "))
        .map(str::to_owned);
    value.unwrap_or_else(|| panic!("no count of bytes in {text}")).parse().expect("a number")
}

fn put(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
    std::fs::write(path, bytes).expect("written");
}

fn origin(village: &Village) -> String {
    village.workstation.models().expect("models")["models"][0]["origin"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// A village whose workstation keeps `bytes` as its blob where a variable of the daemon says, serving.
fn with_store(variable: &str, at: impl FnOnce(&str) -> String, bytes: &[u8]) -> Village {
    let mut village = Village::with(REPORTING_BASELINE, "info");
    let digest = sha256(&std::fs::read(starter_model()).expect("the model"));
    let store = village.folder.path().join("moved store");
    put(&store.join(at(&digest.hex())), bytes);
    village.workstation.stop().expect("stopped");
    village.workstation.set_variable(variable, &store.display().to_string());
    village.workstation.start().expect("a running daemon");
    village.enrolled()
}

fn ollama(digest: &str) -> String {
    format!("blobs/sha256-{digest}")
}

#[test]
fn a_blob_in_a_store_of_ollama_is_found_by_its_digest_and_nothing_is_fetched() {
    let bytes = std::fs::read(starter_model()).expect("the model");
    let village = with_store("OLLAMA_MODELS", ollama, &bytes);
    assert_eq!((sent(&village), origin(&village).as_str()), (0, "the Ollama store"));
}

#[test]
fn a_blob_in_a_cache_of_the_hub_is_found_by_its_digest_and_nothing_is_fetched() {
    let bytes = std::fs::read(starter_model()).expect("the model");
    let at = |digest: &str| format!("hub/models--croft--starter/blobs/{digest}");
    let village = with_store("HF_HOME", at, &bytes);
    assert_eq!((sent(&village), origin(&village).as_str()), (0, "the Hugging Face cache"));
}

#[test]
fn p2_a_blob_with_other_bytes_under_the_right_digest_is_fetched_instead() {
    let mut bytes = std::fs::read(starter_model()).expect("the model");
    bytes[100] ^= 1;
    let village = with_store("OLLAMA_MODELS", ollama, &bytes);
    assert_eq!((sent(&village), origin(&village).as_str()), (bytes.len() as u64, ""));
}
