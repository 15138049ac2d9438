//! `croft models`: the approved models on this machine, and measuring their variants anew.

use croft_proto::grpc::{MeasureModelRequest, ModelsRequest};

use crate::args::ModelsArguments;
use crate::daemon;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::paths::Paths;
use crate::view::models::ModelsView;

pub async fn run(paths: &Paths, arguments: &ModelsArguments) -> Result<(), Failure> {
    let mut daemon = daemon::connect(paths).await?;
    if let Some(name) = &arguments.measure {
        let asked = MeasureModelRequest { name: name.clone() };
        let answer = daemon.measure_model(daemon::ask(asked)).await;
        let variants = answer.map_err(|status| daemon::refused(&status))?.into_inner().variants;
        output::say(&format!(
            "to be measured when no model is used and the machine is not on battery: {}",
            variants.iter().map(|name| output::one_line(name)).collect::<Vec<_>>().join(", ")
        ));
    }
    let format = arguments.output.output;
    let asked = ModelsRequest { shows_terms: matches!(format, Format::Text) };
    let answer = daemon.models(daemon::ask(asked)).await;
    let view = ModelsView::from(answer.map_err(|status| daemon::refused(&status))?.into_inner());
    match format {
        Format::Text => output::print(&view.render()),
        Format::Json => output::print_json(&view),
    }
}
