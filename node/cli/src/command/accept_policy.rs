//! `croft accept-policy`: shows the text that the organization demands, and takes a yes to exactly that text.

use croft_proto::grpc::{AcceptPolicyRequest, AcceptPolicyResponse};

use crate::args::YesArguments;
use crate::confirm::{self, Consent};
use crate::daemon;
use crate::failure::Failure;
use crate::moment;
use crate::output;
use crate::paths::Paths;

pub async fn run(paths: &Paths, arguments: &YesArguments) -> Result<(), Failure> {
    let mut daemon = daemon::connect(paths).await?;
    let shown = ask(&mut daemon, String::new()).await?;
    if shown.policy.is_empty() {
        output::say("No policy is demanded here.");
        return Ok(());
    }
    if shown.text.is_empty() {
        output::say(&format!(
            "{} is demanded, but no signed document holds its text: tell your admin.",
            shown.policy
        ));
        return Ok(());
    }
    output::print(&format!("{}\n", shown.text.trim_end()))?;
    if shown.accepted_at > 0 {
        output::say(&format!("{} was accepted on {}.", shown.policy, moment::exact(shown.accepted_at)));
        return Ok(());
    }
    let question = format!("Do you accept {} as it is shown above?", shown.policy);
    confirm::require(Consent::of_flag(arguments.yes), &question)?;
    ask(&mut daemon, shown.sha256).await?;
    output::say(&format!("{} is accepted.", shown.policy));
    Ok(())
}

async fn ask(daemon: &mut daemon::Daemon, accept_sha256: String) -> Result<AcceptPolicyResponse, Failure> {
    let request = daemon::ask(AcceptPolicyRequest { accept_sha256 });
    Ok(daemon.accept_policy(request).await.map_err(|status| daemon::refused(&status))?.into_inner())
}
