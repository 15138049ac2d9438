//! The commands: one room a noun. Each reads its arguments, asks or signs, and says what it did.

mod apply;
mod assign;
mod audit;
pub mod bundle;
mod completions;
mod describe;
mod export;
mod get;
pub mod handover;
mod import;
pub mod init;
mod intake;
mod invite;
mod key_card;
pub mod keys;
mod lease;
mod listed_key;
mod node;
mod online_keys;
mod policy;
mod recall;
mod report;
mod requests;
pub mod roles;
mod runtime;
mod trust;
mod vet;
mod waiver;

use crate::args::{Args, Bundle, Command};
use crate::error::CtlError;
use crate::fleet_dir::FleetDir;
use crate::passphrase::Source;

/// Runs what was typed.
///
/// # Errors
/// Whatever the command refuses.
pub async fn run(args: Args) -> Result<(), CtlError> {
    let Args { config, passphrase_file, output, command } = args;
    if let Command::Completions { shell } = command {
        return completions::print(shell);
    }
    let dir = FleetDir::locate(config)?.with_passphrases(Source::new(passphrase_file));
    match command {
        Command::Init(arguments) => init::run(&dir, &arguments).await,
        Command::Invite(arguments) => invite::run(&dir, &arguments).await,
        Command::Get(what) => get::run(&dir, what, output).await,
        Command::Describe(what) => describe::run(&dir, &what, output).await,
        Command::Node(verb) => node::run(&dir, &verb).await,
        Command::Bundle(Bundle::Import(arguments)) => import::run(&dir, *arguments).await,
        Command::Bundle(Bundle::Approve { bundle, proposal: Some(file), .. }) => {
            handover::approve(&dir, &bundle, &file).await
        }
        Command::Bundle(Bundle::Approve { bundle, allow_license, allow_source, proposal: None }) => {
            let allow = bundle::Allow { license: allow_license, source: allow_source };
            bundle::approve(&dir, &bundle, allow).await
        }
        Command::Bundle(Bundle::Bom { bundle }) => bundle::bom(&dir, &bundle),
        Command::Bundle(Bundle::Publish { bundle }) => bundle::publish(&dir, &bundle).await,
        Command::Bundle(Bundle::Export(arguments)) => export::run(&dir, arguments).await,
        Command::Intake(what) => intake::run(&dir, &what, output).await,
        Command::Apply(arguments) => apply::run(&dir, &arguments).await,
        Command::Assign(what) => assign::run(&dir, &what).await,
        Command::Runtime(what) => runtime::run(&dir, &what).await,
        Command::Policy(what) => policy::run(&dir, &what).await,
        Command::Recall(arguments) => recall::run(&dir, arguments).await,
        Command::Waiver(verb) => waiver::run(&dir, verb, output).await,
        Command::Lease(verb) => lease::run(&dir, &verb, output).await,
        Command::Audit(verb) => audit::run(&dir, &verb, output).await,
        Command::Trust(verb) => trust::run(&dir, verb, output).await,
        Command::Report(verb) => report::run(&dir, &verb, output).await,
        Command::Requests(verb) => requests::run(&dir, &verb, output).await,
        Command::Vet(arguments) => vet::run(&arguments.paths, &import::exceptions(&dir)?, output).await,
        Command::Completions { .. } | Command::VetConfined(_) => Ok(()),
    }
}
