//! The way out of a corporate network: an HTTP proxy that is asked to CONNECT, as `node.toml` or the environment says
//! (`HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`). It carries TLS that it cannot read: the pin is checked at the far end as ever.

use std::sync::OnceLock;

use http::{HeaderValue, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use tokio::net::TcpStream;
use tower::Service;

use crate::LinkError;
use crate::connector::Address;

/// What a process is told about the network around it, once, at its start.
#[derive(Debug)]
pub struct Network {
    /// Whom to ask for connections.
    proxies: Matcher,
    /// What the first message of a handshake offers.
    pub first_key_share: FirstKeyShare,
}

/// What the first message of a TLS handshake offers. Some middleboxes drop one that is longer than a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FirstKeyShare {
    /// X25519MLKEM768, about 1.2 KB: safe from later quantum computers.
    #[default]
    PostQuantum,
    /// X25519 alone; a server that prefers the other asks for it in a second message.
    Small,
}

static IN_FORCE: OnceLock<Network> = OnceLock::new();

/// Settles the network for this process, instead of what its environment says. Later calls change nothing.
///
/// # Errors
/// [`LinkError::ProxyAddress`] if `proxy` is not `http://[USER:PASSWORD@]HOST:PORT`.
pub fn configure(proxy: Option<&str>, first_key_share: FirstKeyShare) -> Result<(), LinkError> {
    let proxies = match proxy {
        None => Matcher::from_env(),
        Some(text) => {
            Proxy::parse(text)?;
            Matcher::builder().https(text).build()
        }
    };
    let _ = IN_FORCE.set(Network { proxies, first_key_share });
    Ok(())
}

pub(crate) fn in_force() -> &'static Network {
    let of_environment =
        || Network { proxies: Matcher::from_env(), first_key_share: FirstKeyShare::default() };
    IN_FORCE.get_or_init(of_environment)
}

/// A proxy with its credentials, which no `{:?}` shows.
#[derive(Clone, Debug)]
pub struct Proxy {
    uri: Uri,
    authorization: Option<HeaderValue>,
}

impl Proxy {
    /// Reads `http://[USER:PASSWORD@]HOST:PORT`.
    ///
    /// # Errors
    /// [`LinkError::ProxyAddress`], which does not repeat the text: it may hold a password.
    pub fn parse(text: &str) -> Result<Self, LinkError> {
        let matcher = Matcher::builder().https(text).build();
        let any = Uri::from_static("https://croft.invalid");
        let found = matcher.intercept(&any).as_ref().map(Self::of).ok_or(LinkError::ProxyAddress)?;
        let is_plain = found.uri.scheme_str() == Some("http") && text.starts_with("http://");
        if is_plain && found.uri.host().is_some() { Ok(found) } else { Err(LinkError::ProxyAddress) }
    }

    fn of(intercept: &Intercept) -> Self {
        let authorization = intercept.basic_auth().cloned().map(|mut value| {
            value.set_sensitive(true);
            value
        });
        Self { uri: intercept.uri().clone(), authorization }
    }

    /// The proxy for an address, if one is in force. This machine is never asked for through one.
    pub(crate) fn for_address(address: &Address) -> Option<Self> {
        let is_here = address.host == "localhost"
            || address.host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        if is_here {
            return None;
        }
        let uri: Uri = format!("https://{}", authority(address)).parse().ok()?;
        in_force().proxies.intercept(&uri).as_ref().map(Self::of)
    }

    /// Opens a connection to `address` through this proxy.
    pub(crate) async fn connect(self, address: &Address) -> std::io::Result<TcpStream> {
        let proxy = self.uri.authority().map(|a| a.as_str().to_owned()).unwrap_or_default();
        let target: Uri = authority(address)
            .parse()
            .map_err(|e| std::io::Error::new(std::io::ErrorKind::InvalidInput, e))?;
        let mut tunnel = Tunnel::new(self.uri, HttpConnector::new());
        if let Some(authorization) = self.authorization {
            tunnel = tunnel.with_auth(authorization);
        }
        let refused = |text: String| {
            // The library's error has no name of its own outside of it.
            let reason = if text.contains("authorization required") {
                "wants other credentials than it was given"
            } else if text.contains("underlying connection") {
                "cannot be reached"
            } else {
                "does not let this connection through"
            };
            std::io::Error::other(ProxyRefusal { proxy: proxy.clone(), reason })
        };
        let opened = tunnel.call(target).await.map_err(|e| refused(e.to_string()))?;
        Ok(opened.into_inner())
    }
}

fn authority(address: &Address) -> String {
    let Address { host, port } = address;
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// A proxy did not open a connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the proxy {proxy} {reason}")]
pub struct ProxyRefusal {
    /// Its host and port.
    pub proxy: String,
    /// What it did, for a person.
    pub reason: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_plain_http_and_its_password_is_in_no_message() {
        let proxy = Proxy::parse("http://jane:s3cret@proxy.acme.test:3128").expect("a proxy");
        assert_eq!(proxy.uri.authority().map(http::uri::Authority::as_str), Some("proxy.acme.test:3128"));
        assert!(proxy.authorization.is_some() && !format!("{proxy:?}").contains("s3cret"));
        for bad in ["", "proxy:3128", "https://proxy:3128", "socks5://jane:s3cret@proxy:1080", "http://"] {
            let error = Proxy::parse(bad).expect_err(bad);
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn this_machine_is_never_asked_for_through_a_proxy() {
        for host in ["127.0.0.1", "::1", "localhost"] {
            assert!(Proxy::for_address(&Address { host: host.to_owned(), port: 7443 }).is_none(), "{host}");
        }
    }
}
