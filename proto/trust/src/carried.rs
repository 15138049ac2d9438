//! Signed documents as files that people carry: the payload stays readable text, and the signature is over exactly that.
//!
//! Whoever brings such a file proves nothing by it. What is in it counts by its signatures alone.

use croft_domain::digest::Sha256Digest;
use croft_domain::signed::Envelope;
use serde::{Deserialize, Serialize};

/// A signed document in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Carried {
    /// The signed document, a JSON text.
    pub payload: String,
    /// Its signature, hexadecimal.
    pub signature: String,
    /// SHA-256 of the signer's public point.
    pub key_id: Sha256Digest,
}

impl From<Envelope> for Carried {
    fn from(envelope: Envelope) -> Self {
        let Envelope { payload, signature, key_id } = envelope;
        Self {
            payload: String::from_utf8_lossy(&payload).into_owned(),
            signature: hex::encode(signature),
            key_id,
        }
    }
}

impl TryFrom<Carried> for Envelope {
    type Error = hex::FromHexError;

    fn try_from(carried: Carried) -> Result<Self, hex::FromHexError> {
        let Carried { payload, signature, key_id } = carried;
        Ok(Self { payload: payload.into_bytes(), signature: hex::decode(signature)?, key_id })
    }
}

/// Says what a file is, so that a wrong one is refused for what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EvidenceKind {
    /// The only value.
    #[serde(rename = "croft-evidence")]
    Evidence,
}

/// The same, of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LeaseKind {
    /// The only value.
    #[serde(rename = "croft-lease")]
    Lease,
}

/// What a node hands out where no network leads to its controller: `croft evidence export`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceFile {
    /// Always the same.
    pub kind: EvidenceKind,
    /// Signed by the node's key.
    pub evidence: Carried,
    /// The node's certificate with its CA, PEM: who that key is. May have expired.
    pub certificate_chain_pem: String,
}

/// What a node is brought in return: `croftctl lease issue`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaseFile {
    /// Always the same.
    pub kind: LeaseKind,
    /// Signed by a lease key of the fleet document.
    pub lease: Carried,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sign::{SigningKey, verify};
    use croft_domain::signed::Domain;

    #[test]
    fn p3_what_was_carried_verifies_by_the_bytes_that_were_signed() {
        let key = SigningKey::generate().expect("a key");
        let envelope = key.sign(Domain::Lease, "{\"a\": \"ä\"}");
        let file = LeaseFile { kind: LeaseKind::Lease, lease: envelope.clone().into() };
        let text = serde_json::to_string(&file).expect("JSON");
        assert!(text.starts_with(r#"{"kind":"croft-lease","#), "{text}");
        let file: LeaseFile = serde_json::from_str(&text).expect("a file");
        let back = Envelope::try_from(file.lease).expect("an envelope");
        assert_eq!(back, envelope);
        assert!(verify(&back, Domain::Lease, &key.point()).is_ok());
        // The kinds are not read as each other.
        assert!(serde_json::from_str::<EvidenceFile>(&text).is_err());
        assert!(serde_json::from_str::<LeaseFile>(&text.replace("croft-lease", "croft-evidence")).is_err());
    }
}
