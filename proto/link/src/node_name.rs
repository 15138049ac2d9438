//! Whose key a node's certificate names, established without a connection: for evidence that a person carries.
//!
//! The certificate may have expired: a node behind an air gap does not renew it, and what it proves, that the fleet's CA
//! once gave this key to this node, does not age. Whether the node still belongs to the fleet is not said here.

use std::sync::Arc;

use croft_domain::digest::Sha256Digest;
use croft_domain::id::{FleetId, NodeId};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::limits::CHAIN_LEN_MAX;
use crate::pin::spki_pin;

/// A chain names no node of this fleet.
#[derive(Debug, thiserror::Error)]
pub enum NodeNameError {
    /// It is no chain of certificates.
    #[error("it is no chain of 2 to {CHAIN_LEN_MAX} certificates")]
    Malformed,
    /// No certificate in it is a CA of this fleet.
    #[error("none of its certificates is a CA that the fleet document pins")]
    OtherAuthority,
    /// The CA did not certify it.
    #[error("the fleet's CA did not certify it")]
    Unsigned(#[source] rustls::Error),
    /// It certifies somebody else.
    #[error("it does not name a node of this fleet")]
    NotANode,
}

/// The node that a chain (PEM, leaf first, then its CA) names in `fleet`, with its public point (SEC 1, uncompressed).
///
/// # Errors
/// [`NodeNameError`] unless a CA with one of `pins` certified exactly one name, of a node of this fleet.
pub fn node_of_chain(
    chain_pem: &str,
    pins: &[Sha256Digest],
    fleet: &FleetId,
) -> Result<(NodeId, [u8; 65]), NodeNameError> {
    let chain: Vec<CertificateDer<'_>> = CertificateDer::pem_slice_iter(chain_pem.as_bytes())
        .take(CHAIN_LEN_MAX + 1)
        .collect::<Result<_, _>>()
        .map_err(|_| NodeNameError::Malformed)?;
    let [leaf, others @ ..] = chain.as_slice() else { return Err(NodeNameError::Malformed) };
    if others.is_empty() || chain.len() > CHAIN_LEN_MAX {
        return Err(NodeNameError::Malformed);
    }
    let mut roots = RootCertStore::empty();
    for certificate in others {
        if spki_pin(certificate).is_some_and(|pin| pins.contains(&pin)) {
            // A certificate that is no usable anchor simply does not become one.
            let _ = roots.add(certificate.clone().into_owned());
        }
    }
    if roots.is_empty() {
        return Err(NodeNameError::OtherAuthority);
    }
    let (_, parsed) = X509Certificate::from_der(leaf).map_err(|_| NodeNameError::Malformed)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|_| NodeNameError::OtherAuthority)?;
    // As of the moment it was made: see above.
    let made = u64::try_from(parsed.validity().not_before.timestamp()).unwrap_or(0);
    let then = UnixTime::since_unix_epoch(std::time::Duration::from_secs(made));
    verifier.verify_client_cert(leaf, others, then).map_err(NodeNameError::Unsigned)?;
    let names = parsed.subject_alternative_name().ok().flatten().ok_or(NodeNameError::NotANode)?;
    // Exactly one name: a certificate that named two would be read by two readers in two ways.
    let [GeneralName::URI(uri)] = names.value.general_names.as_slice() else {
        return Err(NodeNameError::NotANode);
    };
    let node = uri.strip_prefix(&format!("spiffe://{fleet}/node/")).and_then(|id| id.parse().ok());
    let point: &[u8] = &parsed.public_key().subject_public_key.data;
    node.zip(point.try_into().ok()).ok_or(NodeNameError::NotANode)
}
