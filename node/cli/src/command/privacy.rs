//! `croft privacy`: what was sent to the organization, byte for byte.

use croft_proto::grpc::PrivacyRequest;

use crate::args::OutputArguments;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::paths::Paths;
use crate::view::privacy::PrivacyView;
use crate::{clock, daemon};

pub async fn run(paths: &Paths, arguments: &OutputArguments) -> Result<(), Failure> {
    let mut daemon = daemon::connect(paths).await?;
    let answer = daemon.privacy(daemon::ask(PrivacyRequest {})).await;
    let view = PrivacyView::from(answer.map_err(|status| daemon::refused(&status))?.into_inner());
    match arguments.output {
        Format::Text => output::print(&view.render(clock::now())),
        Format::Json => output::print_json(&view),
    }
}
