//! From inherited descriptors to a confined, proven process: everything is opened here, before the doors are shut.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use croft_confine::{ConfineError, Entry, ResourceLimits, Role};
use croft_proto::frames::{EscapeAttempt, SelfTestReport};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::runtime::{Builder, Runtime};

use super::clock;
use super::inherited::{self, Inherited, InheritedError};
use super::limits::{DATA_LEN_MAX, OPEN_FILES_MAX};
use super::peer::PeerLookup;

/// Why the gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The parent is not the daemon.
    #[error(transparent)]
    Inherited(#[from] InheritedError),
    /// The listener is reachable from elsewhere.
    #[error("the listener is bound to {0}, which is not a loopback address")]
    NotLoopback(SocketAddr),
    /// The kernel refused something that is needed before the doors are shut.
    #[error("{step} failed: {source}")]
    Prepare {
        /// What was tried.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The process could not be confined.
    #[error("the gateway could not be confined: {0}")]
    Confine(#[from] ConfineError),
    /// The process is confined by its own account, and got out.
    #[error("the gateway could reach out: {0}")]
    Escaped(String),
}

impl StartError {
    pub(super) fn prepare(step: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Prepare { step, source }
    }
}

/// Everything the gateway will ever hold.
pub struct Prepared {
    /// Descriptors from the daemon.
    pub inherited: Inherited,
    /// The listener's address.
    pub server: SocketAddr,
    /// Asks who is at the other end.
    pub lookup: PeerLookup,
    /// Random bytes of this start.
    pub seed: [u8; 40],
    layers: Vec<String>,
}

/// First stage: takes what is handed over, opens what is needed, and confines the process.
///
/// # Errors
/// Whatever is missing.
pub fn prepare() -> Result<(Prepared, Runtime), StartError> {
    let inherited = inherited::take()?;
    let server =
        inherited.listener.local_addr().map_err(StartError::prepare("reading the listener's address"))?;
    if !server.ip().is_loopback() {
        return Err(StartError::NotLoopback(server));
    }
    inherited.listener.set_nonblocking(true).map_err(StartError::prepare("preparing the listener"))?;
    // Connections inherit it: a token is a small packet, and waits for nothing.
    rustix::net::sockopt::set_tcp_nodelay(&inherited.listener, true)
        .map_err(|errno| StartError::prepare("preparing the listener")(errno.into()))?;
    inherited.local.set_nonblocking(true).map_err(StartError::prepare("preparing the Unix socket"))?;
    let lookup = PeerLookup::open().map_err(StartError::prepare("opening the lookup of callers"))?;
    let mut seed = [0_u8; 40];
    SystemRandom::new()
        .fill(&mut seed)
        .map_err(|_| StartError::prepare("reading random bytes")(io::Error::other("no random source")))?;
    // The first call finds the shared page.
    let _ = clock::now();
    let own = [
        inherited.listener.as_raw_fd(),
        inherited.local.as_raw_fd(),
        inherited.control.as_raw_fd(),
        lookup.as_fd().as_raw_fd(),
    ];
    let keep_fds: Vec<_> = own.into_iter().chain(inherited.slots.iter().map(OwnedFd::as_raw_fd)).collect();
    let limits = ResourceLimits {
        data_bytes: Some(DATA_LEN_MAX),
        open_files: Some(OPEN_FILES_MAX),
        processes: Some(1),
    };
    let layers =
        croft_confine::enter(&Entry { role: Role::Gateway, keep_fds: &keep_fds, readable: &[], limits })?;
    let layers = layers.names().iter().map(ToString::to_string).collect();
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(StartError::prepare("starting the runtime"))?;
    Ok((Prepared { inherited, server, lookup, seed, layers }, runtime))
}

impl Prepared {
    /// Second stage: shuts the doors, then tries them all.
    ///
    /// # Errors
    /// If they could not be shut. Doors that turn out to be open are in the report.
    pub fn lock_down(&self) -> Result<SelfTestReport, StartError> {
        croft_confine::lock_down(Role::Gateway)?;
        let attempts = croft_confine::try_to_escape(Role::Gateway)
            .into_iter()
            .map(|attempt| EscapeAttempt {
                name: attempt.name.to_string(),
                errno: attempt.errno.unwrap_or_default(),
            })
            .collect();
        Ok(SelfTestReport { layers: self.layers.clone(), attempts })
    }
}

/// The attempts that the kernel did not refuse.
#[must_use]
pub fn escapes(report: &SelfTestReport) -> Vec<&str> {
    let open = report.attempts.iter().filter(|attempt| attempt.errno.is_empty());
    open.map(|attempt| attempt.name.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p1_an_attempt_without_errno_is_an_escape() {
        let attempt = |name: &str, errno: &str| EscapeAttempt { name: name.into(), errno: errno.into() };
        let report = SelfTestReport {
            layers: vec![],
            attempts: vec![attempt("tcp-connect", "EPERM"), attempt("udp-send", "")],
        };
        assert_eq!(escapes(&report), ["udp-send"]);
    }
}
