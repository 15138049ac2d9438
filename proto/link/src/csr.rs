//! Certificate requests (PKCS #10, RFC 2986). The subject is empty: the server decides what a certificate says.

use rcgen::{
    CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm,
    SigningKey,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::LinkError;
use crate::held::{HeldKey, POINT_LEN};

/// A request for a key that is not here, as DER; its holder signs it.
///
/// # Errors
/// [`LinkError::Identity`] if the holder does not sign.
pub fn request_held(key: &dyn HeldKey) -> Result<Vec<u8>, LinkError> {
    signed(&Held { point: key.point(), key })
}

/// A key as the library that writes requests wants it.
struct Held<'a> {
    point: [u8; POINT_LEN],
    key: &'a dyn HeldKey,
}

impl PublicKeyData for Held<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl SigningKey for Held<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.key.sign(message).map_err(|_| rcgen::Error::RemoteKeyError)
    }
}

fn signed(key: &impl SigningKey) -> Result<Vec<u8>, LinkError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(key).map_err(|e| LinkError::Identity(e.into()))?;
    Ok(request.der().to_vec())
}

/// A request for the key in `pkcs8` (P-256, PKCS #8 DER), as DER.
///
/// # Errors
/// [`LinkError::Identity`] if the key is not a P-256 key.
pub fn request(pkcs8: &[u8]) -> Result<Vec<u8>, LinkError> {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8.to_vec()));
    let pair = KeyPair::from_der_and_sign_algo(&key, &PKCS_ECDSA_P256_SHA256);
    signed(&pair.map_err(|e| LinkError::Identity(e.into()))?)
}
