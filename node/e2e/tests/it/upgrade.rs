//! Editors are set to an alias once; a new version of a model takes it over, and nobody's request fails meanwhile.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{ScopedJoinHandle, scope};

use croft_e2e::api::Api;
use croft_e2e::controller::starter_model;
use croft_e2e::wait;
use serde_json::{Value, json};

use crate::Village;

const ALIASES: [&str; 3] = ["chat", "complete", "embed"];

/// The digest that stands behind each name.
fn digests(api: &Api) -> Vec<(String, String)> {
    let tags = api.get("/api/tags").expect("tags");
    let text = |model: &Value, name: &str| model[name].as_str().unwrap_or_default().to_owned();
    let all = tags.body["models"].as_array().expect("a list");
    all.iter().map(|model| (text(model, "name"), text(model, "digest"))).collect()
}

fn digest_of(api: &Api, alias: &str) -> String {
    let found = digests(api).into_iter().find(|(name, _)| name == alias);
    found.unwrap_or_else(|| panic!("{alias} is not shown: {:?}", digests(api))).1
}

/// Fewest requests that each client makes during an upgrade, for the test to mean something.
const USES_MIN: usize = 100;

/// One use of each alias, as an editor makes it, and one that is streamed. Says what went wrong.
fn use_all(api: &Api) -> Vec<String> {
    let hello = json!([{"role": "user", "content": "hello"}]);
    let uses = [
        ("/v1/chat/completions", json!({"model": "chat", "max_tokens": 4, "messages": hello})),
        (
            "/v1/completions",
            json!({"model": "complete", "prompt": "fn add(", "suffix": "}", "max_tokens": 4}),
        ),
        ("/v1/embeddings", json!({"model": "embed", "input": "fn add("})),
    ];
    let mut failed = Vec::new();
    for (path, body) in uses {
        let answer = api.post(path, &body).expect("an answer");
        if answer.status != 200 {
            failed.push(format!("{path}: {answer:?}"));
        }
    }
    match api.ask_streaming("hello") {
        Ok(streamed) if streamed.error.is_none() && !streamed.usage.is_null() => {}
        other => failed.push(format!("{other:?}")),
    }
    failed
}

/// Uses all aliases again and again until told to stop; gives how often, and what went wrong.
fn keep_using(api: &Api, enough: &AtomicBool) -> (usize, Vec<String>) {
    let (mut count, mut failed) = (0, Vec::new());
    while count < USES_MIN || !enough.load(Ordering::Relaxed) {
        failed.extend(use_all(api));
        count += 4;
    }
    (count, failed)
}

/// Publishes and assigns the same recipe in another quantization, which is another file.
fn publish_next(village: &Village) {
    let next = starter_model().with_file_name("croft-starter-f16.gguf");
    village.fleet.publish_bundle("starter", 2, &next).expect("published");
    village.fleet.ctl(&["assign", "bundle", "starter@2", "--group", "dev"]).expect("assigned");
}

#[test]
fn aliases_pass_to_the_next_version_and_no_request_fails_meanwhile() {
    let village = Village::serving();
    let station = &village.workstation;
    let api = Api::new(&station.gateway(), Some(&station.api_key().expect("a key")));
    let before = ALIASES.map(|alias| digest_of(&api, alias));
    let enough = AtomicBool::new(false);
    let clients: Vec<(usize, Vec<String>)> = scope(|threads| {
        let spawn = |_| threads.spawn(|| keep_using(&api, &enough));
        let clients: Vec<ScopedJoinHandle<'_, _>> = (0..3).map(spawn).collect();
        publish_next(&village);
        let upgraded = wait::until("the new version has the aliases, and the old one is gone", 120, || {
            let now = ALIASES.map(|alias| digest_of(&api, alias));
            let is_new = now.iter().zip(&before).all(|(now, before)| now != before);
            let is_old_gone = !digests(&api).iter().any(|(_, digest)| before.contains(digest));
            if is_new && is_old_gone { Ok(()) } else { Err(format!("{now:?}")) }
        });
        enough.store(true, Ordering::Relaxed);
        let clients = clients.into_iter().map(|client| client.join().expect("a client")).collect();
        upgraded.expect("upgraded");
        clients
    });
    for (count, failed) in &clients {
        assert!(*count >= USES_MIN && failed.is_empty(), "{} of {count}: {failed:#?}", failed.len());
    }
    let names: Vec<String> = digests(&api).into_iter().map(|(name, _)| name).collect();
    for alias in ALIASES {
        assert_eq!(names.iter().filter(|name| *name == alias).count(), 1, "{names:?}");
    }
    let shown = station.croft(&["models"]).expect("models");
    assert!(shown.says("starter@2"), "{shown:?}");
}

#[test]
fn p2_a_version_that_ends_its_answers_stops_at_once_when_it_is_recalled() {
    let village = Village::serving();
    let station = &village.workstation;
    let api = Api::new(&station.gateway(), Some(&station.api_key().expect("a key")));
    let before = digest_of(&api, "chat");
    let endless = json!({"model": "complete", "prompt": "a", "stream": true,
        "max_tokens": 1_000_000, "ignore_eos": true, "context_shift": true});
    let mut stream = api.stream("/v1/completions", &endless).expect("a stream");
    scope(|threads| {
        let reader = threads.spawn(move || {
            let mut text = String::new();
            let _ = stream.read_to_string(&mut text);
            text
        });
        publish_next(&village);
        wait::until("the new version has the alias", 120, || {
            if digest_of(&api, "chat") == before { Err("not yet") } else { Ok(()) }.map_err(str::to_owned)
        })
        .expect("upgraded");
        assert!(!reader.is_finished(), "an answer that was begun goes on");
        assert!(digests(&api).iter().any(|(_, digest)| *digest == before), "under its version's own name");
        village.fleet.ctl(&["recall", "starter@1", "--reason", "poisoned"]).expect("a recall");
        wait::until("the answer ends", 20, || {
            if reader.is_finished() { Ok(()) } else { Err("it goes on".into()) }
        })
        .expect("an end");
        let text = reader.join().expect("what was read");
        let end = text.lines().rev().find(|line| line.contains("\"error\"")).unwrap_or_default();
        assert!(["E-RECALLED", "E-UNAPPROVED"].iter().any(|code| end.contains(code)), "{end}");
    });
    assert!(use_all(&api).is_empty(), "the new version answers");
}
