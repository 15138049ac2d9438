//! The daemon's socket: connecting, asking, and turning a refusal into a failure.

use std::time::Duration;

use croft_domain::code::Code;
use croft_proto::grpc::local_client::LocalClient;
use croft_proto::grpc::{self, MESSAGE_LEN_MAX};
use tonic::transport::Channel;

use crate::failure::Failure;
use crate::limits::ANSWER_TIMEOUT;
use crate::paths::{Installation, Paths};

/// A connection to the daemon.
pub type Daemon = LocalClient<Channel>;

/// Connects.
///
/// # Errors
/// [`Code::DaemonDown`] if nobody answers.
pub async fn connect(paths: &Paths) -> Result<Daemon, Failure> {
    let socket = paths.socket();
    let connecting = tokio::time::timeout(ANSWER_TIMEOUT, croft_link::channel::grpc_unix(&socket));
    let channel = match connecting.await {
        Ok(Ok(channel)) => channel,
        Ok(Err(error)) => return Err(down(paths, &Failure::caused(Code::DaemonDown, &error).lines())),
        Err(_) => return Err(down(paths, "it does not answer in time")),
    };
    Ok(LocalClient::new(channel).max_decoding_message_size(MESSAGE_LEN_MAX))
}

fn down(paths: &Paths, why: &str) -> Failure {
    let refused = if why.contains("ermission denied") { " (permission denied)" } else { "" };
    let message = format!("the daemon does not answer at {}{refused}", paths.socket().display());
    let failure = Failure::new(Code::DaemonDown, message);
    match paths.installation {
        Installation::User => failure,
        Installation::System => failure.hint("start it with sudo systemctl start croft-node"),
    }
}

/// A request that the daemon must answer within `timeout`.
pub fn within<T>(timeout: Duration, message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(timeout);
    request
}

/// A request for what the daemon knows by heart.
pub fn ask<T>(message: T) -> tonic::Request<T> {
    within(ANSWER_TIMEOUT, message)
}

/// What the daemon's refusal means for a person.
pub fn refused(status: &tonic::Status) -> Failure {
    let code = grpc::code_of(status).unwrap_or(match status.code() {
        tonic::Code::Unavailable | tonic::Code::Cancelled | tonic::Code::DeadlineExceeded => Code::DaemonDown,
        tonic::Code::PermissionDenied | tonic::Code::Unauthenticated => Code::Denied,
        tonic::Code::InvalidArgument => Code::Input,
        _ => Code::Internal,
    });
    let message = if status.message().is_empty() { "the daemon refused" } else { status.message() };
    Failure::new(code, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_keeps_its_code() {
        let status = grpc::status(tonic::Code::FailedPrecondition, Code::InviteExpired, "it ended yesterday");
        assert_eq!(
            refused(&status).lines(),
            "error[E-INVITE-EXPIRED]: it ended yesterday\nhint: ask the admin for a new one: croftctl invite create --group GROUP\n"
        );
        assert_eq!(refused(&tonic::Status::unavailable("")).code(), Code::DaemonDown);
        assert_eq!(refused(&tonic::Status::unknown("x")).code(), Code::Internal);
    }
}
