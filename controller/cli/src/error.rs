//! What can go wrong, each with a stable code and what to do next. A variant names the operation and the object; the
//! cause is a source and is written behind it, once, by `main`.

mod hint;

use std::io;
use std::path::PathBuf;

use croft_domain::code::Code;
use croft_domain::digest::Sha256Digest;
use croft_trust::repository::RepositoryError;

/// A cause of any type, for errors whose reader is a person.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A failure of croftctl.
#[derive(Debug, thiserror::Error)]
pub enum CtlError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    FileRead {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    FileWrite {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of ours is damaged or from another program.
    #[error("{} is not what croftctl keeps there", path.display())]
    FileParse {
        /// Which.
        path: PathBuf,
        /// Why.
        source: Cause,
    },
    /// A file that a person wrote breaks a rule.
    #[error("{place}: {message}")]
    Document {
        /// File, and line and column if known.
        place: String,
        /// Which rule.
        message: String,
    },
    /// An argument breaks a rule.
    #[error("{what}: {expected}")]
    Input {
        /// Which argument or field.
        what: String,
        /// What was expected.
        expected: String,
    },
    /// The worker did not say what it makes of a template.
    #[error("the worker cannot render the template of {}: {reason}", path.display())]
    Renderer {
        /// The weights.
        path: PathBuf,
        /// What it said instead.
        reason: String,
    },
    /// There is a fleet already.
    #[error("{} already holds a fleet", path.display())]
    FleetExists {
        /// The config folder.
        path: PathBuf,
    },
    /// There is no fleet.
    #[error("{} holds no fleet", path.display())]
    FleetMissing {
        /// The config folder.
        path: PathBuf,
        /// Whether keys were made in it, for a fleet to join.
        has_keys: bool,
    },
    /// There is a fleet, and a part of it is gone.
    #[error("{} holds a fleet but no {lacks}", path.display())]
    FleetIncomplete {
        /// The config folder.
        path: PathBuf,
        /// What is gone.
        lacks: &'static str,
    },
    /// Nothing by that name.
    #[error("there is no {what}")]
    NotFound {
        /// What was looked for.
        what: String,
        /// What to do.
        hint: String,
    },
    /// It is there already, or a version does not rise.
    #[error("{message}")]
    Conflict {
        /// What and where.
        message: String,
        /// What to do.
        hint: String,
    },
    /// Fleet policy does not allow it.
    #[error("{message}")]
    Unapproved {
        /// What is not allowed.
        message: String,
        /// What to do.
        hint: String,
    },
    /// Evidence that was carried here is not judged.
    #[error("{}: {message}", path.display())]
    Evidence {
        /// The file.
        path: PathBuf,
        /// Why not.
        message: String,
        /// What to do.
        hint: String,
    },
    /// The verdict blocks.
    #[error("{message}")]
    NotCompliant {
        /// The first check that blocks.
        message: String,
        /// Its remedy.
        hint: String,
    },
    /// A key cannot be used.
    #[error("cannot {operation} the key {}", path.display())]
    Key {
        /// What was tried.
        operation: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: Cause,
    },
    /// The repository refused.
    #[error("cannot {operation}")]
    Repository {
        /// What was tried.
        operation: &'static str,
        /// Why.
        source: Cause,
    },
    /// The linter found what protects the loader.
    #[error("{} was refused:\n{}", path.display(), findings.join("\n"))]
    VetRefused {
        /// The file.
        path: PathBuf,
        /// Each with rule, offset and message.
        findings: Vec<String>,
    },
    /// A store of another tool breaks a rule.
    #[error("{}: {message}", place.display())]
    Store {
        /// The file or folder.
        place: PathBuf,
        /// What is wrong, or was expected.
        message: String,
    },
    /// A store's bytes are not what their name says.
    #[error("{} holds {found}", path.display())]
    WrongDigest {
        /// The blob.
        path: PathBuf,
        /// What its name says.
        expected: Sha256Digest,
        /// What it is.
        found: Sha256Digest,
    },
    /// Files that `vet` was given did not pass.
    #[error("{count} of {total} files did not pass")]
    VetFailed {
        /// How many.
        count: usize,
        /// Of how many.
        total: usize,
    },
    /// The confined child did not do its work.
    #[error("the confined vetting of {} failed: {reason}", path.display())]
    Vetting {
        /// The file.
        path: PathBuf,
        /// How it ended.
        reason: String,
    },
    /// A publisher's OMS signature does not hold.
    #[error("{} does not vouch for what was to come in", path.display())]
    Oms {
        /// The signature.
        path: PathBuf,
        /// Why not.
        source: croft_trust::oms::OmsError,
    },
    /// A signed state does not hold, or is older than what this machine has signed before.
    #[error("refusing to sign")]
    Refusing {
        /// Why.
        source: croft_trust::store::TrustError,
    },
    /// The file behind a draft changed.
    #[error("{} is no longer the file that was vetted", path.display())]
    SourceChanged {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Cause,
    },
    /// The controller cannot be reached.
    #[error("cannot reach the controller at {controller}")]
    Link {
        /// Its address.
        controller: String,
        /// Which kind of failure.
        code: Code,
        /// Why.
        source: Cause,
    },
    /// The controller refused.
    #[error("the controller refused to {operation}: {message}")]
    Refused {
        /// What was asked.
        operation: &'static str,
        /// Its answer.
        message: String,
        /// Its code.
        code: Code,
    },
    /// The controller's answer makes no sense.
    #[error("the controller's answer to {operation} cannot be used: {message}")]
    Answer {
        /// What was asked.
        operation: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// Signed here, not published there.
    #[error("signed on this machine, but not published")]
    NotPublished {
        /// Why.
        source: Box<CtlError>,
    },
    /// The past does not hold.
    #[error("{broken} of {chains} verdict chains do not hold")]
    Chain {
        /// How many do not.
        broken: usize,
        /// Of how many.
        chains: usize,
    },
    /// A signed review does not hold.
    #[error("the review does not hold: {message}")]
    Review {
        /// What was changed.
        message: String,
    },
    /// An answer cannot be serialized.
    #[error("cannot write the answer")]
    AnswerWrite {
        /// Why.
        source: Cause,
    },
    /// The program cannot run its own parts.
    #[error("cannot {operation}")]
    Process {
        /// What was tried.
        operation: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl CtlError {
    /// Its stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Store { .. } | Self::FileRead { .. } | Self::Document { .. } | Self::Input { .. } => {
                Code::Input
            }
            Self::FileWrite { source, .. } => croft_trust::disk::write_code(source),
            Self::FileParse { .. } | Self::FleetIncomplete { .. } => Code::StateCorrupt,
            Self::FleetExists { .. } | Self::Conflict { .. } => Code::Conflict,
            Self::FleetMissing { .. } | Self::NotFound { .. } => Code::NotFound,
            Self::Unapproved { .. } => Code::Unapproved,
            Self::Evidence { .. } => Code::EvidenceInvalid,
            Self::NotCompliant { .. } => Code::NotCompliant,
            Self::Key { .. } => Code::Key,
            Self::VetRefused { .. } | Self::VetFailed { .. } | Self::Renderer { .. } => Code::VetRefused,
            Self::Repository { source, .. } => match source.downcast_ref::<RepositoryError>() {
                Some(
                    error @ (RepositoryError::Handover(_)
                    | RepositoryError::Unverified { .. }
                    | RepositoryError::KeysMissing { .. }
                    | RepositoryError::Limit(_)),
                ) => error.code(),
                _ => Code::TrustState,
            },
            Self::Vetting { .. } => Code::SandboxUnproven,
            Self::Oms { source, .. } => source.code(),
            Self::Refusing { source } => source.code(),
            Self::SourceChanged { .. } | Self::WrongDigest { .. } => Code::BlobCorrupt,
            Self::Link { code, .. } | Self::Refused { code, .. } => *code,
            Self::NotPublished { source } => source.code(),
            Self::Chain { .. } => Code::ChainBroken,
            Self::Review { .. } => Code::ReviewForged,
            Self::Answer { .. } | Self::AnswerWrite { .. } | Self::Process { .. } => Code::Internal,
        }
    }
}

/// The error and its causes in one line, each once.
pub fn written(error: &CtlError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.ends_with(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_written_behind_their_error() {
        let source = io::Error::other("disk full");
        let error = CtlError::FileWrite { path: "fleet.toml".into(), source };
        assert_eq!(written(&error), "cannot write fleet.toml: disk full");
        let outer = CtlError::NotPublished { source: Box::new(error) };
        assert_eq!(
            written(&outer),
            "signed on this machine, but not published: cannot write fleet.toml: disk full"
        );
        assert_eq!(outer.code(), Code::StateUnwritable);
        assert!(outer.hint().contains("croftctl trust refresh"));
    }
}
