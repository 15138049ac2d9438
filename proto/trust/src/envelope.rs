//! Signed documents at rest: the exact bytes, so that they can be verified again.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use croft_domain::digest::Sha256Digest;
use croft_domain::signed::Envelope;
use serde::{Deserialize, Serialize};

/// An [`Envelope`] as a file holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredEnvelope {
    payload: String,
    signature: String,
    key_id: Sha256Digest,
}

impl From<&Envelope> for StoredEnvelope {
    fn from(envelope: &Envelope) -> Self {
        Self {
            payload: STANDARD.encode(&envelope.payload),
            signature: STANDARD.encode(&envelope.signature),
            key_id: envelope.key_id,
        }
    }
}

impl TryFrom<&StoredEnvelope> for Envelope {
    type Error = base64::DecodeError;

    fn try_from(stored: &StoredEnvelope) -> Result<Self, base64::DecodeError> {
        Ok(Self {
            payload: STANDARD.decode(&stored.payload)?,
            signature: STANDARD.decode(&stored.signature)?,
            key_id: stored.key_id,
        })
    }
}
