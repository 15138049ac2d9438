//! Connections and requests: accept within bounds, guard, route, answer. Bodies are never logged, nor paths, which
//! anybody may write what they like into.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::spawn_local;

use super::answer::{deliver, json};
use super::body::{self, Body};
use super::content::Screened;
use super::errors::Refusal;
use super::gate::Gate;
use super::guard::{self, Caller, Endpoint};
use super::limits::{CONNECTIONS_MAX, DRAIN_WAIT, HEAD_LEN_MAX, HEAD_TIMEOUT, HEADERS_MAX};
use super::ollama::{self, OllamaVoice, Wanted};
use super::openai::{self, OpenAiVoice};
use super::{clock, policy};

/// How long to wait when the kernel has no descriptor for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until the daemon asks to drain, then lets running answers end.
pub async fn serve(gate: Rc<Gate>, listener: TcpListener) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut draining = gate.draining();
    loop {
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else { return };
        let accepted = tokio::select! {
            _ = draining.wait_for(|draining| *draining) => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let gate = Rc::clone(&gate);
                spawn_local(async move {
                    connection(gate, stream, peer).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "connection not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    let all = u32::try_from(CONNECTIONS_MAX).unwrap_or(u32::MAX);
    let _ = tokio::time::timeout(DRAIN_WAIT, connections.acquire_many(all)).await;
}

async fn connection(gate: Rc<Gate>, stream: TcpStream, peer: SocketAddr) {
    let mut draining: watch::Receiver<bool> = gate.draining();
    let service = service_fn(move |request| respond(Rc::clone(&gate), peer, request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_LEN_MAX)
        .half_close(false)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        // A client that goes away ends its connection; dropping what runs for it cancels it.
        _ = connection.as_mut() => return,
        _ = draining.wait_for(|draining| *draining) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

async fn respond(
    gate: Rc<Gate>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let (parts, mut incoming) = request.into_parts();
    let dialect = guard::dialect(parts.uri.path());
    let answered = answer(&gate, peer, &parts, &mut incoming).await;
    let mut response = answered.unwrap_or_else(|refusal| {
        tracing::debug!(status = refusal.status.as_u16(), code = refusal.code.as_str(), "refused");
        refusal.response(dialect)
    });
    if !parts.headers.contains_key(header::EXPECT) {
        // A client that is still sending would not read the refusal.
        body::discard(&mut incoming).await;
    }
    if parts.method == Method::HEAD {
        *response.body_mut() = body::full(Bytes::new());
    }
    Ok(response)
}

async fn answer(
    gate: &Rc<Gate>,
    peer: SocketAddr,
    parts: &Parts,
    incoming: &mut Incoming,
) -> Result<Response<Body>, Refusal> {
    guard::check_host(&parts.headers, &parts.uri, gate.server.port())?;
    guard::check_origin(&parts.headers)?;
    let endpoint = guard::endpoint(&parts.method, parts.uri.path())?;
    if endpoint.infers() {
        let caller = admit(gate, peer, parts)?;
        return infer(gate, caller, endpoint, incoming).await;
    }
    let policy = gate.policy();
    Ok(match endpoint {
        Endpoint::Version => json(&ollama::version()),
        Endpoint::Tags => json(&ollama::tags(policy.as_deref())),
        Endpoint::Processes => json(&ollama::processes(gate)),
        Endpoint::Models => json(&openai::models(policy.as_deref())),
        Endpoint::Model => {
            let name = parts.uri.path().strip_prefix(guard::MODEL_PREFIX).unwrap_or_default();
            json(&openai::model(name, &*gate.policy_needed()?)?)
        }
        Endpoint::Show => {
            let body = body::read(incoming, &mut gate.budget.reservation()).await?;
            json(&ollama::show(&body, &*gate.policy_needed()?)?)
        }
        _ => root(),
    })
}

/// Who asks, and whether anybody may ask now. The reason of a refusal is for enrolled people, so strangers are turned
/// away first; unless no caller is known at all, when nobody could ever read it.
fn admit(gate: &Gate, peer: SocketAddr, parts: &Parts) -> Result<Caller, Refusal> {
    let policy = gate.policy().ok_or_else(policy::refusal_before_policy)?;
    let standing = policy.standing(clock::now());
    if !policy.knows_callers() {
        standing.clone()?;
    }
    let caller = guard::caller(&policy, &parts.headers, || gate.lookup.uid(peer, gate.server))?;
    standing.map(|()| caller)
}

async fn infer(
    gate: &Rc<Gate>,
    caller: Caller,
    endpoint: Endpoint,
    incoming: &mut Incoming,
) -> Result<Response<Body>, Refusal> {
    let begun_ns = clock::monotonic_ns();
    let mut reservation = gate.budget.reservation();
    let body = body::read(incoming, &mut reservation).await?;
    match endpoint {
        Endpoint::ChatCompletions | Endpoint::Completions => {
            let (shape, (mut asked, include_usage)) = if endpoint == Endpoint::ChatCompletions {
                (openai::Shape::Chat, openai::chat(&body)?)
            } else {
                (openai::Shape::Text, openai::completion(&body)?)
            };
            drop(body);
            let screened = gate.screen(&mut asked).await?;
            let (model, stream) = (asked.model.clone(), asked.stream);
            let voice = OpenAiVoice::new(shape, gate.random(), clock::now().wall_s, model, include_usage);
            Ok(marked(deliver(gate.submit(caller, asked, reservation)?, voice, stream).await?, &screened))
        }
        _ => {
            let (shape, wanted) = if endpoint == Endpoint::Chat {
                (ollama::Shape::Chat, ollama::chat(&body)?)
            } else {
                (ollama::Shape::Generate, ollama::generate(&body)?)
            };
            drop(body);
            let mut asked = match wanted {
                Wanted::Answer(asked) => *asked,
                Wanted::Load(model) => {
                    gate.policy_needed()?.model(&model)?;
                    return Ok(json(&ollama::loaded(shape, &model)));
                }
            };
            let screened = gate.screen(&mut asked).await?;
            let (model, stream) = (asked.model.clone(), asked.stream);
            let voice = OllamaVoice::new(shape, model, begun_ns);
            Ok(marked(deliver(gate.submit(caller, asked, reservation)?, voice, stream).await?, &screened))
        }
    }
}

/// Says in a header what the model did not see.
fn marked(mut response: Response<Body>, screened: &Screened) -> Response<Body> {
    if screened.is_changed()
        && let Ok(value) = HeaderValue::from_str(&screened.header())
    {
        response.headers_mut().insert("x-croft-redacted", value);
    }
    response
}

fn root() -> Response<Body> {
    let mut response = Response::new(body::full(Bytes::from_static(b"Croft is running")));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
