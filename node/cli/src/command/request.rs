//! `croft request`: asks the admin for another model.

use croft_proto::grpc::AskModelRequest;

use crate::args::RequestArguments;
use crate::failure::Failure;
use crate::limits::CONTROLLER_TIMEOUT;
use crate::paths::Paths;
use crate::{daemon, output};

/// Sends the address and the reason, and nothing else.
///
/// # Errors
/// What the daemon or the controller refuses.
pub async fn run(paths: &Paths, arguments: RequestArguments) -> Result<(), Failure> {
    let RequestArguments { url: source, why: reason } = arguments;
    let mut daemon = daemon::connect(paths).await?;
    let asked = daemon::within(CONTROLLER_TIMEOUT, AskModelRequest { source, reason });
    let sent = daemon.ask_model(asked).await.map_err(|status| daemon::refused(&status))?.into_inner();
    output::say(&format!("Your admin was asked for {}.", output::one_line(&sent.source)));
    output::say("croft privacy shows what was sent; croft models shows the model if it comes.");
    Ok(())
}
