//! Speaking with the controller. Nothing outside this room names a type of that wire. Every message is recorded for
//! `croft privacy` before it is sent: what cannot be shown to the user is not sent.

mod enroll;
mod hardware;
mod node;
mod trust_source;

use std::sync::{Arc, Mutex, PoisonError};

use croft_domain::code::Code;
use croft_link::LinkError;
use croft_proto::grpc::code_of;
use url::Url;

use crate::clock;
use crate::limits::CALL_TIMEOUT;
use crate::state::files::StateError;
use crate::state::sent::{Sent, SentRing};

pub use enroll::{Admission, Anonymous, Application};
pub use hardware::BootQuote;
pub use node::{Answer, AskedModel, Challenge, Enrolled, News};
pub use trust_source::ControllerTrust;

/// A call came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The link failed.
    #[error("the controller cannot be reached")]
    Link(#[from] LinkError),
    /// The controller said no.
    #[error("the controller refused {call}: {message}")]
    Refused {
        /// Which call.
        call: &'static str,
        /// Its stable code, if it gave one that we know.
        code: Option<Code>,
        /// Its words.
        message: String,
    },
    /// It did not answer, or the connection broke during the call.
    #[error("the controller did not answer {call}: {message}")]
    Unanswered {
        /// Which call.
        call: &'static str,
        /// How it failed.
        message: String,
    },
    /// It answered something that is no answer.
    #[error("the controller's answer to {call} cannot be read: {detail}")]
    Malformed {
        /// Which call.
        call: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// The message could not be recorded, so it was not sent.
    #[error("the message could not be recorded, so it was not sent")]
    NotRecorded(#[source] StateError),
    /// The node's key did not sign, so it was not sent.
    #[error("the message could not be signed, so it was not sent")]
    NotSigned(#[source] StateError),
}

impl CallError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Link(e) => e.code(),
            Self::Refused { code, .. } => code.unwrap_or(Code::Denied),
            Self::Unanswered { .. } => Code::Unreachable,
            Self::Malformed { .. } => Code::Internal,
            Self::NotRecorded(e) | Self::NotSigned(e) => e.code(),
        }
    }

    /// Whether the controller says that this node is no longer part of the fleet.
    #[must_use]
    pub fn is_revocation(&self) -> bool {
        matches!(self, Self::Refused { code: Some(Code::NodeRevoked | Code::NodeUnknown), .. })
    }

    fn of_status(call: &'static str, status: &tonic::Status) -> Self {
        let message: String = status.message().chars().take(512).collect();
        match status.code() {
            tonic::Code::Unavailable
            | tonic::Code::DeadlineExceeded
            | tonic::Code::Cancelled
            | tonic::Code::Unknown
                if code_of(status).is_none() =>
            {
                Self::Unanswered { call, message }
            }
            _ => Self::Refused { call, code: code_of(status), message },
        }
    }

    fn malformed(call: &'static str, detail: impl std::fmt::Display) -> Self {
        Self::Malformed { call, detail: detail.to_string() }
    }
}

/// Where what is sent is recorded; shared by everything that sends.
#[derive(Clone, Debug)]
pub struct Recorder(Arc<Mutex<SentRing>>);

impl Recorder {
    /// A recorder over the ring.
    #[must_use]
    pub fn new(ring: SentRing) -> Self {
        Self(Arc::new(Mutex::new(ring)))
    }

    /// Records one message.
    ///
    /// # Errors
    /// If it cannot be kept.
    pub fn record(&self, kind: &str, reason: &str, content: impl Into<Vec<u8>>) -> Result<(), StateError> {
        let message = Sent {
            at: clock::now(),
            kind: kind.to_owned(),
            reason: reason.to_owned(),
            content: content.into(),
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).record(&message)
    }

    /// Everything that is kept, oldest first.
    ///
    /// # Errors
    /// If a record is damaged.
    pub fn all(&self) -> Result<Vec<Sent>, StateError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).all()
    }
}

fn address(controller: &str) -> Result<Url, LinkError> {
    Url::parse(controller).map_err(|_| LinkError::Address(controller.to_owned()))
}

impl From<StateError> for CallError {
    fn from(error: StateError) -> Self {
        match error {
            StateError::Tpm(_) | StateError::Key(_) => Self::NotSigned(error),
            StateError::Write(_) | StateError::Read { .. } | StateError::Corrupt { .. } => {
                Self::NotRecorded(error)
            }
        }
    }
}

/// Awaits a call with the bound that every call has.
async fn within<T>(
    call: &'static str,
    answer: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
) -> Result<T, CallError> {
    match tokio::time::timeout(CALL_TIMEOUT, answer).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(CallError::of_status(call, &status)),
        Err(_) => Err(CallError::Unanswered { call, message: "no answer in time".to_owned() }),
    }
}
