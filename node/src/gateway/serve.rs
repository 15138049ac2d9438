//! Connections and requests: accept within bounds, guard, route, answer. Bodies are never logged, nor paths, which
//! anybody may write what they like into.

use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::spawn_local;

use super::answer::json;
use super::body::{self, Body};
use super::endpoint::{self, Endpoint};
use super::errors::Refusal;
use super::gate::Gate;
use super::guard::{self, Sender};
use super::inference::infer;
use super::limits::{
    CONNECTIONS_MAX, DRAIN_WAIT, HEAD_LEN_MAX, HEAD_TIMEOUT, HEADERS_MAX, PREFLIGHT_LEN_MAX,
};
use super::peer::Connection;
use super::quota::Place;
use super::{clock, ollama, openai, policy};

/// How long to wait when the kernel has no descriptor for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Where clients come in.
pub struct Doors {
    /// Over loopback.
    pub loopback: TcpListener,
    /// At a path.
    pub local: UnixListener,
}

/// A client's connection.
enum Stream {
    Loopback(TcpStream),
    Local(UnixStream),
}

impl Doors {
    async fn accept(&self, gate: &Gate) -> io::Result<(Stream, Connection)> {
        tokio::select! {
            accepted = self.loopback.accept() => {
                let (stream, client) = accepted?;
                let connection = Connection::tcp(&stream, client, gate.server)?;
                Ok((Stream::Loopback(stream), connection))
            }
            accepted = self.local.accept() => {
                let (stream, _) = accepted?;
                let connection = Connection::unix(&stream)?;
                Ok((Stream::Local(stream), connection))
            }
        }
    }
}

/// Serves until the daemon asks to drain, then lets running answers end.
pub async fn serve(gate: Rc<Gate>, doors: Doors) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut draining = gate.draining();
    loop {
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else { return };
        let accepted = tokio::select! {
            _ = draining.wait_for(|draining| *draining) => break,
            accepted = doors.accept(&gate) => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let gate = Rc::clone(&gate);
                spawn_local(async move {
                    match stream {
                        Stream::Loopback(stream) => converse(gate, stream, peer).await,
                        Stream::Local(stream) => converse(gate, stream, peer).await,
                    }
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

async fn converse(gate: Rc<Gate>, stream: impl AsyncRead + AsyncWrite + Unpin + 'static, peer: Connection) {
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
    peer: Connection,
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
    share(&gate, &parts, &mut response);
    if parts.method == Method::HEAD {
        *response.body_mut() = body::full(Bytes::new());
    }
    Ok(response)
}

async fn answer(
    gate: &Rc<Gate>,
    peer: Connection,
    parts: &Parts,
    incoming: &mut Incoming,
) -> Result<Response<Body>, Refusal> {
    guard::check_host(&parts.headers, &parts.uri, gate.server.port())?;
    guard::check_origin(gate.policy().as_deref(), &parts.headers)?;
    if guard::is_preflight(&parts.method, &parts.headers) {
        return Ok(preflight(&parts.headers));
    }
    let endpoint = endpoint::of(&parts.method, parts.uri.path())?;
    if endpoint.infers() {
        let (sender, place) = admit(gate, peer, parts)?;
        return infer(gate, sender, place, endpoint, incoming).await;
    }
    let policy = gate.policy();
    Ok(match endpoint {
        Endpoint::Version => json(&ollama::version()),
        Endpoint::Tags => json(&ollama::tags(policy.as_deref())),
        Endpoint::Processes => json(&ollama::processes(gate)),
        Endpoint::Models => json(&openai::models(policy.as_deref())),
        Endpoint::Model => {
            let name = parts.uri.path().strip_prefix(endpoint::MODEL_PREFIX).unwrap_or_default();
            json(&openai::model(name, &*gate.policy_needed()?)?)
        }
        Endpoint::Show => {
            let body = body::read(incoming, &mut gate.budget.reservation()).await?;
            json(&ollama::show(&body, &*gate.policy_needed()?, |model| gate.abilities(model))?)
        }
        _ => root(),
    })
}

/// Who asks, and whether anybody may ask now. The reason of a refusal is for enrolled people, so strangers are turned
/// away first; unless no caller is known at all, when nobody could ever read it.
fn admit(gate: &Gate, peer: Connection, parts: &Parts) -> Result<(Sender, Place), Refusal> {
    let policy = gate.policy().ok_or_else(policy::refusal_before_policy)?;
    let standing = policy.standing(clock::now());
    if !policy.knows_callers() {
        standing.clone()?;
    }
    let caller = guard::caller(&policy, &parts.headers, || gate.lookup.uid(peer))?;
    standing?;
    let declared = guard::declared_class(&parts.headers)?;
    let place = gate.quotas.admit(caller, policy.bounds(), clock::now().wall_s)?;
    Ok((Sender { caller, declared }, place))
}

/// Lets a web page read the answer, if the machine's owner named its origin; never another's, and never with a wildcard.
fn share(gate: &Gate, parts: &Parts, response: &mut Response<Body>) {
    let Some(origin) = parts.headers.get(header::ORIGIN) else { return };
    if gate.policy().is_some_and(|policy| policy.allows_origin(origin.as_bytes())) {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(header::VARY, HeaderValue::from_static("origin"));
    }
}

/// The answer to a browser that asks before it asks. Whether its page may ask was checked already, so it may send what
/// headers it likes: libraries add many of their own.
fn preflight(asked: &HeaderMap) -> Response<Body> {
    let mut response = Response::new(body::full(Bytes::new()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
    let usual = HeaderValue::from_static("authorization, content-type, x-api-key, x-croft-data-class");
    let wanted = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS).filter(|names| is_list_of_names(names));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.cloned().unwrap_or(usual));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}

/// Whether this is names of headers and nothing else, in particular no wildcard.
fn is_list_of_names(names: &HeaderValue) -> bool {
    let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b',' | b' ');
    names.len() <= PREFLIGHT_LEN_MAX && names.as_bytes().iter().all(is_of_name)
}

fn root() -> Response<Body> {
    let mut response = Response::new(body::full(Bytes::from_static(b"Croft is running")));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
