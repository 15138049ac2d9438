//! Certificate requests (PKCS #10, RFC 2986). The subject is empty: the server decides what a certificate says.

use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::LinkError;

/// A request for the key in `pkcs8` (P-256, PKCS #8 DER), as DER.
///
/// # Errors
/// [`LinkError::Identity`] if the key is not a P-256 key.
pub fn request(pkcs8: &[u8]) -> Result<Vec<u8>, LinkError> {
    let identity = |e: rcgen::Error| LinkError::Identity(e.into());
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8.to_vec()));
    let pair = KeyPair::from_der_and_sign_algo(&key, &PKCS_ECDSA_P256_SHA256).map_err(identity)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(&pair).map_err(identity)?;
    Ok(request.der().to_vec())
}
