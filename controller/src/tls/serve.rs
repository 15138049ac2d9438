//! The accept loop: handshakes in tasks of their own, each connection bounded, all of them drained at the end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::{Connections, Peer, TlsError};
use crate::ca::{Authority, Subject};
use crate::limits;

/// A bound port with all that a connection needs.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    acceptor: TlsAcceptor,
    authority: Arc<Authority>,
    connections: Connections,
    handshakes: Semaphore,
}

impl Listener {
    /// Binds `address`.
    ///
    /// # Errors
    /// [`TlsError::Listen`].
    pub async fn bind(
        address: &str,
        config: ServerConfig,
        authority: Arc<Authority>,
        connections: Connections,
    ) -> Result<Self, TlsError> {
        let listen = |source| TlsError::Listen { address: address.to_owned(), source };
        let socket = TcpListener::bind(address).await.map_err(listen)?;
        let bound = socket.local_addr().map_err(listen)?;
        let shared = Shared {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            authority,
            connections,
            handshakes: Semaphore::new(limits::HANDSHAKES_MAX),
        };
        Ok(Self { socket, address: bound, shared: Arc::new(shared) })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Serves `router` until `stop`, then drains: no new connections, requests in flight may end within the drain's time.
pub async fn serve(listener: Listener, router: Router, stop: CancellationToken) {
    let tracker = TaskTracker::new();
    let slots = Arc::new(Semaphore::new(limits::CONNECTIONS_MAX));
    let Listener { socket, shared, .. } = listener;
    loop {
        let slot = tokio::select! {
            () = stop.cancelled() => break,
            slot = slots.clone().acquire_owned() => match slot {
                Ok(slot) => slot,
                Err(_) => break,
            },
        };
        let stream = tokio::select! {
            () = stop.cancelled() => break,
            accepted = socket.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors, or the peer left already: both pass, so the loop goes on after a breath.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let (shared, router, stop) = (shared.clone(), router.clone(), stop.clone());
        tracker.spawn(async move {
            connection(stream, &shared, router, stop).await;
            drop(slot);
        });
    }
    drop(socket);
    tracker.close();
    if timeout(limits::DRAIN_TIMEOUT, tracker.wait()).await.is_err() {
        tracing::warn!(open = tracker.len(), "connections did not drain in time and are cut");
    }
}

async fn connection(stream: TcpStream, shared: &Shared, router: Router, stop: CancellationToken) {
    let _ = stream.set_nodelay(true);
    let handshake = async {
        let _turn = shared.handshakes.acquire().await.ok()?;
        match timeout(limits::HANDSHAKE_TIMEOUT, shared.acceptor.accept(stream)).await {
            Ok(Ok(stream)) => Some(stream),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a handshake failed");
                None
            }
            Err(_) => None,
        }
    };
    let Some(stream) = handshake.await else { return };
    let peer = peer_of(&stream, &shared.authority);
    let cut = CancellationToken::new();
    let _registered = match &peer {
        Peer::Known { subject: Subject::Node(node), .. } => {
            Some(shared.connections.register(*node, cut.clone()))
        }
        _ => None,
    };
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let (router, peer) = (router.clone(), peer.clone());
        async move {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer);
            router.oneshot(request).await.map_err(|never: Infallible| never)
        }
    });
    let builder = builder();
    let mut served = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        ended = served.as_mut() => return log_end(ended),
        () = cut.cancelled() => {
            // Long enough for the last message to leave, and no longer: the peer is not asked to agree.
            served.as_mut().graceful_shutdown();
            let _ = timeout(limits::REVOKED_LINGER, served).await;
            return;
        }
        () = stop.cancelled() => served.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        ended = served.as_mut() => log_end(ended),
        () = cut.cancelled() => {}
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits::HANDSHAKE_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits::KEEPALIVE_INTERVAL)
        .keep_alive_timeout(limits::KEEPALIVE_TIMEOUT)
        .max_concurrent_streams(limits::STREAMS_PER_CONNECTION_MAX)
        .adaptive_window(true);
    builder
}

fn log_end<E: std::fmt::Display>(ended: Result<(), E>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

fn peer_of(stream: &TlsStream<TcpStream>, authority: &Authority) -> Peer {
    let (_, session) = stream.get_ref();
    session
        .peer_certificates()
        .and_then(|chain| authority.identify(chain.first()?))
        .map_or(Peer::Anonymous, |(subject, key_point)| Peer::Known { subject, key_point })
}
