//! Who made a TPM: its endorsement certificate against a list of certificate authorities that an organization chose.
//!
//! Makers issue endorsement certificates by intermediates and publish roots. The list names whichever it trusts; what lies
//! between comes out of the TPM itself (TCG EK Credential Profile, 2.2.1.5.2), is believed for nothing but its signatures,
//! and is judged by RFC 5280, 6.1, as far as it concerns such certificates. No network is asked, neither for what is missing
//! nor for revocations.

use ring::digest::{SHA256, digest};
use x509_parser::extensions::ParsedExtension;
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::public_key::PublicKey;
use x509_parser::time::ASN1Time;

use crate::error::ProofError;
use crate::limits::{CERTIFICATE_LEN_MAX, INTERMEDIATES_LEN_MAX, INTERMEDIATES_MAX, PATH_INTERMEDIATES_MAX};
use crate::public::{Public, Unique};

const CERTIFICATE: &str = "the endorsement certificate";

/// `tcg-kp-EKCertificate`: what an endorsement certificate is for, where it says so (TCG EK Credential Profile, 3.2.16).
const FOR_ENDORSEMENT: &str = "2.23.133.8.1";

/// What a TPM says about its maker.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The endorsement certificate, DER.
    pub certificate: &'a [u8],
    /// Certificates between that and a root, DER, one behind the other; empty if the TPM has none.
    pub intermediates: &'a [u8],
    /// The key it must be for.
    pub endorsement: &'a Public,
}

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

/// Which of `authorities` (PEM) vouches for the TPM; none if none does, or something on the way is not valid at `now` (Unix
/// seconds).
///
/// # Errors
/// [`ProofError`] if the certificate is none, or one for another key or another purpose: that is no unknown maker but a
/// wrong claim.
pub fn issuer(claim: Claim<'_>, authorities: &[String], now: u64) -> Result<Option<[u8; 32]>, ProofError> {
    let malformed = |detail| ProofError::Malformed { what: CERTIFICATE, detail };
    let kind = |detail| ProofError::Kind { what: CERTIFICATE, detail };
    if claim.certificate.len() > CERTIFICATE_LEN_MAX {
        return Err(malformed("it is too long"));
    }
    // Some makers fill the NV index up behind the certificate.
    let (_, leaf) =
        X509Certificate::from_der(claim.certificate).map_err(|_| malformed("it is no certificate"))?;
    if !is_for(&leaf, claim.endorsement) {
        return Err(kind("it is for another key"));
    }
    if leaf.is_ca() || !may_be_for_endorsement(&leaf) {
        return Err(kind("it is for another purpose"));
    }
    let at = i64::try_from(now).ok().and_then(|now| ASN1Time::from_timestamp(now).ok());
    let Some(at) = at.filter(|at| leaf.validity().is_valid_at(*at)) else { return Ok(None) };
    if !is_understood(&leaf) {
        return Ok(None);
    }
    let between = split(claim.intermediates)?;
    // croftctl reads each before it is signed.
    let blocks = authorities.iter().filter_map(|pem| parse_x509_pem(pem.as_bytes()).ok());
    let blocks: Vec<_> = blocks.map(|(_, block)| block).collect();
    let anchors: Vec<X509Certificate<'_>> =
        blocks.iter().filter_map(|block| block.parse_x509().ok()).collect();
    let search = Search { anchors: &anchors, between: &between, at };
    Ok(search.anchor_of(&leaf, &mut Vec::new()).map(|anchor| sha256(anchor.as_raw())))
}

/// The certificates in `bytes`, as far as there are any: an index may be filled up behind them.
///
/// # Errors
/// [`ProofError::Malformed`] if there is more than a path can need.
fn split(bytes: &[u8]) -> Result<Vec<X509Certificate<'_>>, ProofError> {
    let malformed =
        |detail| ProofError::Malformed { what: "what lies between certificate and maker", detail };
    if bytes.len() > INTERMEDIATES_LEN_MAX {
        return Err(malformed("it is too long"));
    }
    let (mut rest, mut certificates) = (bytes, Vec::new());
    while let Ok((behind, certificate)) = X509Certificate::from_der(rest) {
        if certificates.len() == INTERMEDIATES_MAX {
            return Err(malformed("it has too many certificates"));
        }
        certificates.push(certificate);
        rest = behind;
    }
    Ok(certificates)
}

struct Search<'a> {
    anchors: &'a [X509Certificate<'a>],
    between: &'a [X509Certificate<'a>],
    at: ASN1Time,
}

impl<'a> Search<'a> {
    /// The listed authority that `certificate` leads to over the intermediates `passed` so far.
    fn anchor_of(
        &self,
        certificate: &X509Certificate<'_>,
        passed: &mut Vec<usize>,
    ) -> Option<&'a X509Certificate<'a>> {
        let issued = |issuer: &X509Certificate<'_>, below| self.has_issued(issuer, certificate, below);
        if let Some(anchor) = self.anchors.iter().find(|anchor| issued(anchor, passed.len())) {
            return Some(anchor);
        }
        if passed.len() == PATH_INTERMEDIATES_MAX {
            return None;
        }
        for (at, next) in self.between.iter().enumerate() {
            if passed.contains(&at) || !may_be_for_endorsement(next) || !issued(next, passed.len()) {
                continue;
            }
            passed.push(at);
            let anchor = self.anchor_of(next, passed);
            if anchor.is_some() {
                return anchor;
            }
            passed.pop();
        }
        None
    }

    /// Whether `issuer` may and did issue `certificate`, below which there are `below` other authorities.
    fn has_issued(
        &self,
        issuer: &X509Certificate<'_>,
        certificate: &X509Certificate<'_>,
        below: usize,
    ) -> bool {
        let constraints = issuer.basic_constraints().ok().flatten().map(|extension| extension.value);
        let is_authority = constraints.is_some_and(|constraints| {
            let fits = |max: u32| usize::try_from(max).is_ok_and(|max| below <= max);
            constraints.ca && constraints.path_len_constraint.is_none_or(fits)
        });
        // Absent, it restricts nothing; unreadable, it does.
        let signs_certificates =
            issuer.key_usage().is_ok_and(|usage| usage.is_none_or(|usage| usage.value.key_cert_sign()));
        is_authority
            && signs_certificates
            && is_understood(issuer)
            && issuer.subject().as_raw() == certificate.issuer().as_raw()
            && issuer.validity().is_valid_at(self.at)
            && certificate.verify_signature(Some(issuer.public_key())).is_ok()
    }
}

/// Whether a certificate leaves open or says that it is for endorsement keys.
fn may_be_for_endorsement(certificate: &X509Certificate<'_>) -> bool {
    certificate.extended_key_usage().is_ok_and(|usage| {
        usage.is_none_or(|usage| {
            usage.value.any || usage.value.other.iter().any(|oid| oid.to_id_string() == FOR_ENDORSEMENT)
        })
    })
}

/// Whether everything that a certificate calls critical is looked at here, or says only who made the TPM.
fn is_understood(certificate: &X509Certificate<'_>) -> bool {
    certificate.extensions().iter().filter(|extension| extension.critical).all(|extension| {
        matches!(
            extension.parsed_extension(),
            ParsedExtension::BasicConstraints(_)
                | ParsedExtension::KeyUsage(_)
                | ParsedExtension::ExtendedKeyUsage(_)
                | ParsedExtension::CertificatePolicies(_)
                | ParsedExtension::SubjectAlternativeName(_)
        )
    })
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
