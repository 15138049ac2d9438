//! gRPC services and their messages, and the conversions that every service shares.

use croft_domain::digest::Sha256Digest;
use croft_domain::signed::Envelope;

#[allow(missing_docs, clippy::all, clippy::pedantic)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/services/croft.v1.rs"));
}
pub use generated::*;

/// Metadata key under which an error's stable code travels beside a gRPC status.
pub const CODE_KEY: &str = "croft-code";

/// Largest gRPC message either side accepts, in bytes: a metadata set with manifests, and upload parts with room.
pub const MESSAGE_LEN_MAX: usize = 16 * 1024 * 1024;

/// A signed document on the wire is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("signed document is incomplete: {0}")]
pub struct EnvelopeError(&'static str);

impl TryFrom<SignedDocument> for Envelope {
    type Error = EnvelopeError;

    fn try_from(wire: SignedDocument) -> Result<Self, EnvelopeError> {
        let SignedDocument { payload, signature, key_id } = wire;
        if payload.is_empty() {
            return Err(EnvelopeError("payload is empty"));
        }
        // A DER signature over P-256 is at most 72 bytes.
        if signature.is_empty() || signature.len() > 72 {
            return Err(EnvelopeError("signature must be 1 to 72 bytes"));
        }
        let key_id =
            key_id.try_into().map(Sha256Digest).map_err(|_| EnvelopeError("key_id must be 32 bytes"))?;
        Ok(Self { payload, signature, key_id })
    }
}

impl From<Envelope> for SignedDocument {
    fn from(envelope: Envelope) -> Self {
        let Envelope { payload, signature, key_id } = envelope;
        Self { payload, signature, key_id: key_id.0.to_vec() }
    }
}

/// A gRPC status with a stable code beside it. `message` must be fit for an outsider.
#[must_use]
pub fn status(
    kind: tonic::Code,
    code: croft_domain::code::Code,
    message: impl Into<String>,
) -> tonic::Status {
    let mut status = tonic::Status::new(kind, message);
    if let Ok(value) = code.as_str().parse() {
        status.metadata_mut().insert(CODE_KEY, value);
    }
    status
}

/// The stable code beside a status, if it is one we know.
#[must_use]
pub fn code_of(status: &tonic::Status) -> Option<croft_domain::code::Code> {
    let text = status.metadata().get(CODE_KEY)?.to_str().ok()?;
    croft_domain::code::Code::ALL.iter().copied().find(|code| code.as_str() == text)
}
