//! `croft consent`: what the baseline asks for besides the minimum, and the owner's answer.

use std::io::IsTerminal;

use croft_proto::grpc::{ConsentAnswer, ConsentRequest, ConsentResponse};

use crate::args::ConsentArguments;
use crate::confirm::{self, Consent};
use crate::daemon;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::paths::Paths;
use crate::view::consent::ConsentView;

pub async fn run(paths: &Paths, arguments: &ConsentArguments) -> Result<(), Failure> {
    let mut daemon = daemon::connect(paths).await?;
    if arguments.revoke {
        let view = ask(&mut daemon, ConsentAnswer::Revoke).await?;
        show(&view, arguments)?;
        output::say("Revoked. What was agreed to since enrollment is no longer collected.");
        return Ok(());
    }
    let view = ask(&mut daemon, ConsentAnswer::Unspecified).await?;
    let nobody_to_ask = !arguments.yes && !std::io::stdin().is_terminal();
    if !view.is_waiting() || nobody_to_ask {
        return show(&view, arguments);
    }
    if !arguments.yes {
        output::print(&view.render())?;
    }
    confirm::require(Consent::of_flag(arguments.yes), "May what waits be collected from now on?")?;
    show(&ask(&mut daemon, ConsentAnswer::Give).await?, arguments)
}

async fn ask(daemon: &mut daemon::Daemon, answer: ConsentAnswer) -> Result<ConsentView, Failure> {
    let request = daemon::ask(ConsentRequest { answer: answer.into() });
    let answer: ConsentResponse =
        daemon.consent(request).await.map_err(|status| daemon::refused(&status))?.into_inner();
    Ok(answer.into())
}

fn show(view: &ConsentView, arguments: &ConsentArguments) -> Result<(), Failure> {
    match arguments.output.output {
        Format::Text => output::print(&view.render()),
        Format::Json => output::print_json(view),
    }
}
