//! gRPC channels: over pinned TLS to a controller, over a Unix socket to the local daemon.

use std::path::Path;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use tonic::transport::{Channel, Endpoint};
use url::Url;

use crate::LinkError;
use crate::connector::{Address, Connector};
use crate::limits::{CONNECT_TIMEOUT, HANDSHAKE_TIMEOUT, KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT};

fn endpoint(uri: String) -> Result<Endpoint, LinkError> {
    let endpoint = Endpoint::from_shared(uri.clone()).map_err(|_| LinkError::Address(uri))?;
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT + HANDSHAKE_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true))
}

/// Connects to a controller now, so that a wrong pin or a dead host is told at once.
///
/// # Errors
/// [`LinkError::Intercepted`], [`LinkError::Unreachable`] or [`LinkError::Address`].
pub async fn grpc(url: &Url, config: &Arc<rustls::ClientConfig>) -> Result<Channel, LinkError> {
    let address = Address::of(url)?;
    let host = format!("{}:{}", address.host, address.port);
    let connector = Connector::new(address, config, b"h2");
    // The scheme only names the authority here: the connector itself speaks TLS.
    let uri = format!("http://{}", url.authority());
    endpoint(uri)?
        .connect_with_connector(connector)
        .await
        .map_err(|e| LinkError::from_source(&host, e.into()))
}

/// Connects to the daemon's socket.
///
/// # Errors
/// [`LinkError::Unreachable`] if nobody listens there.
pub async fn grpc_unix(path: &Path) -> Result<Channel, LinkError> {
    let target = path.to_owned();
    let connector = tower::service_fn(move |_: http::Uri| {
        let target = target.clone();
        async move { tokio::net::UnixStream::connect(target).await.map(TokioIo::new) }
    });
    Endpoint::from_static("http://localhost")
        .connect_timeout(CONNECT_TIMEOUT)
        .connect_with_connector(connector)
        .await
        .map_err(|e| LinkError::Unreachable { host: path.display().to_string(), source: e.into() })
}
