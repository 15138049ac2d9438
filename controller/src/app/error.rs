//! Every way in which a use case ends without its result: one code for programs, one sentence for the outsider.
//!
//! `Display` is what the outsider reads. Causes inside the controller are sources: they go to its log and nowhere else.

use croft_domain::code::Code;
use croft_trust::store::TrustError;

use crate::blobs::BlobError;
use crate::ca::CaError;
use crate::store::StoreError;

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// No such invite, or not with this secret: which of the two is nobody's business.
    #[error("no such invite")]
    InviteUnknown,
    /// Its time is over.
    #[error("this invite has expired")]
    InviteExpired,
    /// Its uses are spent.
    #[error("this invite was used as often as it allows")]
    InviteUsed,
    /// The caller is no longer part of the fleet.
    #[error("this node was removed from the fleet: {reason}")]
    NodeRevoked {
        /// As the admin gave it.
        reason: String,
    },
    /// The caller was never part of the fleet.
    #[error("the controller does not know this node")]
    NodeUnknown,
    /// The caller may not do that.
    #[error("{0}")]
    Denied(&'static str),
    /// Evidence answers no present challenge.
    #[error("the evidence answers an old challenge, or none of ours")]
    EvidenceStale,
    /// Evidence does not hold.
    #[error("the evidence does not hold: {0}")]
    EvidenceInvalid(String),
    /// It says less than the node said before.
    #[error(
        "the evidence's counter does not rise: this installation was restored from an older state, or runs twice"
    )]
    Cloned,
    /// What a TPM showed is not believed.
    #[error("{0}")]
    Hardware(#[from] croft_tpm::error::ProofError),
    /// Nothing was published yet.
    #[error("nothing is published yet: the admin must run croftctl init")]
    Unpublished,
    /// The signed state does not allow it.
    #[error("{0}")]
    Unapproved(String),
    /// A signature is not by a key of the fleet.
    #[error("{0} is not signed by a key that the fleet document lists")]
    Forged(&'static str),
    /// There is no such thing.
    #[error("there is no {0}")]
    NotFound(String),
    /// A value is wrong.
    #[error("{0}")]
    Input(String),
    /// Somebody else was first.
    #[error("{0}")]
    Conflict(String),
    /// Too much waits already.
    #[error("{0}")]
    Full(String),
    /// The published set does not hold.
    #[error("the published set is refused: {0}")]
    Trust(TrustError),
    /// A certificate cannot be made.
    #[error("{0}")]
    Certificate(#[from] CaError),
    /// A blob cannot be taken or given.
    #[error("{0}")]
    Blob(#[from] BlobError),
    /// The database failed.
    #[error("the controller's database failed")]
    Store(#[from] StoreError),
    /// Our own fault.
    #[error("{0}")]
    Internal(&'static str),
}

impl AppError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::InviteUnknown => Code::InviteUnknown,
            Self::InviteExpired => Code::InviteExpired,
            Self::InviteUsed => Code::InviteUsed,
            Self::NodeRevoked { .. } => Code::NodeRevoked,
            Self::NodeUnknown => Code::NodeUnknown,
            Self::Denied(_) => Code::Denied,
            Self::EvidenceStale => Code::EvidenceStale,
            Self::EvidenceInvalid(_) => Code::EvidenceInvalid,
            Self::Cloned => Code::NodeCloned,
            Self::Hardware(_) => Code::TpmRefused,
            Self::Unpublished | Self::NotFound(_) => Code::NotFound,
            Self::Unapproved(_) => Code::Unapproved,
            Self::Forged(_) => Code::TrustForged,
            Self::Input(_) => Code::Input,
            Self::Conflict(_) => Code::Conflict,
            Self::Full(_) => Code::QueueFull,
            Self::Trust(error) => error.code(),
            Self::Certificate(error) => error.code(),
            Self::Blob(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::Internal(_) => Code::Internal,
        }
    }
}
