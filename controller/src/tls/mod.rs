//! The one listener: TLS 1.3 only, hybrid post-quantum key agreement, identity from the client's certificate.
//!
//! A certificate is optional at this layer and demanded by each service. Tickets and session storage are off: a resumed
//! session skips the verifier, and with it revocation. Open connections are registered under their identity, so that an
//! eviction ends them at once.

mod registry;
mod serve;

use std::sync::Arc;

use croft_domain::code::Code;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

pub use registry::{Connections, Peer};
pub use serve::{Listener, serve};

use crate::ca::{Authority, CaError, ServerIdentity};

/// TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Certificates cannot be made.
    #[error("cannot certify this server")]
    Certify(#[source] CaError),
    /// Certificates or key do not fit.
    #[error("cannot set up TLS")]
    Setup(#[source] rustls::Error),
    /// The client verifier cannot be built.
    #[error("cannot set up the check of client certificates")]
    Verifier(#[source] rustls::server::VerifierBuilderError),
    /// Nobody can listen there.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

impl TlsError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Certify(e) => e.code(),
            Self::Setup(_) | Self::Verifier(_) => Code::Key,
            Self::Listen { .. } => Code::PortTaken,
        }
    }
}

/// The server's side of TLS.
///
/// # Errors
/// If certificates and key do not fit together.
pub fn server_config(authority: &Authority, identity: ServerIdentity) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().clone()).map_err(TlsError::Setup)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(TlsError::Verifier)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TlsError::Setup)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(identity.chain, identity.key)
        .map_err(TlsError::Setup)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}
