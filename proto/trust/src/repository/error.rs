//! Why something was not signed or stored.

use std::path::PathBuf;

use croft_domain::code::Code;
use croft_domain::time::Timestamp;

use crate::disk::DiskError;
use crate::sign::KeyError;

/// Publishing failed; nothing was changed, or the change is complete and safe to repeat.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// There is one already.
    #[error("{} already holds a repository", .0.display())]
    Exists(PathBuf),
    /// A file is missing or unreadable.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// In what way.
        reason: String,
    },
    /// A name cannot be a target's.
    #[error(
        "target name {0:?}: expected 1 to 128 of a-z, 0-9, '.' and '-', beginning with a letter or digit"
    )]
    TargetName(String),
    /// Too much for one repository.
    #[error("too much for one repository: {0}")]
    Limit(&'static str),
    /// Not enough keys of that role.
    #[error("the {role} role needs {threshold} of its keys, {given} were given")]
    KeysMissing {
        /// Which role.
        role: &'static str,
        /// How many are needed.
        threshold: u64,
        /// How many of its keys were among those given.
        given: u64,
    },
    /// A key did not sign.
    #[error("a key did not sign")]
    Key(#[source] KeyError),
    /// Roles contradict themselves.
    #[error("the {role} role: {reason}")]
    Roles {
        /// Which role.
        role: &'static str,
        /// In what way.
        reason: &'static str,
    },
    /// Metadata that is to be listed does not verify.
    #[error("refusing to sign over {role} metadata that does not verify")]
    Unverified {
        /// Which role.
        role: &'static str,
        /// Why not.
        #[source]
        source: Box<tough::schema::Error>,
    },
    /// A handover is not one, or not for this machine.
    #[error("handover refused: {0}")]
    Handover(&'static str),
    /// The next step needs an earlier one.
    #[error("{0}")]
    Order(&'static str),
    /// Not a point in time that metadata can carry.
    #[error("time {} cannot be written into metadata", .0.0)]
    Time(Timestamp),
    /// Writing failed.
    #[error("cannot store the repository")]
    Disk(#[from] DiskError),
}

impl RepositoryError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Exists(_) => Code::Conflict,
            Self::Read { .. } | Self::Damaged { .. } => Code::StateCorrupt,
            Self::TargetName(_) | Self::Roles { .. } | Self::Order(_) | Self::Time(_) => Code::Input,
            Self::Limit(_) => Code::TrustLimits,
            Self::KeysMissing { .. } | Self::Key(_) => Code::Key,
            Self::Unverified { .. } | Self::Handover(_) => Code::TrustForged,
            Self::Disk(error) => error.code(),
        }
    }
}
