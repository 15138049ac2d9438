//! How an answer reaches the caller: whole, or piece by piece, in the words of either API. Whether the machine may still
//! serve is asked again at every piece.

use std::rc::Rc;

use bytes::Bytes;
use croft_domain::code::Code;
use croft_proto::frames::Finished;
use futures_util::stream;
use http::{HeaderValue, Response, header};
use serde_json::Value;
use tokio::time::timeout;

use super::answer_guard::AnswerGuard;
use super::body::{self, Body};
use super::errors::Refusal;
use super::fragment::Fragment;
use super::gate::Gate;
use super::limits::{HEAD_DELAY_MAX, STANDING_CHECK_EVERY};
use super::quota::Place;
use super::sieve::Sieve;
use super::slots::{Event, Events};

/// How one endpoint words its answers.
pub trait Voice {
    /// The content type of a stream.
    fn stream_type(&self) -> &'static str;
    /// A piece of the answer; empty if this format has no place for it.
    fn piece(&mut self, piece: Fragment) -> String;
    /// The end.
    fn finish(&mut self, finished: &Finished) -> String;
    /// An end that is none.
    fn failure(&self, refusal: &Refusal) -> String;
    /// What tells a client that it is still worth waiting; empty if the format has no such thing.
    fn patience(&self) -> &'static str;
    /// The whole answer.
    fn whole(&self, whole: &Fragment, finished: &Finished) -> Value;
}

/// An answer that is coming.
pub struct Answer {
    /// The slot's events.
    pub events: Events,
    /// Where to ask whether to go on.
    pub gate: Rc<Gate>,
    /// The model's slot.
    pub slot: u32,
    /// The model's digest.
    pub digest: String,
    /// What of it passes; none for vectors.
    pub sieve: Option<Sieve>,
    /// The end, while what the sieve held back is given first.
    pub held_end: Option<Finished>,
    /// What looks through it, where the baseline forbids something.
    pub guard: Option<AnswerGuard>,
    /// What comes after the rest that the guard had kept.
    pub end: Option<Event>,
    /// Given back when the answer ends.
    pub _place: Option<Place>,
}

impl Answer {
    /// The next event; a failure when the machine may not serve the model any more, or the answer holds what it must
    /// not.
    pub async fn next(&mut self) -> Event {
        loop {
            if let Some(end) = self.end.take() {
                return end;
            }
            let event = self.next_unguarded().await;
            let Some(guard) = &mut self.guard else { return event };
            let guarded = match event {
                Event::Piece(piece) => guard.piece(piece),
                Event::Finished(finished) => {
                    self.end = Some(Event::Finished(finished));
                    guard.finish()
                }
                other => return other,
            };
            match guarded {
                Ok(piece) if piece.is_empty() => {}
                Ok(piece) => return Event::Piece(piece),
                Err(refusal) => {
                    self.end = None;
                    return Event::Failed(refusal);
                }
            }
        }
    }

    /// What passes the sieve.
    async fn next_unguarded(&mut self) -> Event {
        if let Some(finished) = self.held_end.take() {
            return Event::Finished(finished);
        }
        loop {
            let event = self.arrive().await;
            let Some(sieve) = &mut self.sieve else { return event };
            match event {
                Event::Piece(piece) => {
                    let passed = sieve.piece(piece);
                    if !passed.is_empty() {
                        return Event::Piece(passed);
                    }
                }
                Event::Finished(finished) => {
                    let (rest, finished) = sieve.finish(finished);
                    if rest.is_empty() {
                        return Event::Finished(finished);
                    }
                    self.held_end = Some(finished);
                    return Event::Piece(rest);
                }
                other => return other,
            }
        }
    }

    async fn arrive(&mut self) -> Event {
        loop {
            let waited = timeout(STANDING_CHECK_EVERY, self.events.next()).await;
            match (waited, self.gate.still_serves(self.slot, &self.digest)) {
                // An answer that is whole is the caller's.
                (Ok(event @ (Event::Finished(_) | Event::Failed(_))), _) | (Ok(event), Ok(())) => {
                    return event;
                }
                (_, Err(refusal)) => return Event::Failed(refusal),
                (Err(_), Ok(())) => {}
            }
        }
    }
}

/// Answers.
///
/// # Errors
/// What happened instead of the first piece, or of any if the answer is wanted whole.
pub async fn deliver(
    mut answer: Answer,
    voice: impl Voice + 'static,
    streamed: bool,
) -> Result<Response<Body>, Refusal> {
    if !streamed {
        let (whole, finished) = collect(&mut answer).await?;
        return Ok(json(&voice.whole(&whole, &finished)));
    }
    // A refusal that comes soon gets its own status; one that comes late, an event in the stream.
    let first = match timeout(HEAD_DELAY_MAX, answer.next()).await {
        Ok(Event::Failed(refusal)) => return Err(refusal),
        Ok(event) => Some(event),
        Err(_) => None,
    };
    let stream_type = voice.stream_type();
    let state = Streaming { answer, voice, first };
    let mut response = Response::new(body::stream(stream::unfold(Some(state), next_bytes)));
    set_headers(&mut response, stream_type);
    Ok(response)
}

struct Streaming<V> {
    answer: Answer,
    voice: V,
    first: Option<Event>,
}

async fn next_bytes<V: Voice>(state: Option<Streaming<V>>) -> Option<(Bytes, Option<Streaming<V>>)> {
    let mut state = state?;
    loop {
        let event = match state.first.take() {
            Some(event) => Ok(event),
            None => timeout(HEAD_DELAY_MAX, state.answer.next()).await,
        };
        let (text, ended) = match event {
            Ok(Event::Piece(piece)) => {
                let text = state.voice.piece(piece);
                if text.is_empty() {
                    continue;
                }
                (text, false)
            }
            Ok(Event::Finished(finished)) => (state.voice.finish(&finished), true),
            Ok(Event::Vector(_)) => (state.voice.failure(&not_words()), true),
            Ok(Event::Failed(refusal)) => (state.voice.failure(&refusal), true),
            Err(_) if state.voice.patience().is_empty() => continue,
            Err(_) => (state.voice.patience().to_owned(), false),
        };
        return Some((Bytes::from(text), (!ended).then_some(state)));
    }
}

async fn collect(answer: &mut Answer) -> Result<(Fragment, Finished), Refusal> {
    let mut whole = Fragment::default();
    loop {
        match answer.next().await {
            // The slot bounds the length.
            Event::Piece(piece) => whole.append(piece),
            Event::Finished(finished) => return Ok((whole, finished)),
            Event::Vector(_) => return Err(not_words()),
            Event::Failed(refusal) => return Err(refusal),
        }
    }
}

fn not_words() -> Refusal {
    Refusal::new(Code::WorkerCrashed, "the model's process answered with something else than words")
}

/// A JSON response.
#[must_use]
pub fn json(value: &Value) -> Response<Body> {
    let mut response = Response::new(body::full(value.to_string()));
    set_headers(&mut response, "application/json");
    response
}

fn set_headers(response: &mut Response<Body>, content_type: &'static str) {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}
