//! Verifying a server by the pinned key of its CA (SubjectPublicKeyInfo, as RFC 7469 pins): the machine's own store of
//! authorities is never asked, so that neither a corporate middlebox nor a mis-issued certificate can stand in between.

use std::sync::Arc;

use croft_domain::digest::Sha256Digest;
use croft_domain::time::Timestamp;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::limits::CHAIN_LEN_MAX;

/// None of the presented certificates carries a pinned key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("certificate issued by {issuer}, expected a CA with pin {expected}")]
pub struct PinMismatch {
    /// Issuer of the server's certificate, as it writes it.
    pub issuer: String,
    /// The pins, joined by commas.
    pub expected: String,
}

/// SHA-256 of a certificate's SubjectPublicKeyInfo, or none if it is no certificate.
#[must_use]
pub fn spki_pin(certificate: &CertificateDer<'_>) -> Option<Sha256Digest> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let digest = ring::digest::digest(&ring::digest::SHA256, parsed.public_key().raw);
    digest.as_ref().try_into().ok().map(Sha256Digest)
}

/// How long a certificate counts, by its own word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lasting {
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub pin: Sha256Digest,
    /// When it ends.
    pub not_after: Timestamp,
}

/// The certificates of a PEM text, in its order; what is none is left out.
#[must_use]
pub fn lasting(pem: &[u8]) -> Vec<Lasting> {
    let parsed = CertificateDer::pem_slice_iter(pem).filter_map(Result::ok);
    parsed
        .filter_map(|der| {
            let pin = spki_pin(&der)?;
            let (_, certificate) = X509Certificate::from_der(&der).ok()?;
            let not_after = u64::try_from(certificate.validity().not_after.timestamp()).ok()?;
            Some(Lasting { pin, not_after: Timestamp(not_after) })
        })
        .collect()
}

/// Accepts a server whose chain holds a pinned CA that really signed it, for the name we connected to.
#[derive(Debug)]
pub struct PinVerifier {
    pins: Vec<Sha256Digest>,
    provider: Arc<CryptoProvider>,
}

impl PinVerifier {
    /// A verifier for these pins.
    #[must_use]
    pub fn new(pins: &[Sha256Digest], provider: Arc<CryptoProvider>) -> Self {
        Self { pins: pins.to_vec(), provider }
    }

    fn mismatch(&self, end_entity: &CertificateDer<'_>) -> rustls::Error {
        let issuer = X509Certificate::from_der(end_entity)
            .map_or_else(|_| "something that is no certificate".to_owned(), |(_, c)| c.issuer().to_string());
        // The name comes from a stranger and ends up on a terminal.
        let issuer = issuer.chars().filter(|c| !c.is_control()).take(200).collect();
        let expected = self.pins.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let mismatch = PinMismatch { issuer, expected };
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(mismatch))))
    }
}

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let mut roots = RootCertStore::empty();
        for certificate in intermediates.iter().take(CHAIN_LEN_MAX) {
            if spki_pin(certificate).is_some_and(|pin| self.pins.contains(&pin)) {
                // A certificate that is no usable anchor simply does not become one.
                let _ = roots.add(certificate.clone().into_owned());
            }
        }
        if roots.is_empty() {
            return Err(self.mismatch(end_entity));
        }
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &roots, intermediates, now, algorithms)?;
        verify_server_name(&parsed, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        // TLS 1.2 is not compiled in; a server that got here is broken.
        Err(rustls::Error::General("TLS 1.2 is not spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
