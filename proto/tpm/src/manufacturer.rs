//! Who made a TPM: its endorsement certificate against a list of certificate authorities that an organization chose.
//!
//! One step only: the list names the authorities that issue endorsement certificates, as makers publish them. No network
//! is asked, neither for intermediates nor for revocations.

use ring::digest::{SHA256, digest};
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::public_key::PublicKey;
use x509_parser::time::ASN1Time;

use crate::error::ProofError;
use crate::limits::CERTIFICATE_LEN_MAX;
use crate::public::{Public, Unique};

const CERTIFICATE: &str = "the endorsement certificate";

/// SHA-256 of the DER of an authority in PEM, by which it is known.
///
/// # Errors
/// [`ProofError::Malformed`] if it is no certificate of an authority.
pub fn authority(pem: &str) -> Result<[u8; 32], ProofError> {
    let malformed = |detail| ProofError::Malformed { what: "a manufacturer's certificate", detail };
    let (_, block) = parse_x509_pem(pem.as_bytes()).map_err(|_| malformed("it is no PEM"))?;
    let certificate = block.parse_x509().map_err(|_| malformed("it is no certificate"))?;
    if !certificate.is_ca() {
        return Err(malformed("it is not one of an authority"));
    }
    Ok(sha256(&block.contents))
}

/// Which of `authorities` (PEM) issued `certificate` (DER) for `endorsement`; none if none did, or it is not valid at
/// `now` (Unix seconds).
///
/// # Errors
/// [`ProofError`] if the certificate is none, or one for another key: that is no unknown maker but a wrong claim.
pub fn issuer(
    certificate: &[u8],
    endorsement: &Public,
    authorities: &[String],
    now: u64,
) -> Result<Option<[u8; 32]>, ProofError> {
    let malformed = |detail| ProofError::Malformed { what: CERTIFICATE, detail };
    if certificate.len() > CERTIFICATE_LEN_MAX {
        return Err(malformed("it is too long"));
    }
    // Some makers fill the NV index up behind the certificate.
    let (_, parsed) =
        X509Certificate::from_der(certificate).map_err(|_| malformed("it is no certificate"))?;
    if !is_for(&parsed, endorsement) {
        return Err(ProofError::Kind { what: CERTIFICATE, detail: "it is for another key" });
    }
    let at = i64::try_from(now).ok().and_then(|now| ASN1Time::from_timestamp(now).ok());
    let Some(at) = at.filter(|at| parsed.validity().is_valid_at(*at)) else { return Ok(None) };
    for pem in authorities {
        // croftctl reads each before it is signed.
        let Ok(known) = authority(pem) else { continue };
        let Ok((_, block)) = parse_x509_pem(pem.as_bytes()) else { continue };
        let Ok(issuer) = block.parse_x509() else { continue };
        let is_named = issuer.subject().as_raw() == parsed.issuer().as_raw();
        let is_valid = issuer.validity().is_valid_at(at);
        if is_named && is_valid && parsed.verify_signature(Some(issuer.public_key())).is_ok() {
            return Ok(Some(known));
        }
    }
    Ok(None)
}

fn is_for(certificate: &X509Certificate<'_>, endorsement: &Public) -> bool {
    match (certificate.public_key().parsed(), &endorsement.unique) {
        (Ok(PublicKey::RSA(key)), Unique::Rsa(modulus)) => {
            let start = key.modulus.iter().position(|byte| *byte != 0).unwrap_or(0);
            key.modulus[start..] == **modulus && key.try_exponent() == Ok(65_537)
        }
        (Ok(PublicKey::EC(key)), Unique::P256(point)) => key.data() == point,
        _ => false,
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}
