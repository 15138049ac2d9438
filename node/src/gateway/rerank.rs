//! `/v1/rerank`: how well each of some texts answers a question, as Jina, Cohere and llama-server word it. In parts that
//! a worker takes, one after the other, so that a large request takes its turns like any other.

use std::rc::Rc;

use croft_proto::frames::{Rank, to_worker};
use serde_json::{Value, json};

use super::embeddings::{self, Vectors};
use super::errors::Refusal;
use super::fields::Fields;
use super::gate::{Gate, Held};
use super::guard::Sender;
use super::limits::{EMBED_FRAME_TEXTS_MAX, EMBED_INPUTS_MAX};

/// Known fields that ask for another answer than can be given: texts are neither cut nor taken apart here.
const UNSUPPORTED: &[&str] = &[
    "rank_fields",
    "max_chunks_per_doc",
    "max_tokens_per_doc",
    "max_doc_length",
    "overlap_tokens",
    "truncation",
    "truncate",
];

/// A request, parsed. Deliberately no `Debug`: these are a user's texts.
pub struct Question {
    /// As the caller wrote it.
    pub model: String,
    /// What is asked.
    pub query: String,
    /// What may answer it.
    pub documents: Vec<String>,
    /// How many of the best are wanted.
    top: usize,
    /// Whether the answer repeats the texts.
    returns_documents: bool,
}

/// From a body to a question.
///
/// # Errors
/// `E-REQUEST-INVALID` and `E-REQUEST-UNSUPPORTED`, naming the field.
pub fn question(body: &[u8]) -> Result<Question, Refusal> {
    let mut fields = Fields::parse(body)?;
    fields.refuse(UNSUPPORTED)?;
    let model = fields.needed_text("model")?;
    let query = fields.needed_text("query")?;
    if query.is_empty() {
        return Err(fields.invalid("query", "a text that is not empty"));
    }
    let documents = documents(&mut fields)?;
    let top = fields.integer("top_n", 1..=i64::from(u32::MAX))?;
    let top = top.and_then(|top| usize::try_from(top).ok()).unwrap_or(usize::MAX);
    let returns_documents = fields.flag("return_documents")?.unwrap_or(false);
    Ok(Question { model, query, documents, top, returns_documents })
}

fn documents(fields: &mut Fields) -> Result<Vec<String>, Refusal> {
    let expected = || format!("a list of 1 to {EMBED_INPUTS_MAX} texts, or of objects with a text each");
    let items = match fields.take("documents") {
        Some(Value::Array(items)) if (1..=EMBED_INPUTS_MAX).contains(&items.len()) => items,
        _ => return Err(fields.invalid("documents", &expected())),
    };
    let text = |(index, item): (usize, Value)| match item {
        Value::String(text) => Ok(text),
        Value::Object(_) => Fields::of(item, &format!("documents[{index}]"))?.needed_text("text"),
        _ => Err(fields.invalid("documents", &expected())),
    };
    items.into_iter().enumerate().map(text).collect()
}

impl Question {
    /// Every text in it that a model would read.
    pub fn texts(&mut self) -> Vec<&mut String> {
        std::iter::once(&mut self.query).chain(&mut self.documents).collect()
    }

    /// The answer: the best first, and of two that are alike the one that came first. A text is repeated as the model
    /// read it.
    #[must_use]
    fn answer(&self, scored: &Vectors) -> Value {
        let mut scores: Vec<(usize, f32)> = scored
            .vectors
            .iter()
            .map(|score| score.first().copied().unwrap_or_default())
            .enumerate()
            .collect();
        scores.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        scores.truncate(self.top);
        let result = |(index, score): (usize, f32)| {
            let mut result = json!({"index": index, "relevance_score": score});
            if self.returns_documents {
                result["document"] = json!({"text": self.documents.get(index)});
            }
            result
        };
        let results: Vec<Value> = scores.into_iter().map(result).collect();
        let tokens = scored.prompt_tokens;
        let usage = json!({"prompt_tokens": tokens, "total_tokens": tokens});
        json!({"object": "list", "model": self.model, "results": results, "usage": usage})
    }
}

/// Has all texts judged, and answers.
///
/// # Errors
/// Why the first of its parts was refused.
pub async fn rerank(
    gate: &Rc<Gate>,
    sender: &Sender,
    question: Question,
    held: Held,
) -> Result<Value, Refusal> {
    // Held to the end, whatever becomes of the parts.
    let Held { reservation: _reservation, place: _place } = held;
    let mut all = Vectors { vectors: Vec::with_capacity(question.documents.len()), prompt_tokens: 0 };
    let model = gate.pinned(&question.model)?;
    for part in question.documents.chunks(EMBED_FRAME_TEXTS_MAX) {
        let rank = Rank { request: 0, question: question.query.clone(), texts: part.to_vec() };
        let held = Held { reservation: gate.budget.reservation(), place: None };
        let mut answer = gate.read(sender, &model, to_worker::Frame::Rank(rank), held)?;
        embeddings::collect(&mut answer, part.len(), &mut all).await?;
    }
    Ok(question.answer(&all))
}

#[cfg(test)]
mod tests {
    use super::*;
    use croft_domain::code::Code;

    fn read(body: &Value) -> Result<Question, Refusal> {
        question(body.to_string().as_bytes())
    }

    fn body() -> Value {
        json!({"model": "m", "query": "q", "documents": ["a", {"text": "b"}, "c"]})
    }

    #[test]
    fn the_best_come_first_and_equals_in_their_order() {
        let scored = Vectors { vectors: vec![vec![-1.0], vec![2.5], vec![-1.0]], prompt_tokens: 9 };
        let answer = read(&body()).ok().expect("well formed").answer(&scored);
        let order: Vec<_> =
            answer["results"].as_array().expect("a list").iter().map(|r| &r["index"]).collect();
        assert_eq!(order, [1, 0, 2]);
        assert_eq!(answer["results"][0], json!({"index": 1, "relevance_score": 2.5}));
        let mut two = body();
        two["top_n"] = json!(2);
        two["return_documents"] = json!(true);
        let answer = read(&two).ok().expect("well formed").answer(&scored);
        assert_eq!(answer["results"].as_array().map(Vec::len), Some(2));
        assert_eq!(answer["results"][0]["document"], json!({"text": "b"}));
        assert_eq!(answer["usage"], json!({"prompt_tokens": 9, "total_tokens": 9}));
    }

    #[test]
    fn fields_are_read_or_refused_by_name() {
        for (name, value, code, field) in [
            ("model", Value::Null, Code::RequestInvalid, "model"),
            ("query", json!(""), Code::RequestInvalid, "query"),
            ("query", json!(["q"]), Code::RequestInvalid, "query"),
            ("documents", json!([]), Code::RequestInvalid, "documents"),
            ("documents", json!([1]), Code::RequestInvalid, "documents"),
            ("documents", json!([{"title": "x"}]), Code::RequestInvalid, "documents[0].text"),
            ("documents", json!(vec!["x"; EMBED_INPUTS_MAX + 1]), Code::RequestInvalid, "documents"),
            ("top_n", json!(0), Code::RequestInvalid, "top_n"),
            ("max_tokens_per_doc", json!(64), Code::RequestUnsupported, "max_tokens_per_doc"),
        ] {
            let mut body = body();
            body[name] = value;
            let refusal = read(&body).err().expect(name);
            assert_eq!((refusal.code, refusal.field.as_deref()), (code, Some(field)));
        }
    }
}
