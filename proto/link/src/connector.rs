//! Connecting: TCP, then pinned TLS, both within their time.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::Url;

use crate::LinkError;
use crate::limits::{CONNECT_TIMEOUT, HANDSHAKE_TIMEOUT};
use crate::proxy::Proxy;

/// Where a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Host name or IP literal, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl Address {
    /// Reads `https://HOST:PORT`, and nothing behind it.
    ///
    /// # Errors
    /// [`LinkError::Address`] for anything else.
    pub fn of(url: &Url) -> Result<Self, LinkError> {
        let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.username().is_empty();
        match (url.scheme(), url.host_str(), url.port_or_known_default()) {
            ("https", Some(host), Some(port)) if bare => {
                Ok(Self { host: host.trim_matches(['[', ']']).to_owned(), port })
            }
            _ => Err(LinkError::Address(url.to_string())),
        }
    }
}

/// An open link.
pub struct Link(TokioIo<TlsStream<TcpStream>>);

/// Opens links to one address.
#[derive(Clone)]
pub struct Connector {
    address: Address,
    config: Arc<rustls::ClientConfig>,
    proxy: Option<Proxy>,
}

impl Connector {
    /// A connector that offers `alpn` as the only application protocol, by the way that the network in force names.
    #[must_use]
    pub fn new(address: Address, config: &Arc<rustls::ClientConfig>, alpn: &[u8]) -> Self {
        let proxy = Proxy::for_address(&address);
        Self::through(address, config, alpn, proxy)
    }

    /// The same through this proxy, or through none.
    #[must_use]
    pub fn through(
        address: Address,
        config: &Arc<rustls::ClientConfig>,
        alpn: &[u8],
        proxy: Option<Proxy>,
    ) -> Self {
        let mut config = rustls::ClientConfig::clone(config);
        config.alpn_protocols = vec![alpn.to_vec()];
        Self { address, config: Arc::new(config), proxy }
    }

    /// Connects.
    ///
    /// # Errors
    /// The error of whichever step failed; a wrong pin is a `rustls::Error` within.
    pub async fn connect(self) -> std::io::Result<Link> {
        let late = |what| std::io::Error::new(std::io::ErrorKind::TimedOut, what);
        let Self { address, config, proxy } = self;
        let name = ServerName::try_from(address.host.clone())
            .map_err(|e| std::io::Error::new(std::io::ErrorKind::InvalidInput, e))?;
        let opening = async {
            match proxy {
                Some(proxy) => proxy.connect(&address).await,
                None => TcpStream::connect((address.host.as_str(), address.port)).await,
            }
        };
        let tcp = tokio::time::timeout(CONNECT_TIMEOUT, opening)
            .await
            .map_err(|_| late("no TCP connection in time"))??;
        tcp.set_nodelay(true)?;
        let handshake = TlsConnector::from(config).connect(name, tcp);
        let tls = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake)
            .await
            .map_err(|_| late("no TLS handshake in time"))??;
        Ok(Link(TokioIo::new(tls)))
    }
}

impl tower::Service<http::Uri> for Connector {
    type Response = Link;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = std::io::Result<Link>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Uri) -> Self::Future {
        Box::pin(self.clone().connect())
    }
}

impl Connection for Link {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl Write for Link {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
