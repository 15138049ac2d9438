//! `croft fix`: the commands that mend a check, for a person to read and type.

use croft_domain::code::Code;
use croft_domain::remedy::{CHECKS, Guide, guide, named};
use croft_domain::verdict::Effect;
use croft_proto::grpc::WhyRequest;

use crate::args::FixArguments;
use crate::daemon;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::paths::Paths;
use crate::view::fix::FixView;
use crate::view::why::WhyView;

pub async fn run(paths: &Paths, arguments: &FixArguments) -> Result<(), Failure> {
    let guides = match &arguments.name {
        Some(name) => of_name(name)?,
        None => failing(paths).await?,
    };
    let view = FixView::new(&guides);
    match arguments.output.output {
        Format::Text => output::print(&view.render()),
        Format::Json => output::print_json(&view),
    }
}

fn of_name(name: &str) -> Result<Vec<&'static Guide>, Failure> {
    let guides: Vec<&Guide> = named(name).collect();
    // A subject that a machine named, for example swap:partition, or a path.
    let guides = if guides.is_empty() {
        let split = name.split_once(':');
        split.and_then(|(check, subject)| guide(check, subject)).into_iter().collect()
    } else {
        guides
    };
    if guides.is_empty() {
        let names: Vec<&str> = CHECKS.iter().map(|check| check.name).collect();
        return Err(Failure::new(Code::NotFound, format!("there is no check or subject {name}"))
            .hint(format!("one of {}; croft why lists what does not pass here", names.join(", "))));
    }
    Ok(guides)
}

/// Guides for whatever does not pass now, each once.
async fn failing(paths: &Paths) -> Result<Vec<&'static Guide>, Failure> {
    let mut daemon = daemon::connect(paths).await?;
    let answer = daemon.why(daemon::ask(WhyRequest {})).await;
    let view = WhyView::try_from(answer.map_err(|status| daemon::refused(&status))?.into_inner())
        .map_err(|error| Failure::caused(Code::Internal, &error))?;
    let mut guides: Vec<&Guide> = Vec::new();
    let checks = view.verdict.map(|verdict| verdict.checks).unwrap_or_default();
    for check in checks.iter().filter(|check| check.effect > Effect::None) {
        let found = guide(check.check.as_str(), &check.subject);
        guides.extend(found.filter(|new| !guides.contains(new)));
    }
    if guides.is_empty() {
        output::say("Nothing is to be mended: every check passes, or there is no verdict yet.");
    }
    Ok(guides)
}
