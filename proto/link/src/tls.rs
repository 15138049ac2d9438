//! TLS as a client: 1.3 only, X25519MLKEM768 preferred, CA pinned, no resumption.

use std::sync::Arc;

use croft_domain::digest::Sha256Digest;
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::LinkError;
use crate::held::{self, HeldKey};
use crate::pin::PinVerifier;
use crate::proxy::{FirstKeyShare, in_force};

/// What a client proves itself with.
pub struct ClientIdentity {
    /// Leaf certificate first, then its CA, PEM.
    pub chain_pem: String,
    /// The leaf's key.
    pub key: ClientKey,
}

/// A client's key, here or elsewhere.
pub enum ClientKey {
    /// PKCS #8, DER.
    Pkcs8(Vec<u8>),
    /// Whatever else signs with it.
    Held(Arc<dyn HeldKey>),
}

impl std::fmt::Debug for ClientIdentity {
    // The key must not reach a log by way of `{:?}`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientIdentity(…)")
    }
}

/// A client configuration that accepts only servers certified by a pinned CA.
///
/// Tickets are off on both sides: a resumed session would skip the check of a revoked certificate.
///
/// # Errors
/// [`LinkError::Identity`] if the certificate or key cannot be used.
pub fn client_config(
    pins: &[Sha256Digest],
    identity: Option<&ClientIdentity>,
) -> Result<Arc<rustls::ClientConfig>, LinkError> {
    client_config_with(pins, identity, in_force().first_key_share)
}

/// The same with this first key share, whatever the network in force says.
///
/// # Errors
/// As [`client_config`].
pub fn client_config_with(
    pins: &[Sha256Digest],
    identity: Option<&ClientIdentity>,
    first: FirstKeyShare,
) -> Result<Arc<rustls::ClientConfig>, LinkError> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    if first == FirstKeyShare::Small {
        // What stands first is sent at once; all else stays on offer.
        provider.kx_groups.sort_by_key(|group| group.name() != rustls::NamedGroup::X25519);
    }
    let provider = Arc::new(provider);
    let verifier = Arc::new(PinVerifier::new(pins, Arc::clone(&provider)));
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|e| LinkError::Identity(e.into()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = CertificateDer::pem_slice_iter(identity.chain_pem.as_bytes())
                .collect::<Result<Vec<_>, _>>()
                .map_err(|e| LinkError::Identity(e.into()))?;
            match &identity.key {
                ClientKey::Pkcs8(key) => {
                    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.clone()));
                    builder.with_client_auth_cert(chain, key).map_err(|e| LinkError::Identity(e.into()))?
                }
                ClientKey::Held(key) => {
                    builder.with_client_cert_resolver(Arc::new(held::resolver(chain, Arc::clone(key))))
                }
            }
        }
    };
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}
