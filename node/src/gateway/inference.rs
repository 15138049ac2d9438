//! What happens to a request that makes a model work, once its sender is known: it is read, looked through, queued and
//! answered in its own words.

use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderValue, Response};
use hyper::body::Incoming;

use super::answer::{Voice, deliver, json};
use super::body::{self, Body};
use super::clock;
use super::content::Screened;
use super::embeddings::{self, Texts};
use super::endpoint::Endpoint;
use super::errors::Refusal;
use super::gate::{Gate, Held};
use super::guard::Sender;
use super::infill::{self, InfillVoice};
use super::job::Asked;
use super::ollama::{self, OllamaVoice, Wanted};
use super::openai::{self, OpenAiVoice};
use super::quota::Place;
use super::rerank;

/// A request on its way.
struct Journey<'a> {
    gate: &'a Rc<Gate>,
    sender: Sender,
    held: Held,
    begun_ns: u64,
}

/// Answers.
///
/// # Errors
/// Why there is no answer.
pub async fn infer(
    gate: &Rc<Gate>,
    sender: Sender,
    place: Place,
    endpoint: Endpoint,
    incoming: &mut Incoming,
) -> Result<Response<Body>, Refusal> {
    let begun_ns = clock::monotonic_ns();
    let mut reservation = gate.budget.reservation();
    let body = body::read(incoming, &mut reservation).await?;
    let journey = Journey { gate, sender, held: Held { reservation, place: Some(place) }, begun_ns };
    match endpoint {
        Endpoint::ChatCompletions | Endpoint::Completions => journey.open_ai(endpoint, body).await,
        Endpoint::Embeddings | Endpoint::Embed | Endpoint::EmbedOne => journey.embed(endpoint, body).await,
        Endpoint::Infill => journey.infill(body).await,
        Endpoint::Rerank => journey.rerank(body).await,
        _ => journey.ollama(endpoint, body).await,
    }
}

impl Journey<'_> {
    async fn open_ai(self, endpoint: Endpoint, body: Bytes) -> Result<Response<Body>, Refusal> {
        let (shape, (asked, include_usage)) = if endpoint == Endpoint::ChatCompletions {
            (openai::Shape::Chat, openai::chat(&body)?)
        } else {
            (openai::Shape::Text, openai::completion(&body)?)
        };
        let (nonce, now_s, model) = (self.gate.random(), clock::now().wall_s, asked.model.clone());
        let voice = OpenAiVoice::new(shape, nonce, now_s, model, include_usage);
        self.answer(asked, voice).await
    }

    async fn ollama(self, endpoint: Endpoint, body: Bytes) -> Result<Response<Body>, Refusal> {
        let (shape, (wanted, keep_alive_s)) = if endpoint == Endpoint::Chat {
            (ollama::Shape::Chat, ollama::chat(&body)?)
        } else {
            (ollama::Shape::Generate, ollama::generate(&body)?)
        };
        match wanted {
            Wanted::Answer(asked) => {
                self.keep_alive(&asked.model, keep_alive_s)?;
                let voice = OllamaVoice::new(shape, asked.model.clone(), self.begun_ns);
                self.answer(*asked, voice).await
            }
            Wanted::Load(model) => {
                let granted_s = self.keep_alive(&model, keep_alive_s)?;
                let reason = if granted_s == Some(0) { "unload" } else { "load" };
                Ok(json(&ollama::loaded(shape, &model, reason)))
            }
        }
    }

    async fn infill(self, body: Bytes) -> Result<Response<Body>, Refusal> {
        let policy = self.gate.policy_needed()?;
        let (asked, ignored) = infill::request(&body, policy.sole_model())?;
        let voice = InfillVoice::new(asked.model.clone());
        let mut response = self.answer(asked, voice).await?;
        set_header(&mut response, "x-croft-ignored", &ignored.join(", "));
        Ok(response)
    }

    async fn answer(self, mut asked: Asked, voice: impl Voice + 'static) -> Result<Response<Body>, Refusal> {
        let model = asked.model.clone();
        let screened = self.gate.screen(&self.sender, &model, asked.texts()).await?;
        let stream = asked.stream;
        let answer = self.gate.submit(&self.sender, asked, self.held)?;
        Ok(marked(deliver(answer, voice, stream).await?, &screened))
    }

    async fn embed(self, endpoint: Endpoint, body: Bytes) -> Result<Response<Body>, Refusal> {
        let mut texts = match endpoint {
            Endpoint::Embeddings => openai::embeddings(&body)?,
            Endpoint::Embed => ollama::embed(&body)?,
            _ => ollama::embed_one(&body)?,
        };
        self.keep_alive(&texts.model, texts.keep_alive_s)?;
        let model = texts.model.clone();
        let screened = self.gate.screen(&self.sender, &model, texts.texts.iter_mut().collect()).await?;
        let Texts { wording, .. } = texts;
        let vectors = embeddings::vectors(self.gate, &self.sender, texts, self.held).await?;
        let answer = match endpoint {
            Endpoint::Embeddings => openai::vectors(&model, &vectors, wording),
            Endpoint::Embed => ollama::vectors(&model, &vectors, self.begun_ns),
            _ => ollama::one_vector(&vectors),
        };
        Ok(marked(json(&answer), &screened))
    }

    async fn rerank(self, body: Bytes) -> Result<Response<Body>, Refusal> {
        let mut question = rerank::question(&body)?;
        let model = question.model.clone();
        let screened = self.gate.screen(&self.sender, &model, question.texts()).await?;
        let answer = rerank::rerank(self.gate, &self.sender, question, self.held).await?;
        Ok(marked(json(&answer), &screened))
    }

    /// Hands on how long the client wants the model to stay loaded, within what the policy says; gives what it was
    /// granted.
    fn keep_alive(&self, model: &str, asked_s: Option<u64>) -> Result<Option<u64>, Refusal> {
        let policy = self.gate.policy_needed()?;
        let model = policy.model(model)?;
        let granted_s = asked_s.and_then(|asked_s| policy.keep_alive_s(Some(asked_s)));
        if let Some(seconds) = granted_s {
            self.gate.slot_of(model)?.keep_alive(seconds);
        }
        Ok(granted_s)
    }
}

/// Says in a header what the model did not see.
fn marked(mut response: Response<Body>, screened: &Screened) -> Response<Body> {
    set_header(&mut response, "x-croft-redacted", &screened.header());
    response
}

fn set_header(response: &mut Response<Body>, name: &'static str, value: &str) {
    if let (false, Ok(value)) = (value.is_empty(), HeaderValue::from_str(value)) {
        response.headers_mut().insert(name, value);
    }
}
