//! Keys that sign somewhere else: a TPM's, for a client's certificate and its request.

use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};

/// Length of an uncompressed P-256 point (SEC 1), in bytes.
pub const POINT_LEN: usize = 65;

/// A P-256 key whose private part is not in this process.
pub trait HeldKey: std::fmt::Debug + Send + Sync {
    /// The public key as an uncompressed point (SEC 1).
    fn point(&self) -> [u8; POINT_LEN];

    /// Signs `message`: ECDSA with SHA-256, ASN.1 DER. It may take as long as a TPM does, tens of milliseconds.
    ///
    /// # Errors
    /// When its holder does not answer.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>>;
}

/// Gives the same certificate to every server that takes P-256.
#[derive(Debug)]
pub(crate) struct Resolver(Arc<CertifiedKey>);

pub(crate) fn resolver(chain: Vec<CertificateDer<'static>>, key: Arc<dyn HeldKey>) -> Resolver {
    Resolver(Arc::new(CertifiedKey::new(chain, Arc::new(Held(key)))))
}

impl ResolvesClientCert for Resolver {
    fn resolve(&self, _hints: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        schemes.contains(&SignatureScheme::ECDSA_NISTP256_SHA256).then(|| Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[derive(Clone, Debug)]
struct Held(Arc<dyn HeldKey>);

impl SigningKey for Held {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered
            .contains(&SignatureScheme::ECDSA_NISTP256_SHA256)
            .then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        None
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for Held {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        self.0.sign(message).map_err(|e| rustls::Error::General(e.to_string()))
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
    }
}
