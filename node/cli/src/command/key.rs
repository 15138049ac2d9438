//! `croft key`: the API key, on stdout alone, so that it can be put into a variable.

use croft_proto::grpc::ApiKeyRequest;

use crate::args::KeyArguments;
use crate::daemon;
use crate::failure::Failure;
use crate::output;
use crate::paths::Paths;

pub async fn run(paths: &Paths, arguments: &KeyArguments) -> Result<(), Failure> {
    let key = fetch(&mut daemon::connect(paths).await?, arguments.rotate).await?;
    if arguments.rotate {
        output::say("The old key no longer works; change it in your editor.");
    }
    output::print(&format!("{}\n", output::one_line(&key)))
}

/// The key in force.
pub async fn fetch(daemon: &mut daemon::Daemon, rotate: bool) -> Result<String, Failure> {
    let answer = daemon.api_key(daemon::ask(ApiKeyRequest { rotate })).await;
    answer.map(|answer| answer.into_inner().key).map_err(|status| daemon::refused(&status))
}
