//! What a TPM said, verified: that a key is in it, and what it measured. Pure; the controller's side.

use ring::digest::{Context, SHA256, digest};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

use crate::attest::{Attested, Statement, signature};
use crate::client::Signed;
use crate::error::ProofError;
use crate::public::{POINT_LEN, Public, algorithm};
use crate::template;

const ATTESTATION: &str = "the attestation key";
const IDENTITY: &str = "the identity key";
const CERTIFICATION: &str = "the certification";
const QUOTE: &str = "the quote";

/// Reads an attestation key and holds that it is one: restricted, in a TPM, and made there.
///
/// Whether that TPM is a TPM is what a credential and a manufacturer's certificate show.
///
/// # Errors
/// [`ProofError`].
pub fn attestation_key(public: &[u8]) -> Result<Public, ProofError> {
    let key = Public::parse(ATTESTATION, public)?;
    signing(ATTESTATION, &key, template::ATTESTATION)?;
    Ok(key)
}

fn signing(what: &'static str, key: &Public, attributes: u32) -> Result<(), ProofError> {
    let kind = |detail| Err(ProofError::Kind { what, detail });
    if key.attributes != attributes {
        return kind("its attributes are not those of a key that was made in a TPM and stays there");
    }
    if key.point().is_none() || key.scheme != Some((algorithm::ECDSA, algorithm::SHA256)) {
        return kind("it does not sign with ECDSA over P-256 and SHA-256");
    }
    Ok(())
}

/// Verifies that `attestation` certified the key `identity`, in answer to `qualifying`; answers that key's point.
///
/// # Errors
/// [`ProofError`].
pub fn certified(
    attestation: &Public,
    identity: &[u8],
    signed: &Signed,
    qualifying: &[u8],
) -> Result<[u8; POINT_LEN], ProofError> {
    let identity = Public::parse(IDENTITY, identity)?;
    signing(IDENTITY, &identity, template::IDENTITY)?;
    let point = attestation.point().ok_or(ProofError::Signature(CERTIFICATION))?;
    let statement = verified(CERTIFICATION, point, signed, qualifying)?;
    match statement.attested {
        Attested::Key(name) if name == identity.name() => {
            identity.point().copied().ok_or(ProofError::OtherKey)
        }
        Attested::Key(_) | Attested::Pcrs { .. } => Err(ProofError::OtherKey),
    }
}

/// Verifies that the attestation key at `point` quoted exactly `values`, in answer to `qualifying`.
///
/// # Errors
/// [`ProofError`].
pub fn quoted(
    point: &[u8; POINT_LEN],
    signed: &Signed,
    qualifying: &[u8],
    values: &[(u8, [u8; 32])],
) -> Result<(), ProofError> {
    let statement = verified(QUOTE, point, signed, qualifying)?;
    let Attested::Pcrs { selected, digest } = statement.attested else {
        return Err(ProofError::Kind { what: QUOTE, detail: "it is a certification" });
    };
    let given: Vec<u8> = values.iter().map(|(pcr, _)| *pcr).collect();
    let together: Vec<[u8; 32]> = values.iter().map(|(_, value)| *value).collect();
    if selected != given || digest != pcr_digest(&together) {
        return Err(ProofError::Pcrs);
    }
    Ok(())
}

fn verified(
    what: &'static str,
    point: &[u8; POINT_LEN],
    signed: &Signed,
    qualifying: &[u8],
) -> Result<Statement, ProofError> {
    let signature = signature(what, &signed.signature)?;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
        .verify(&signed.statement, &signature)
        .map_err(|_| ProofError::Signature(what))?;
    let statement = Statement::parse(what, &signed.statement)?;
    if statement.qualifying != qualifying {
        return Err(ProofError::Nonce(what));
    }
    Ok(statement)
}

/// The digest over PCR values that a quote carries.
#[must_use]
pub fn pcr_digest(values: &[[u8; 32]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    values.iter().for_each(|value| context.update(value));
    let mut together = [0; 32];
    together.copy_from_slice(context.finish().as_ref());
    together
}

/// What a certification answers: the secret that the credential held.
#[must_use]
pub fn certification_nonce(secret: &[u8]) -> Vec<u8> {
    digest(&SHA256, &[b"croft-tpm-certify-v1\0", secret].concat()).as_ref().to_vec()
}

/// What a quote answers: a challenge, and the evidence that was composed for it, byte for byte.
#[must_use]
pub fn quote_nonce(challenge: &[u8], evidence: &[u8]) -> Vec<u8> {
    let evidence = digest(&SHA256, evidence);
    digest(&SHA256, &[b"croft-tpm-quote-v1\0", evidence.as_ref(), challenge].concat()).as_ref().to_vec()
}
