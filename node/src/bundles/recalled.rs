//! Taking in a recall: from any channel, at once, if a recall key in the signed fleet document made it.

use croft_domain::code::Code;
use croft_domain::fleet::Fleet;
use croft_domain::recall::Recall;
use croft_domain::signed::{Domain, Envelope};
use croft_domain::time::Timestamp;
use croft_trust::sign::{SignError, verify_listed};

/// A recall is not to be obeyed.
#[derive(Debug, thiserror::Error)]
pub enum RecallError {
    /// No key that counts signed it.
    #[error("a recall is not signed by a key of the fleet")]
    Signature(#[from] SignError),
    /// It is no recall.
    #[error("a signed recall cannot be read")]
    Malformed(#[from] serde_json::Error),
}

impl RecallError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        Code::TrustForged
    }
}

/// Verifies a recall.
///
/// # Errors
/// [`RecallError`] if it is forged or malformed; nothing follows from it then.
pub fn verify(envelope: &Envelope, fleet: &Fleet, now: Timestamp) -> Result<Recall, RecallError> {
    // The parsing before verifying only finds the time of signing; nothing is believed of it yet.
    let recall: Recall = serde_json::from_slice(&envelope.payload)?;
    // A recall made while its key counted stays a recall after the key has been retired.
    verify_listed(envelope, Domain::Recall, &fleet.recall_keys, recall.issued_at.min(now))?;
    Ok(recall)
}
