//! OpenSSF Model Signing (OMS) 1.0 in key mode: a DSSE envelope over an in-toto statement that lists files by digest.
//!
//! It lets anybody with the public Python tool check a bundle's files without Croft. It has no version and no expiry, so
//! it replaces nothing of TUF. Verification is stricter than the tool's: P-256 only, one signature, SHA-256 only, no
//! symlinks, flat or plainly nested names without repetition, no unknown fields, and nothing is ever ignored, whatever
//! the file says. The two forms from before 1.0 are refused. Contents are parsed only after the signature holds.

mod statement;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use croft_domain::code::Code;
use croft_domain::digest::Sha256Digest;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use crate::digest::sha256;
use crate::keys::public_key_pem;
use crate::limits::OMS_LEN_MAX;
use crate::sign::{KeyError, POINT_LEN, Signer};
use statement::Statement;

const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// A file that an OMS signature covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Its path below the model's folder, with `/`.
    pub name: String,
    /// Digest of its bytes.
    pub sha256: Sha256Digest,
}

/// An OMS signature was not made or not believed.
#[derive(Debug, thiserror::Error)]
pub enum OmsError {
    /// Beyond a bound.
    #[error("OMS signature: {0}")]
    Limit(&'static str),
    /// Not the format.
    #[error("OMS signature at line {line}, column {column}: {reason}")]
    Malformed {
        /// Line, counted from 1.
        line: usize,
        /// Column, counted from 1.
        column: usize,
        /// In what way.
        reason: String,
    },
    /// The format allows it, we do not.
    #[error("OMS signature: {field}: expected {expected}")]
    Refused {
        /// Which field.
        field: &'static str,
        /// What was expected.
        expected: &'static str,
    },
    /// Made by another key or over other bytes.
    #[error("OMS signature does not hold under this key")]
    Invalid,
    /// The files are not those that were signed.
    #[error("OMS signature: {0}")]
    Files(String),
    /// The key did not sign.
    #[error("cannot make an OMS signature")]
    Key(#[source] KeyError),
}

impl OmsError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Key(_) => Code::Key,
            Self::Limit(_) => Code::TrustLimits,
            _ => Code::TrustForged,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Bundle {
    media_type: String,
    verification_material: Material,
    dsse_envelope: Dsse,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Material {
    public_key: Hint,
    #[serde(default)]
    tlog_entries: Vec<serde_json::Value>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hint {
    hint: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Dsse {
    payload: String,
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    sig: String,
    #[serde(default)]
    keyid: String,
}

/// How OMS names a key: SHA-256 of its PEM text, hexadecimal.
#[must_use]
pub fn key_hint(point: &[u8; POINT_LEN]) -> String {
    sha256(public_key_pem(point).as_bytes()).hex()
}

/// DSSE's pre-authentication encoding: what the signature is over.
fn authenticated(payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

/// Signs `resources` as the model `model`.
///
/// # Errors
/// When a name is not plain or comes twice, there are too many, or the key does not sign.
pub fn sign(signer: &dyn Signer, model: &str, resources: &[Resource]) -> Result<Vec<u8>, OmsError> {
    let mut sorted = resources.to_vec();
    sorted.sort_by(|a, b| a.name.split('/').cmp(b.name.split('/')));
    let statement = Statement::new(model, &sorted);
    statement.check()?;
    let payload = serde_json::to_vec(&statement).expect("texts and lists only");
    let signature = signer.sign_message(&authenticated(&payload)).map_err(OmsError::Key)?;
    let bundle = Bundle {
        media_type: MEDIA_TYPE.to_owned(),
        verification_material: Material {
            public_key: Hint { hint: key_hint(&signer.point()) },
            tlog_entries: Vec::new(),
        },
        dsse_envelope: Dsse {
            payload: STANDARD.encode(&payload),
            payload_type: PAYLOAD_TYPE.to_owned(),
            signatures: vec![Signature { sig: STANDARD.encode(signature), keyid: String::new() }],
        },
    };
    Ok(serde_json::to_vec(&bundle).expect("texts and lists only"))
}

/// Verifies an OMS signature under the public key `point`; gives the files that it covers, in its order.
///
/// # Errors
/// See [`OmsError`].
pub fn verify(bytes: &[u8], point: &[u8; POINT_LEN]) -> Result<Vec<Resource>, OmsError> {
    if bytes.len() > OMS_LEN_MAX {
        return Err(OmsError::Limit("larger than 4 MiB"));
    }
    let bundle: Bundle = serde_json::from_slice(bytes).map_err(|error| malformed(&error))?;
    let refused = |field, expected| Err(OmsError::Refused { field, expected });
    if bundle.media_type != MEDIA_TYPE {
        return refused("mediaType", MEDIA_TYPE);
    }
    if bundle.dsse_envelope.payload_type != PAYLOAD_TYPE {
        return refused("payloadType", PAYLOAD_TYPE);
    }
    if !bundle.verification_material.tlog_entries.is_empty() {
        return refused("tlogEntries", "none: a log entry would look checked and is not");
    }
    if bundle.verification_material.public_key.hint != key_hint(point) {
        return Err(OmsError::Invalid);
    }
    let [signature] = &bundle.dsse_envelope.signatures[..] else {
        return refused("signatures", "exactly one");
    };
    if !signature.keyid.is_empty() {
        return refused("signatures.keyid", "nothing");
    }
    let decode = |field, text: &str| {
        STANDARD.decode(text).map_err(|_| OmsError::Refused { field, expected: "base64 with padding" })
    };
    let payload = decode("payload", &bundle.dsse_envelope.payload)?;
    let signature = decode("signatures.sig", &signature.sig)?;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point)
        .verify(&authenticated(&payload), &signature)
        .map_err(|_| OmsError::Invalid)?;
    let statement: Statement = serde_json::from_slice(&payload).map_err(|error| malformed(&error))?;
    statement.check()
}

/// Holds the files that are there against the files that were signed: all of them, and no other.
///
/// # Errors
/// [`OmsError::Files`] names the first difference.
pub fn check_files(signed: &[Resource], present: &[Resource]) -> Result<(), OmsError> {
    for resource in signed {
        match present.iter().find(|file| file.name == resource.name) {
            None => return Err(OmsError::Files(format!("{} was signed and is missing", resource.name))),
            Some(file) if file.sha256 != resource.sha256 => {
                return Err(OmsError::Files(format!("{} is not the file that was signed", resource.name)));
            }
            Some(_) => {}
        }
    }
    let extra = present.iter().find(|file| signed.iter().all(|resource| resource.name != file.name));
    extra.map_or(Ok(()), |file| Err(OmsError::Files(format!("{} was not signed", file.name))))
}

fn malformed(error: &serde_json::Error) -> OmsError {
    OmsError::Malformed { line: error.line(), column: error.column(), reason: error.to_string() }
}
