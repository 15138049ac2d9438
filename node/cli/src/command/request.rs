//! `croft request`: asks the admin for another model, and what became of that.

use croft_proto::grpc::{AskModelRequest, ListAskedRequest};

use crate::args::RequestArguments;
use crate::failure::Failure;
use crate::limits::CONTROLLER_TIMEOUT;
use crate::output::Format;
use crate::paths::Paths;
use crate::view::asked::AskedView;
use crate::{daemon, output};

/// Sends the address and the reason, and nothing else; or shows the answers.
///
/// # Errors
/// What the daemon or the controller refuses.
pub async fn run(paths: &Paths, arguments: RequestArguments) -> Result<(), Failure> {
    let RequestArguments { url, why, list, output: form } = arguments;
    let mut daemon = daemon::connect(paths).await?;
    if list {
        let asked = daemon.list_asked(daemon::within(CONTROLLER_TIMEOUT, ListAskedRequest {})).await;
        let view = AskedView::from(asked.map_err(|status| daemon::refused(&status))?.into_inner());
        return match form.output {
            Format::Text => output::print(&view.render()),
            Format::Json => output::print_json(&view),
        };
    }
    let asked = AskModelRequest { source: url.unwrap_or_default(), reason: why.unwrap_or_default() };
    let asked = daemon.ask_model(daemon::within(CONTROLLER_TIMEOUT, asked)).await;
    let sent = asked.map_err(|status| daemon::refused(&status))?.into_inner();
    output::say(&format!("Your admin was asked for {}.", output::one_line(&sent.source)));
    output::say("croft privacy shows what was sent; croft request --list shows what your admin answers.");
    Ok(())
}
