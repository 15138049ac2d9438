//! Editors are set to an alias once; a new version of a model takes it over.

use croft_e2e::api::{Answer, Api};
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

/// One use of each alias, as an editor makes it.
fn uses(api: &Api) -> [Answer; 3] {
    let hello = json!([{"role": "user", "content": "hello"}]);
    [
        ("/v1/chat/completions", json!({"model": "chat", "max_tokens": 4, "messages": hello})),
        (
            "/v1/completions",
            json!({"model": "complete", "prompt": "fn add(", "suffix": "}", "max_tokens": 4}),
        ),
        ("/v1/embeddings", json!({"model": "embed", "input": "fn add("})),
    ]
    .map(|(path, body)| api.post(path, &body).expect("an answer"))
}

#[test]
fn aliases_pass_to_the_next_version_and_whoever_asks_again_is_answered() {
    let village = Village::serving();
    let station = &village.workstation;
    let api = Api::new(&station.gateway(), Some(&station.api_key().expect("a key")));
    let before = ALIASES.map(|alias| digest_of(&api, alias));
    // The same recipe in another quantization is another file.
    let next = starter_model().with_file_name("croft-starter-f16.gguf");
    village.fleet.publish_bundle("starter", 2, &next).expect("published");
    village.fleet.ctl(&["assign", "bundle", "starter@2", "--group", "dev"]).expect("assigned");
    wait::until("the new version has the aliases", 120, || {
        // What waited in the very moment of the change is refused with a reason; asked again, the next version answers.
        let asked = uses(&api);
        if asked.iter().any(|answer| answer.status != 200) {
            assert!(
                asked.iter().all(|a| a.status == 200 || a.body["error"]["code"] == "E-UNAPPROVED"),
                "{asked:?}"
            );
            for answer in uses(&api) {
                assert_eq!(answer.status, 200, "{answer:?}");
            }
        }
        let now = ALIASES.map(|alias| digest_of(&api, alias));
        let is_new = now.iter().zip(&before).all(|(now, before)| now != before);
        if is_new { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .expect("upgraded");
    let names: Vec<String> = digests(&api).into_iter().map(|(name, _)| name).collect();
    for alias in ALIASES {
        assert_eq!(names.iter().filter(|name| *name == alias).count(), 1, "{names:?}");
    }
    let shown = station.croft(&["models"]).expect("models");
    assert!(shown.says("starter@2"), "{shown:?}");
}
