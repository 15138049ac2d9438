//! What a step of a whole-system run can end with.

use std::path::PathBuf;

/// A step did not hold.
#[derive(Debug, thiserror::Error)]
pub enum E2eError {
    /// An executable is not built.
    #[error("{0} is not built; run make test or make demo, which build first")]
    NotBuilt(PathBuf),
    /// A file or process could not be handled.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A command ended otherwise than it should.
    #[error("`{command}` ended with {status}\n{stderr}")]
    Command {
        /// As typed.
        command: String,
        /// Its exit.
        status: String,
        /// What it said.
        stderr: String,
    },
    /// An answer was not what it should be.
    #[error("expected {expected}, got: {got}")]
    Unexpected {
        /// In words.
        expected: String,
        /// As it came.
        got: String,
    },
    /// Something did not happen in time.
    #[error("{what} did not happen within {seconds} s; last seen: {last}")]
    Late {
        /// What was waited for.
        what: String,
        /// For how long.
        seconds: u64,
        /// The state at the end.
        last: String,
    },
    /// HTTP failed below the answer.
    #[error("no answer from {url}")]
    Http {
        /// Where.
        url: String,
        /// Why.
        #[source]
        source: Box<ureq::Error>,
    },
}

impl E2eError {
    /// For `map_err` on I/O.
    pub fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// An answer that should have been another.
    #[must_use]
    pub fn unexpected(expected: &str, got: impl std::fmt::Display) -> Self {
        Self::Unexpected { expected: expected.to_owned(), got: got.to_string() }
    }
}
