//! `croft why`: check by check.

use croft_domain::code::Code;
use croft_proto::grpc::WhyRequest;

use crate::args::OutputArguments;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::paths::Paths;
use crate::view::why::WhyView;
use crate::{clock, daemon};

pub async fn run(paths: &Paths, arguments: &OutputArguments) -> Result<(), Failure> {
    let mut daemon = daemon::connect(paths).await?;
    let answer = daemon.why(daemon::ask(WhyRequest {})).await;
    let view = WhyView::try_from(answer.map_err(|status| daemon::refused(&status))?.into_inner())
        .map_err(|error| Failure::caused(Code::Internal, &error))?;
    match arguments.output {
        Format::Text => output::print(&view.render(clock::now())),
        Format::Json => output::print_json(&view),
    }
}
