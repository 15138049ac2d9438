//! Signatures that Croft makes itself: ECDSA P-256 with SHA-256 (FIPS 186-5), ASN.1 DER, over the domain's prefix and
//! the exact bytes that are sent. Nothing is serialized again to be verified.
//!
//! [`Signer`] is whatever holds a private key. [`SigningKey`] holds it in this process; a hardware token or a key service
//! would be another one. How key files are read, and passphrases, are the matter of [`crate::keys`].

mod error;

use std::path::Path;
use std::sync::Arc;

use croft_domain::code::Code;
use croft_domain::digest::Sha256Digest;
use croft_domain::fleet::KeyEntry;
use croft_domain::signed::{Domain, Envelope};
use croft_domain::time::Timestamp;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use zeroize::Zeroizing;

use crate::digest::sha256;
use crate::disk::write_durable;
use crate::keys::{self, NoPassphrase};

pub use error::KeyError;

/// Length of an uncompressed P-256 point (SEC 1, 2.3.3), in bytes.
pub const POINT_LEN: usize = 65;

/// A signature is not to be believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// No listed key has that id.
    #[error("key {0} is not listed")]
    KeyUnknown(Sha256Digest),
    /// The key does not count at that time.
    #[error("key {key} counts from {} until {}, not at {}", not_before.0, not_after.0, at.0)]
    KeyNotValid {
        /// Which.
        key: Sha256Digest,
        /// From when it counts.
        not_before: Timestamp,
        /// Until when.
        not_after: Timestamp,
        /// The time in question.
        at: Timestamp,
    },
    /// It was made by another key, for another kind of document, or over other bytes.
    #[error("signature does not hold")]
    Invalid,
}

impl SignError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        Code::TrustForged
    }
}

/// Something that signs with one P-256 key.
pub trait Signer: std::fmt::Debug + Send + Sync {
    /// The public key as an uncompressed point (SEC 1).
    fn point(&self) -> [u8; POINT_LEN];

    /// Signs `message` as it is: ECDSA with SHA-256, ASN.1 DER.
    ///
    /// # Errors
    /// [`KeyError::Held`] when whatever holds the key does not answer.
    fn sign_message(&self, message: &[u8]) -> Result<Vec<u8>, KeyError>;
}

impl Signer for SigningKey {
    fn point(&self) -> [u8; POINT_LEN] {
        Self::point(self)
    }

    fn sign_message(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        Ok(self.sign_bytes(message))
    }
}

impl Signer for Box<dyn Signer> {
    fn point(&self) -> [u8; POINT_LEN] {
        (**self).point()
    }

    fn sign_message(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        (**self).sign_message(message)
    }
}

/// Signs `payload` as a document of kind `domain`, with whatever holds the key.
///
/// # Errors
/// As [`Signer::sign_message`].
pub fn sign_envelope(
    signer: &dyn Signer,
    domain: Domain,
    payload: impl Into<Vec<u8>>,
) -> Result<Envelope, KeyError> {
    let payload = payload.into();
    let signature = signer.sign_message(&message(domain, &payload))?;
    Ok(Envelope { payload, signature, key_id: sha256(&signer.point()) })
}

/// A private P-256 key. Cheap to clone; the bytes are wiped when the last clone is gone.
#[derive(Clone)]
pub struct SigningKey {
    pair: Arc<EcdsaKeyPair>,
    pkcs8: Arc<Zeroizing<Vec<u8>>>,
}

impl std::fmt::Debug for SigningKey {
    // Neither the key nor anything derived from its private part may reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SigningKey").field(&self.key_id()).finish()
    }
}

impl SigningKey {
    /// A new key from the system's random source.
    ///
    /// # Errors
    /// When that source does not answer.
    pub fn generate() -> Result<Self, KeyError> {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
            .map_err(|_| KeyError::Generate)?;
        Self::from_pkcs8(document.as_ref())
    }

    /// Reads an unencrypted PKCS#8 document (DER).
    ///
    /// # Errors
    /// When it is not a P-256 key, or its public part is missing or does not belong to its private one.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, KeyError> {
        keys::check_curve(pkcs8)?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8, &SystemRandom::new())
            .map_err(|_| KeyError::Malformed)?;
        Ok(Self { pair: Arc::new(pair), pkcs8: Arc::new(Zeroizing::new(pkcs8.to_vec())) })
    }

    /// The PKCS#8 document (DER). Keep it where only its owner reads.
    #[must_use]
    pub fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// Reads a key file without a passphrase.
    ///
    /// # Errors
    /// When anybody but its owner may read or write it, it is encrypted, or it does not hold a P-256 key.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        keys::read(path, &NoPassphrase)
    }

    /// Writes a key file with mode 0600 and no passphrase, durably.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), KeyError> {
        write_durable(path, &self.pkcs8, 0o600).map_err(KeyError::Save)
    }

    /// The public key as an uncompressed point (SEC 1).
    #[must_use]
    pub fn point(&self) -> [u8; POINT_LEN] {
        let mut point = [0; POINT_LEN];
        // An uncompressed P-256 point always has this length.
        point.copy_from_slice(self.pair.public_key().as_ref());
        point
    }

    /// SHA-256 of [`Self::point`].
    #[must_use]
    pub fn key_id(&self) -> Sha256Digest {
        sha256(self.pair.public_key().as_ref())
    }

    /// The key as `fleet.json` lists it.
    #[must_use]
    pub fn entry(&self, not_before: Timestamp, not_after: Timestamp) -> KeyEntry {
        KeyEntry { point: hex::encode(self.point()), not_before, not_after }
    }

    /// Signs `payload` as a document of kind `domain`.
    #[must_use]
    pub fn sign(&self, domain: Domain, payload: impl Into<Vec<u8>>) -> Envelope {
        let payload = payload.into();
        let signature = self.sign_bytes(&message(domain, &payload));
        Envelope { payload, signature, key_id: self.key_id() }
    }

    /// Signs bytes as they are. Only for formats that bring their own domain separation, as TUF's `_type` does.
    pub(crate) fn sign_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        self.pair
            .sign(&SystemRandom::new(), bytes)
            .expect("signing fails only without a random source, and generating the key has used it")
            .as_ref()
            .to_vec()
    }
}

fn message(domain: Domain, payload: &[u8]) -> Vec<u8> {
    [domain.prefix(), payload].concat()
}

/// Verifies `envelope` as a document of kind `domain` under the public key `point` (SEC 1, uncompressed).
///
/// # Errors
/// [`SignError::Invalid`] when the signature does not hold.
pub fn verify(envelope: &Envelope, domain: Domain, point: &[u8]) -> Result<(), SignError> {
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point)
        .verify(&message(domain, &envelope.payload), &envelope.signature)
        .map_err(|_| SignError::Invalid)
}

/// Verifies `envelope` under the one of `keys` that it names, which must count at `at`.
///
/// # Errors
/// See [`SignError`].
pub fn verify_listed(
    envelope: &Envelope,
    domain: Domain,
    keys: &[KeyEntry],
    at: Timestamp,
) -> Result<(), SignError> {
    // The same point may be listed twice with different times; any entry that counts will do.
    let mut outside = None;
    for entry in keys {
        let Ok(point) = hex::decode(&entry.point) else { continue };
        let key = sha256(&point);
        if key != envelope.key_id {
            continue;
        }
        if entry.not_before <= at && at < entry.not_after {
            return verify(envelope, domain, &point);
        }
        let (not_before, not_after) = (entry.not_before, entry.not_after);
        outside = Some(SignError::KeyNotValid { key, not_before, not_after, at });
    }
    Err(outside.unwrap_or(SignError::KeyUnknown(envelope.key_id)))
}
