//! Texts as vectors and in order, and insertions, in all the forms that clients ask in.

use base64::Engine as _;
use serde_json::{Value, json};

use crate::client::{Reply, ask};
use crate::peers::{AUTHORIZED, Gateway};

fn post(gateway: &Gateway, path: &str, body: &Value) -> Reply {
    ask(gateway.address, "POST", path, AUTHORIZED, &body.to_string())
}

#[test]
fn openai_clients_get_numbers_or_base64() {
    let (gateway, worker) = Gateway::serving();
    let reply = post(&gateway, "/v1/embeddings", &json!({"model": "chat", "input": ["a", "bcd"]}));
    assert_eq!(reply.status, 200, "{}", reply.body);
    let all = reply.json();
    assert_eq!(all["data"][0]["embedding"], json!([1.0, 0.0, 1.0]));
    assert_eq!(
        (&all["data"][1]["embedding"], &all["data"][1]["index"]),
        (&json!([3.0, 1.0, 1.0]), &json!(1))
    );
    assert_eq!(all["usage"], json!({"prompt_tokens": 4, "total_tokens": 4}));
    worker.embeds.recv().expect("a frame");
    let body =
        json!({"model": "chat", "input": "a", "encoding_format": "base64", "dimensions": 2, "user": "x"});
    let text = post(&gateway, "/v1/embeddings", &body).json()["data"][0]["embedding"].clone();
    let bytes =
        base64::engine::general_purpose::STANDARD.decode(text.as_str().expect("text")).expect("Base64");
    assert_eq!(bytes, [1.0_f32, 0.0, 1.0].iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<_>>());
    let asked = worker.embeds.recv().expect("a frame");
    assert_eq!((asked.dimensions, asked.truncate), (2, false));
}

#[test]
fn many_texts_take_several_turns_and_keep_their_order() {
    let (mut gateway, worker) = Gateway::serving();
    let texts: Vec<String> = (0..600).map(|n| "x".repeat(n % 7 + 1)).collect();
    let all = post(&gateway, "/v1/embeddings", &json!({"model": "chat", "input": texts})).json();
    let data = all["data"].as_array().expect("a list");
    assert_eq!(data.len(), 600);
    for (index, (entry, text)) in data.iter().zip(&texts).enumerate() {
        assert_eq!((&entry["index"], &entry["embedding"][0]), (&json!(index), &json!(text.len() as f32)));
    }
    let parts: Vec<usize> = worker.embeds.try_iter().map(|embed| embed.texts.len()).collect();
    assert_eq!(parts, [256, 256, 88]);
    assert_eq!(all["usage"]["prompt_tokens"], 1200);
    let mut counted = 0;
    while counted < 1200 {
        counted += gateway.usage().prompt_tokens;
    }
    assert_eq!(counted, 1200, "texts count as use");
}

#[test]
fn ollama_clients_get_either_of_its_two_forms() {
    let (gateway, worker) = Gateway::serving();
    let reply =
        post(&gateway, "/api/embed", &json!({"model": "chat", "input": ["a", "bc"], "keep_alive": "5m"}));
    assert_eq!(reply.json()["embeddings"], json!([[1.0, 0.0, 1.0], [2.0, 1.0, 1.0]]), "{}", reply.body);
    assert_eq!(reply.json()["prompt_eval_count"], 4);
    assert!(worker.embeds.recv().expect("a frame").truncate, "as Ollama does unless told not to");
    let strict = json!({"model": "chat", "input": "a", "truncate": false, "options": {"num_ctx": 1}});
    assert_eq!(post(&gateway, "/api/embed", &strict).status, 200);
    assert!(!worker.embeds.recv().expect("a frame").truncate);
    let older = post(&gateway, "/api/embeddings", &json!({"model": "chat", "prompt": "abc"}));
    assert_eq!(older.json(), json!({"embedding": [3.0, 0.0, 1.0]}));
    let nothing = post(&gateway, "/api/embed", &json!({"model": "chat", "input": []}));
    assert_eq!(nothing.json()["embeddings"], json!([]));
}

#[test]
fn refusals_are_said_and_lies_believed_by_nobody() {
    let (gateway, _worker) = Gateway::serving();
    let full = post(&gateway, "/v1/embeddings", &json!({"model": "chat", "input": "refuse"}));
    assert_eq!((full.status, full.code().as_str()), (400, "E-CONTEXT-FULL"));
    let unknown = post(&gateway, "/api/embed", &json!({"model": "x", "input": "a"}));
    assert_eq!((unknown.status, unknown.code().as_str()), (404, "E-MODEL-UNKNOWN"));
    let stranger = ask(gateway.address, "POST", "/v1/embeddings", &[], r#"{"model": "chat", "input": "a"}"#);
    assert_eq!((stranger.status, stranger.code().as_str()), (401, "E-CALLER-UNKNOWN"));
    let lie = post(&gateway, "/v1/embeddings", &json!({"model": "chat", "input": "lie"}));
    assert_eq!((lie.status, lie.code().as_str()), (503, "E-WORKER-CRASHED"));
}

#[test]
fn what_belongs_between_two_texts_is_answered_as_llama_server_does() {
    let (gateway, _worker) = Gateway::serving();
    let body = json!({"input_prefix": "a", "input_suffix": "z", "n_predict": 4, "n_indent": 2});
    let reply = post(&gateway, "/infill", &body);
    assert_eq!(reply.json()["content"], "ok: a[]z", "{}", reply.body);
    assert_eq!((&reply.json()["stop"], &reply.json()["tokens_predicted"]), (&json!(true), &json!(2)));
    assert!(reply.head.to_lowercase().contains("x-croft-ignored: n_indent"), "{}", reply.head);
    let mut streamed = body.clone();
    streamed["stream"] = json!(true);
    let events = post(&gateway, "/infill", &streamed).events();
    let text: String = events.iter().filter_map(|event| event["content"].as_str()).collect();
    assert_eq!(text, "ok: a[]z");
    assert_eq!(events.last().expect("events")["stop"], true);
    let completion = json!({"model": "chat", "prompt": "a", "suffix": "z"});
    assert_eq!(post(&gateway, "/v1/completions", &completion).json()["choices"][0]["text"], "ok: a[]z");
}

#[test]
fn documents_come_back_in_order_on_every_path_that_clients_know() {
    let (mut gateway, worker) = Gateway::serving();
    let body = json!({"model": "chat", "query": "q", "documents": ["aa", {"text": "bbbb"}, "c"], "top_n": 2});
    for path in ["/v1/rerank", "/v2/rerank", "/rerank", "/v1/reranking", "/reranking"] {
        let reply = post(&gateway, path, &body);
        assert_eq!(reply.status, 200, "{path}: {}", reply.body);
        let results = json!([{"index": 1, "relevance_score": 4.0}, {"index": 0, "relevance_score": 2.0}]);
        assert_eq!(reply.json()["results"], results);
        let asked = worker.ranks.recv().expect("a frame");
        assert_eq!((asked.question.as_str(), asked.texts.len()), ("q", 3));
        assert_eq!(gateway.usage().prompt_tokens, 6, "texts count as use");
    }
    let many: Vec<String> = (1..=300).map(|n| "x".repeat(n)).collect();
    let reply = post(&gateway, "/rerank", &json!({"model": "chat", "query": "q", "documents": many}));
    assert_eq!(reply.json()["results"][0], json!({"index": 299, "relevance_score": 300.0}));
    assert_eq!(reply.json()["results"].as_array().map(Vec::len), Some(300));
    let parts: Vec<usize> = worker.ranks.try_iter().map(|rank| rank.texts.len()).collect();
    assert_eq!(parts, [256, 44]);
    let stranger = ask(gateway.address, "POST", "/v1/rerank", &[], &body.to_string());
    assert_eq!((stranger.status, stranger.code().as_str()), (401, "E-CALLER-UNKNOWN"));
    let lie = json!({"model": "chat", "query": "q", "documents": ["lie"]});
    let lie = post(&gateway, "/v1/rerank", &lie);
    assert_eq!((lie.status, lie.code().as_str()), (503, "E-WORKER-CRASHED"));
}
