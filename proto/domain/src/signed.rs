//! What may be signed, and under which domain.
//!
//! A signature is over `domain ‖ 0x00 ‖ the exact payload bytes`, so a signature made for one kind of document can
//! never be shown as another's. The cryptography itself is in `croft-trust`.

use serde::{Deserialize, Serialize};

/// The kinds of documents that Croft signs itself (TUF metadata is signed under TUF's own rules).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Domain {
    /// Node → controller: what was observed.
    Evidence,
    /// Node → controller: a bundle was installed, loaded and answered its check prompts, or was not.
    Receipt,
    /// Node → controller: proof of the key when a certificate is renewed.
    Renewal,
    /// Node → controller: the owner leaves.
    Farewell,
    /// Controller → node: permission to serve.
    Lease,
    /// Recall key holder → everyone: stop using a digest.
    Recall,
    /// Reviewer → auditor: a report was read and judged.
    Review,
    /// Node → its owner: what the owner agreed to.
    Consent,
    /// Node → its owner: which policy was accepted.
    Acceptance,
    /// Freshness key holder → auditor: the heads of all verdict chains at one time.
    Checkpoint,
}

impl Domain {
    /// The prefix that is signed in front of the payload, with its terminating zero byte.
    #[must_use]
    pub const fn prefix(self) -> &'static [u8] {
        match self {
            Self::Evidence => b"croft/evidence/v1\0",
            Self::Receipt => b"croft/receipt/v1\0",
            Self::Renewal => b"croft/renewal/v1\0",
            Self::Farewell => b"croft/farewell/v1\0",
            Self::Lease => b"croft/lease/v1\0",
            Self::Recall => b"croft/recall/v1\0",
            Self::Review => b"croft/review/v1\0",
            Self::Consent => b"croft/consent/v1\0",
            Self::Acceptance => b"croft/acceptance/v1\0",
            Self::Checkpoint => b"croft/checkpoint/v1\0",
        }
    }
}

/// A payload with one signature over its exact bytes. Nothing is believed of it until `croft-trust` has verified it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The signed document, as sent.
    pub payload: Vec<u8>,
    /// ECDSA P-256 with SHA-256 over the domain prefix and the payload, ASN.1 DER.
    pub signature: Vec<u8>,
    /// Which key signed: SHA-256 of its public point. A hint for looking it up, never a proof.
    pub key_id: crate::digest::Sha256Digest,
}
