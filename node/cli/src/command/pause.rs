//! `croft pause` and `croft resume`.

use croft_proto::grpc::SetPausedRequest;

use crate::daemon;
use crate::failure::Failure;
use crate::output;
use crate::paths::Paths;

pub async fn run(paths: &Paths, paused: bool) -> Result<(), Failure> {
    let mut daemon = daemon::connect(paths).await?;
    daemon
        .set_paused(daemon::ask(SetPausedRequest { paused }))
        .await
        .map_err(|status| daemon::refused(&status))?;
    output::say(if paused { "Paused. croft resume serves again." } else { "Resumed." });
    Ok(())
}
