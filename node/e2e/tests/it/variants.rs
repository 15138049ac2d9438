//! One bundle in two quantizations: each machine serves one, by memory and by a measurement; what it measured can make
//! it choose only what was approved, and a recall of one leaves the other.

use std::path::{Path, PathBuf};

use croft_domain::digest::Sha256Digest;
use croft_e2e::api::{Api, text_of};
use croft_e2e::controller::{REPORTING_BASELINE, starter_model};
use croft_e2e::{Fleet, Workstation, wait};
use croft_trust::digest::sha256;
use serde_json::{Value, json};

use crate::{Village, assert_refused};

const QUESTION: &str = "test that add(2, 3) is 5";
const ANSWER: &str = "assert_eq!(add(2, 3), 5);";

/// The approver likes the larger one better.
fn files() -> [PathBuf; 2] {
    let model = starter_model();
    [model.with_file_name("croft-starter-f16.gguf"), model]
}

impl Village {
    /// As `new`, with both quantizations in one bundle, and `more` in the node's configuration.
    fn of_variants(more: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("croft-e2e-").tempdir().expect("a folder");
        let fleet = Fleet::start(&folder.path().join("fleet")).expect("a fleet");
        fleet.apply(REPORTING_BASELINE).expect("a baseline");
        let baseline = ["assign", "baseline", "starter@1", "--group", "dev", "--tier", "1"];
        fleet.ctl(&baseline).expect("assigned");
        fleet.publish_variants("starter", 1, &files()).expect("a bundle of two variants");
        fleet.ctl(&["assign", "bundle", "starter@1", "--group", "dev"]).expect("assigned");
        let mut workstation = Workstation::new(&folder.path().join("workstation")).expect("a workstation");
        workstation.configure(more).expect("configured");
        workstation.start().expect("a running daemon");
        Self { fleet, workstation, folder }
    }

    /// What `croft models` says of the bundle, when it says what is waited for.
    fn model(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        wait::until(what, 400, || {
            let models = self.workstation.models().map_err(|e| e.to_string())?;
            let model = models["models"][0].clone();
            if is_it(&model) { Ok(model) } else { Err(model.to_string()) }
        })
        .expect("what is waited for")
    }

    fn assert_answers(&self) {
        let key = self.workstation.api_key().expect("a key");
        let answer = Api::new(&self.workstation.gateway(), Some(&key)).ask(QUESTION).expect("an answer");
        assert_eq!(text_of(&answer), ANSWER, "{answer:?}");
    }

    /// The blobs in the store.
    fn stored(&self) -> Vec<String> {
        let store = self.workstation.state().join("store/sha256");
        let entries = std::fs::read_dir(store).expect("the store").filter_map(Result::ok);
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }
}

fn digest(path: &Path) -> Sha256Digest {
    sha256(&std::fs::read(path).expect("the model"))
}

fn variants(model: &Value) -> &Vec<Value> {
    model["variants"].as_array().expect("variants")
}

/// Whether nothing is left to be done: all are measured, and the one that was chosen has taken its place.
fn are_measured(model: &Value) -> bool {
    let chosen = format!("{}: ", model["variant"].as_str().unwrap_or_default());
    let has_moved = model["why"].as_str().is_some_and(|why| why.starts_with(&chosen));
    has_moved
        && model["state"] == "loaded"
        && variants(model).iter().all(|variant| variant["standing"] == "measured")
}

/// What must serve by the figures: the fastest, or the first if it is nearly as fast.
fn by_rule(model: &Value) -> usize {
    let speed = |index: usize| variants(model)[index]["tokens_per_s"].as_f64().expect("a speed");
    usize::from(speed(0) * 1.1 < speed(1))
}

fn serving(model: &Value) -> usize {
    variants(model).iter().position(|variant| variant["serves"] == true).expect("one serves")
}

fn times(model: &Value) -> Vec<u64> {
    variants(model).iter().filter_map(|variant| variant["measured_at"].as_u64()).collect()
}

#[test]
fn each_variant_is_measured_once_and_the_faster_one_serves() {
    let mut village = Village::of_variants("").enrolled();
    village.assert_answers();
    let model = village.model("both are measured", are_measured);
    let chosen = serving(&model);
    assert_eq!(chosen, by_rule(&model), "{model}");
    let name = variants(&model)[chosen]["name"].as_str().expect("a name").to_owned();
    assert_eq!(model["variant"], json!(name));
    assert_eq!(model["sha256"], json!(digest(&files()[chosen]).to_string()));
    assert!(model["cpu"].as_str().is_some_and(|level| !level.is_empty()), "{model}");
    let shown = village.workstation.croft(&["models"]).expect("models").stdout;
    assert!(shown.contains(&format!("starter@1: {name}: ")), "{shown}");
    assert!(shown.contains(" tokens/s at 4 streams against "), "{shown}");
    // The loser's bytes go, and the exchange lost no answer.
    wait::until("one is left in the store", 60, || {
        let stored = village.stored();
        if stored == [digest(&files()[chosen]).hex()] { Ok(()) } else { Err(format!("{stored:?}")) }
    })
    .expect("one");
    village.assert_answers();

    // A restart measures nothing again.
    village.workstation.stop().expect("a stopped daemon");
    village.workstation.start().expect("a running daemon");
    village.workstation.wait_until_serving(60).expect("serving");
    let again = village.model("it is loaded", |model| model["state"] == "loaded");
    assert_eq!((times(&again), serving(&again)), (times(&model), chosen));
    village.assert_answers();

    // On request it does, and fetches what it needs for that.
    let measure = village.workstation.croft(&["models", "--measure", "starter"]).expect("asked");
    assert!(measure.stderr.contains("to be measured when"), "{measure:?}");
    let anew = village.model("both are measured anew", |model| {
        are_measured(model) && times(model).iter().zip(times(&again)).all(|(new, old)| *new > old)
    });
    assert_eq!(serving(&anew), by_rule(&anew), "{anew}");
    let refused = village.workstation.try_croft(&["models", "--measure", "nothing"]).expect("croft runs");
    assert_refused(&refused, "E-INPUT");
    village.assert_answers();
}

#[test]
fn p2_a_recall_of_the_variant_that_serves_leaves_the_other() {
    let village = Village::of_variants("").enrolled();
    let model = village.model("both are measured", are_measured);
    let (chosen, other) = (serving(&model), 1 - serving(&model));
    let recalled = digest(&files()[chosen]);
    village.fleet.ctl(&["recall", &recalled.to_string(), "--reason", "poisoned"]).expect("recalled");
    let model = village.model("the other one serves", |model| {
        model["state"] == "loaded" && variants(model)[other]["serves"] == true
    });
    assert_eq!(variants(&model)[chosen]["standing"], "recalled");
    assert!(model["why"].as_str().is_some_and(|why| why.contains(" is recalled")), "{model}");
    village.assert_answers();
    let gone = |stored: &[String]| !stored.contains(&recalled.hex());
    wait::until("the recalled bytes are gone", 60, || {
        let stored = village.stored();
        if gone(&stored) { Ok(()) } else { Err(format!("{stored:?}")) }
    })
    .expect("gone");
}

#[test]
fn p3_records_that_somebody_changed_choose_nothing_that_was_not_approved() {
    let mut village = Village::of_variants("").enrolled();
    let model = village.model("both are measured", are_measured);
    let other = 1 - serving(&model);
    village.workstation.stop().expect("a stopped daemon");
    let file = village.workstation.state().join("measured.json");
    let text = std::fs::read_to_string(&file).expect("what was measured");
    let mut measured: Value = serde_json::from_str(&text).expect("JSON");
    let records = measured["records"].as_array_mut().expect("records");
    let foreign = sha256(b"what nobody approved").to_string();
    let rate =
        |rate: u64| json!({"rate": {"millitokens_per_s": rate, "prompt_millitokens_per_s": 1, "streams": 4}});
    let mut invented = records[0].clone();
    invented["variant"] = json!(foreign);
    invented["measurement"] = rate(u64::MAX);
    let loser = digest(&files()[other]).to_string();
    for record in records.iter_mut().filter(|record| record["variant"] == json!(loser)) {
        record["measurement"] = rate(u64::MAX - 1);
    }
    records.push(invented);
    std::fs::write(&file, measured.to_string()).expect("written");
    village.workstation.start().expect("a running daemon");
    // The liar wins nothing but the slower of two approved ones, whose bytes are verified as ever.
    let model =
        village.model("the other one serves", |model| model["state"] == "loaded" && serving(model) == other);
    assert!(!model.to_string().contains(&foreign), "{model}");
    village.assert_answers();
    // And what cannot be read at all is measured again.
    village.workstation.stop().expect("a stopped daemon");
    std::fs::write(&file, "{").expect("written");
    village.workstation.start().expect("a running daemon");
    village.workstation.wait_until_serving(60).expect("serving");
    village.model("both are measured", are_measured);
    village.assert_answers();
}

#[test]
fn a_variant_that_does_not_fit_is_neither_fetched_nor_measured() {
    let village = Village::of_variants("").enrolled();
    let model = village.model("it is loaded", |model| model["state"] == "loaded");
    let needs = |index: usize| variants(&model)[index]["memory_bytes"].as_u64().expect("bytes");
    let large = usize::from(needs(1) > needs(0));
    let mib = (needs(large) - 1) >> 20;
    assert!(needs(1 - large) <= mib << 20, "{model}");
    drop(village);

    let village = Village::of_variants(&format!("[worker]\nmemory_mib = {mib}\n")).enrolled();
    let model = village.model("it is loaded", |model| model["state"] == "loaded");
    assert_eq!(serving(&model), 1 - large, "{model}");
    assert_eq!(variants(&model)[large]["standing"], "too-large");
    let why = model["why"].as_str().expect("why");
    assert!(why.contains(": the only one that fits; ") && why.contains(" MiB (weights "), "{why}");
    assert_eq!(village.stored(), [digest(&files()[1 - large]).hex()]);
    village.assert_answers();
}
