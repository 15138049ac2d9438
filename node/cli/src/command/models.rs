//! `croft models`: the approved models on this machine.

use croft_proto::grpc::ModelsRequest;

use crate::args::OutputArguments;
use crate::daemon;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::paths::Paths;
use crate::view::models::ModelsView;

pub async fn run(paths: &Paths, arguments: &OutputArguments) -> Result<(), Failure> {
    let mut daemon = daemon::connect(paths).await?;
    let answer = daemon
        .models(daemon::ask(ModelsRequest { shows_terms: matches!(arguments.output, Format::Text) }))
        .await;
    let view = ModelsView::from(answer.map_err(|status| daemon::refused(&status))?.into_inner());
    match arguments.output {
        Format::Text => output::print(&view.render()),
        Format::Json => output::print_json(&view),
    }
}
