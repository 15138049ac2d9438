//! `croft leave`: ends membership, with or without the controller, with or without the daemon.

use croft_domain::code::Code;
use croft_proto::grpc::{LeaveFleetRequest, LeaveFleetResponse};

use crate::args::YesArguments;
use crate::confirm::{self, Consent};
use crate::failure::Failure;
use crate::limits::CONTROLLER_TIMEOUT;
use crate::paths::Paths;
use crate::{daemon, output, program};

pub async fn run(paths: &Paths, arguments: &YesArguments) -> Result<(), Failure> {
    output::say("Leaving erases this machine's identity, its trust state and the approved models.");
    output::say("The organization is told if it can be reached; it cannot hold you back.");
    confirm::require(Consent::of_flag(arguments.yes), "Leave the fleet?")?;
    let receipt = perform(paths).await?;
    output::print(&receipt)
}

/// Leaves without asking; gives the receipt.
pub async fn perform(paths: &Paths) -> Result<String, Failure> {
    match daemon::connect(paths).await {
        Ok(mut daemon) => {
            let request = daemon::within(CONTROLLER_TIMEOUT, LeaveFleetRequest {});
            let answer = daemon.leave_fleet(request).await.map_err(|status| daemon::refused(&status))?;
            Ok(render(&answer.into_inner()))
        }
        Err(failure) if failure.code() == Code::DaemonDown => leave_without_daemon(paths),
        Err(failure) => Err(failure),
    }
}

fn leave_without_daemon(paths: &Paths) -> Result<String, Failure> {
    output::say("The daemon does not answer; leaving without it.");
    // It erases the same files, and says so itself on stderr.
    let output = program::node(paths, &["leave"])?
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|error| Failure::caused(Code::Internal, &error))?;
    if !output.status.success() {
        return Err(Failure::new(Code::Internal, "croft-node leave failed; its message is above"));
    }
    Ok(output::printable(&String::from_utf8_lossy(&output.stdout)))
}

fn render(answer: &LeaveFleetResponse) -> String {
    let LeaveFleetResponse { controller_told, erased, receipt } = answer;
    let told = if *controller_told {
        "The controller was told."
    } else {
        "The controller could not be told; it will see this node go silent."
    };
    let mut text = format!("Left the fleet. {told}\n");
    for path in erased {
        text.push_str(&format!("erased  {}\n", output::one_line(path)));
    }
    if !receipt.is_empty() {
        text.push_str(&format!("receipt {}\n", output::one_line(receipt)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p10_the_receipt_says_what_is_gone_and_who_knows() {
        let erased = vec!["/s/identity".to_owned(), "/s/store".to_owned()];
        let answer = LeaveFleetResponse { controller_told: false, erased, receipt: "1f00".to_owned() };
        insta::assert_snapshot!(render(&answer), @r"
    Left the fleet. The controller could not be told; it will see this node go silent.
    erased  /s/identity
    erased  /s/store
    receipt 1f00
    ");
    }
}
