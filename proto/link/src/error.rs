//! What can go wrong on a link, told apart by who must act.

use croft_domain::code::Code;

use crate::pin::PinMismatch;
use crate::proxy::ProxyRefusal;

/// A link failed.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The peer's certificate chain holds none of the pinned CAs: TLS inspection, a wrong address, or an attack.
    #[error(
        "the certificate of {host} was issued by {issuer}, expected a CA with pin {expected}; ask IT to exempt {host}"
    )]
    Intercepted {
        /// Where we connected.
        host: String,
        /// Who issued what was presented.
        issuer: String,
        /// What was pinned.
        expected: String,
    },
    /// The proxy on the way did not open a connection.
    #[error("cannot reach {host}: {refusal}")]
    Proxy {
        /// Where we wanted to connect.
        host: String,
        /// What the proxy did.
        refusal: ProxyRefusal,
    },
    /// The proxy's address is none. It is not repeated: it may hold a password.
    #[error("the proxy's address is not http://[USER:PASSWORD@]HOST:PORT")]
    ProxyAddress,
    /// Nobody answered, or the connection broke.
    #[error("cannot reach {host}")]
    Unreachable {
        /// Where we connected.
        host: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The address is not `https://HOST:PORT`.
    #[error("not a controller address: {0} (expected https://HOST:PORT)")]
    Address(String),
    /// A certificate or key of ours cannot be used.
    #[error("the client certificate or its key cannot be used")]
    Identity(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The server does not have it.
    #[error("{host} has no {path}")]
    NotFound {
        /// Which server.
        host: String,
        /// What was asked for.
        path: String,
    },
    /// The server answered something else than asked.
    #[error("{host} answered {status} for {path}")]
    Status {
        /// Which server.
        host: String,
        /// What was asked for.
        path: String,
        /// HTTP status.
        status: u16,
    },
    /// The answer is longer than agreed.
    #[error("{host} sent more than {len_max} bytes for {path}")]
    TooLong {
        /// Which server.
        host: String,
        /// What was asked for.
        path: String,
        /// The bound, in bytes.
        len_max: u64,
    },
}

impl LinkError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Intercepted { .. } => Code::PinMismatch,
            Self::Unreachable { .. } | Self::Status { .. } => Code::Unreachable,
            Self::NotFound { .. } => Code::BlobMissing,
            Self::Proxy { .. } => Code::ProxyRefused,
            Self::Address(_) | Self::ProxyAddress => Code::Input,
            Self::Identity(_) => Code::Key,
            Self::TooLong { .. } => Code::TrustLimits,
        }
    }

    /// Whether trying again later can help without anybody acting.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Intercepted { .. } | Self::Proxy { .. } => true,
            Self::Status { status, .. } => *status >= 500,
            Self::Address(_)
            | Self::ProxyAddress
            | Self::Identity(_)
            | Self::NotFound { .. }
            | Self::TooLong { .. } => false,
        }
    }

    /// Finds out what lies below a library's error: a pin mismatch is told from a network failure by the error that
    /// our own verifier raised, wherever in the chain of sources it ended up.
    #[must_use]
    pub fn from_source(host: &str, source: Box<dyn std::error::Error + Send + Sync>) -> Self {
        if let Some(refusal) = find(source.as_ref(), |e| e.downcast_ref::<ProxyRefusal>()) {
            return Self::Proxy { host: host.to_owned(), refusal: refusal.clone() };
        }
        match find_mismatch(source.as_ref()) {
            Some(mismatch) => Self::Intercepted {
                host: host.to_owned(),
                issuer: mismatch.issuer.clone(),
                expected: mismatch.expected.clone(),
            },
            None => Self::Unreachable { host: host.to_owned(), source },
        }
    }
}

/// The pin mismatch within an error's chain of sources, if there is one.
#[must_use]
pub fn find_mismatch<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a PinMismatch> {
    find(error, |error| error.downcast_ref::<rustls::Error>().and_then(of_rustls))
}

/// What `pick` finds first in an error's chain of sources.
fn find<'a, T>(
    error: &'a (dyn std::error::Error + 'static),
    pick: fn(&'a (dyn std::error::Error + 'static)) -> Option<&'a T>,
) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = pick(error) {
            return Some(found);
        }
        // An io::Error hides the error it was made from: its source() is that error's source.
        if let Some(inner) = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref)
            && let Some(found) = find(inner, pick)
        {
            return Some(found);
        }
        next = error.source();
    }
    None
}

fn of_rustls(error: &rustls::Error) -> Option<&PinMismatch> {
    match error {
        rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other)) => {
            other.0.downcast_ref::<PinMismatch>()
        }
        _ => None,
    }
}
