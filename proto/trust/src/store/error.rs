//! Why a set of metadata was not believed. After any of these the store is what it was before.

use std::path::PathBuf;

use croft_domain::code::Code;
use croft_domain::time::Timestamp;

use crate::disk::DiskError;

/// A set was not accepted, or the stored one is not to be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// The source could not answer. `code` is the source's own, for example an intercepted connection.
    #[error("cannot fetch {name}")]
    Source {
        /// Of which file.
        name: String,
        /// The source's stable code.
        code: Code,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The source lacks a file that its own metadata lists.
    #[error("{name} is listed but missing")]
    Missing {
        /// Which.
        name: String,
    },
    /// Larger than allowed or than listed.
    #[error("{name} is larger than {len_max} bytes")]
    TooLarge {
        /// Which.
        name: String,
        /// Bound, in bytes.
        len_max: u64,
    },
    /// Not what its name says.
    #[error("{name}: {reason}")]
    Malformed {
        /// Which file.
        name: String,
        /// In what way.
        reason: String,
    },
    /// Signatures, digests or listed versions do not hold.
    #[error("metadata does not verify")]
    Forged(#[source] Box<tough::error::Error>),
    /// A file is not the one that is listed.
    #[error("{name} is not the file that the signed metadata lists")]
    Mixed {
        /// Which.
        name: String,
    },
    /// The first root is not the one that the invite names.
    #[error("the root is not the one that the invite names")]
    RootUnexpected,
    /// Older than seen before.
    #[error("{what} {offered} is older than {seen}, which this node has seen")]
    Rollback {
        /// What.
        what: String,
        /// The highest that was seen.
        seen: u64,
        /// What is offered.
        offered: u64,
    },
    /// The same version with other contents.
    #[error("{what} {version} differs from the {what} {version} that this node has seen")]
    Equivocation {
        /// Which role.
        what: &'static str,
        /// Which version.
        version: u64,
    },
    /// A version rises further than honest ones do.
    #[error("{what} jumps from {seen} to {offered}")]
    Jump {
        /// Which role.
        what: &'static str,
        /// The highest that was seen.
        seen: u64,
        /// What is offered.
        offered: u64,
    },
    /// More of something than allowed.
    #[error("{0}")]
    Limit(&'static str),
    /// Past its expiry.
    #[error("{what} metadata expired at {}", at.0)]
    Expired {
        /// Which role.
        what: &'static str,
        /// When.
        at: Timestamp,
    },
    /// Valid for longer than allowed, which would let a freeze last as long.
    #[error("{what} metadata is valid until {}, longer than allowed", at.0)]
    LivesTooLong {
        /// Which role.
        what: &'static str,
        /// Until when.
        at: Timestamp,
    },
    /// The clock is behind a time that was signed.
    #[error("the clock says {}, but metadata was already signed at {}", now.0, signed_at.0)]
    ClockBehind {
        /// This machine's clock.
        now: Timestamp,
        /// The signed time.
        signed_at: Timestamp,
    },
    /// The stored state is missing, damaged or older than its floors: an alarm, never a reason to start afresh.
    #[error("stored trust state {}: {reason}", path.display())]
    State {
        /// Where.
        path: PathBuf,
        /// In what way.
        reason: String,
    },
    /// There is a stored state already.
    #[error("{} already holds trust state", .0.display())]
    Exists(PathBuf),
    /// Writing failed.
    #[error("cannot store the trust state")]
    Disk(#[from] DiskError),
}

impl TrustError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Source { code, .. } => *code,
            Self::Missing { .. } => Code::BlobMissing,
            Self::TooLarge { .. } | Self::Jump { .. } | Self::Limit(_) | Self::LivesTooLong { .. } => {
                Code::TrustLimits
            }
            Self::Malformed { .. } | Self::Forged(_) | Self::Mixed { .. } | Self::RootUnexpected => {
                Code::TrustForged
            }
            Self::Rollback { .. } | Self::Equivocation { .. } => Code::TrustRollback,
            Self::Expired { .. } => Code::TrustExpired,
            Self::ClockBehind { .. } => Code::ClockBehind,
            Self::State { .. } => Code::TrustState,
            Self::Exists(_) => Code::AlreadyEnrolled,
            Self::Disk(error) => error.code(),
        }
    }

    /// Whether asking again later, without anybody's help, may succeed.
    #[must_use]
    pub const fn retryable(&self) -> bool {
        match self {
            // A mirror that is being written shows a listed file a moment late.
            Self::Source { .. } | Self::Missing { .. } | Self::Disk(_) => true,
            Self::TooLarge { .. }
            | Self::Malformed { .. }
            | Self::Forged(_)
            | Self::Mixed { .. }
            | Self::RootUnexpected
            | Self::Rollback { .. }
            | Self::Equivocation { .. }
            | Self::Jump { .. }
            | Self::Limit(_)
            | Self::Expired { .. }
            | Self::LivesTooLong { .. }
            | Self::ClockBehind { .. }
            | Self::State { .. }
            | Self::Exists(_) => false,
        }
    }

    pub(super) fn malformed(name: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Self::Malformed { name: name.into(), reason: reason.to_string() }
    }

    /// Any failure over stored files is an alarm about the state, whatever it would be about offered ones.
    pub(super) fn into_alarm(self, path: &std::path::Path) -> Self {
        match self {
            state @ (Self::State { .. } | Self::Disk(_)) => state,
            other => {
                let mut reason = other.to_string();
                if let Some(source) = std::error::Error::source(&other) {
                    reason = format!("{reason}: {source}");
                }
                Self::State { path: path.to_owned(), reason }
            }
        }
    }
}
