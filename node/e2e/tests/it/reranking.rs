//! Models that put texts in order and write nothing, from import to an answer.

#[path = "../../../worker/tests/it/tiny.rs"]
#[allow(dead_code)] // Of the encoders that the worker's own tests know, one is needed here.
mod tiny;

use croft_e2e::api::{Answer, Api};
use croft_e2e::wait;
use serde_json::{Value, json};

use crate::Village;
use tiny::{Pooling, encoder};

/// A workstation that serves such a model besides the starter model.
fn village() -> Village {
    let village = Village::new();
    let model = village.folder.path().join("ranker.gguf");
    std::fs::copy(encoder(Pooling::Rank).path(), &model).expect("copied");
    let file = model.display().to_string();
    let import =
        ["bundle", "import", "ranker", &file, "--license", "Apache-2.0", "--source", "test", "--unlisted"];
    let fleet = &village.fleet;
    fleet.ctl(&import).expect("imported");
    fleet.ctl(&["bundle", "approve", "ranker@1", "--allow-source"]).expect("approved");
    fleet.ctl(&["bundle", "publish", "ranker@1"]).expect("published");
    fleet.ctl(&["assign", "bundle", "ranker@1", "--group", "dev"]).expect("assigned");
    let village = village.enrolled();
    wait::until("both models are loaded", 60, || {
        let models = village.workstation.models().map_err(|e| e.to_string())?.to_string();
        if models.matches("\"loaded\"").count() == 2 { Ok(()) } else { Err(models) }
    })
    .expect("both are loaded");
    village
}

fn results(answer: &Answer) -> Vec<(u64, f64)> {
    assert_eq!(answer.status, 200, "{answer:?}");
    let all = answer.body["results"].as_array().expect("a list");
    let pair = |result: &Value| {
        (result["index"].as_u64().expect("an index"), result["relevance_score"].as_f64().expect("a score"))
    };
    all.iter().map(pair).collect()
}

#[test]
fn a_model_that_ranks_puts_documents_in_order() {
    let village = village();
    let station = &village.workstation;
    let api = Api::new(&station.gateway(), Some(&station.api_key().expect("a key")));
    let documents = ["orders", "digits digits", "list all", "all digits"];
    let body = json!({"model": "ranker", "query": "list orders", "documents": documents});
    let all = results(&api.post("/v1/rerank", &body).expect("an answer"));
    assert_eq!(all.len(), 4);
    assert!(all.is_sorted_by(|(_, a), (_, b)| a >= b), "{all:?}");
    // Alone, each document gets the score that it has among others. Few tokens are summed up in half precision, many are
    // not: a thousandth, less than what lies between the documents.
    assert!(all[0].1 - all[3].1 > 2e-3, "{all:?}");
    for (index, score) in &all {
        let at = usize::try_from(*index).expect("small");
        let alone =
            json!({"model": "ranker", "query": "list orders", "documents": [{"text": documents[at]}]});
        let alone = results(&api.post("/v2/rerank", &alone).expect("an answer"));
        assert!((alone[0].1 - score).abs() < 1e-3, "{alone:?} {all:?}");
    }
    let mut best = body.clone();
    best["top_n"] = json!(1);
    best["return_documents"] = json!(true);
    let best = api.post("/rerank", &best).expect("an answer");
    assert_eq!(results(&best)[0].0, all[0].0);
    let text = &best.body["results"][0]["document"]["text"];
    assert_eq!(text, documents[usize::try_from(all[0].0).expect("small")]);
    assert!(best.body["usage"]["prompt_tokens"].as_u64().is_some_and(|tokens| tokens > 0), "{best:?}");
    let shown = api.post("/api/show", &json!({"model": "ranker"})).expect("a model");
    assert_eq!(shown.body["capabilities"], json!(["rerank"]), "{shown:?}");
    // A model that writes says that it does not rank, and one that ranks, that it does not write.
    let wrong = json!({"model": "starter", "query": "a", "documents": ["b"]});
    let wrong = api.post("/v1/rerank", &wrong).expect("a refusal");
    assert_eq!((wrong.status, &wrong.body["error"]["code"]), (400, &json!("E-REQUEST-UNSUPPORTED")));
    let chat = json!({"model": "ranker", "messages": [{"role": "user", "content": "list orders"}]});
    let chat = api.post("/v1/chat/completions", &chat).expect("a refusal");
    assert_eq!((chat.status, &chat.body["error"]["code"]), (400, &json!("E-REQUEST-UNSUPPORTED")));
    // No document longer than the model's context is judged by its beginning alone.
    let long = json!({"model": "ranker", "query": "a", "documents": ["digits ".repeat(400)]});
    let long = api.post("/v1/rerank", &long).expect("a refusal");
    assert_eq!((long.status, &long.body["error"]["code"]), (400, &json!("E-CONTEXT-FULL")));
}
