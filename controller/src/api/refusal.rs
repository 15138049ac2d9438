//! From an error of a use case to a gRPC status: the one place where that is decided.

use croft_domain::code::Code;
use croft_proto::grpc::status as with_code;
use tonic::{Code as Kind, Status};

use crate::app::AppError;
use crate::metrics::{Metrics, RefusalLabel};

/// The status for an outsider. What only the log may know goes there.
pub(super) fn status(metrics: &Metrics, error: &AppError) -> Status {
    let code = error.code();
    metrics.refusals.get_or_create(&RefusalLabel { code: code.as_str() }).inc();
    let kind = kind(code);
    if matches!(kind, Kind::Internal | Kind::Unavailable) {
        tracing::error!(code = code.as_str(), error = %chain(error), "a request failed");
    } else {
        tracing::info!(code = code.as_str(), error = %error, "a request was refused");
    }
    // A refused metadata set is explained to the admin who sent it: which file, and in what way.
    let message = match error {
        AppError::Trust(_) => chain(error),
        _ => error.to_string(),
    };
    with_code(kind, code, message)
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

const fn kind(code: Code) -> Kind {
    match code {
        Code::InviteUnknown | Code::NodeUnknown | Code::NotFound | Code::BlobMissing => Kind::NotFound,
        Code::InviteExpired
        | Code::InviteUsed
        | Code::EvidenceStale
        | Code::NodeCloned
        | Code::Unapproved
        | Code::TrustExpired
        | Code::ClockBehind => Kind::FailedPrecondition,
        Code::NodeRevoked | Code::Denied => Kind::PermissionDenied,
        Code::EvidenceInvalid
        | Code::Input
        | Code::TrustForged
        | Code::TrustRollback
        | Code::TrustLimits
        | Code::InviteMalformed
        | Code::TpmRefused
        | Code::RequestInvalid => Kind::InvalidArgument,
        Code::BlobCorrupt | Code::BlobTruncated => Kind::DataLoss,
        Code::Conflict => Kind::Aborted,
        Code::Store | Code::StateUnwritable => Kind::Unavailable,
        _ => Kind::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_inside_stay_inside() {
        let source = sqlx::Error::Configuration("postgres://user:password@host".into());
        let error = AppError::Store(crate::app::StoreError::Query { operation: "x", source });
        let status = status(&Metrics::default(), &error);
        assert!(!status.message().contains("password"));
        assert_eq!(croft_proto::grpc::code_of(&status), Some(Code::Store));
        assert_eq!(status.code(), Kind::Unavailable);
    }
}
