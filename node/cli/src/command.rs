//! Carries out what was asked, one noun a file.

mod accept_policy;
mod adopt;
mod census;
mod chat;
mod consent;
mod enroll;
mod evidence;
mod fix;
mod import;
mod key;
mod lease;
mod leave;
mod models;
mod pause;
mod privacy;
mod request;
mod service;
mod status;
mod uninstall;
mod why;

use std::process::ExitCode;

use clap::CommandFactory;
use croft_domain::code::Code;

use crate::args::{Arguments, Command};
use crate::failure::Failure;
use crate::paths::{Paths, Surroundings};
use crate::{output, program};

/// Carries out what was asked.
///
/// # Errors
/// What a person must know.
pub fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let paths = Paths::resolve(&arguments.paths, &Surroundings::of_process(), std::path::Path::exists);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::caused(Code::Internal, &error))?;
    runtime.block_on(dispatch(arguments.command, &paths))
}

async fn dispatch(command: Command, paths: &Paths) -> Result<ExitCode, Failure> {
    match command {
        Command::Enroll(arguments) => enroll::run(paths, &arguments).await,
        Command::Service(command) => service::run(paths, command).await,
        Command::Status(arguments) => status::run(paths, &arguments).await,
        Command::Why(arguments) => why::run(paths, &arguments).await,
        Command::Privacy(arguments) => privacy::run(paths, &arguments).await,
        Command::Consent(arguments) => consent::run(paths, &arguments).await,
        Command::Evidence(command) => evidence::run(paths, &command).await,
        Command::AcceptPolicy(arguments) => accept_policy::run(paths, &arguments).await,
        Command::Models(arguments) => models::run(paths, &arguments).await,
        Command::Import(arguments) => import::run(paths, &arguments).await,
        Command::Key(arguments) => key::run(paths, &arguments).await,
        Command::Chat(arguments) => chat::run(paths, &arguments).await,
        Command::Posture(passed) => Err(become_node(paths, "posture", passed.arguments)),
        Command::Census(passed) => return census::run(paths, passed.arguments).await,
        Command::Adopt(arguments) => adopt::run(paths, &arguments).await,
        Command::Fix(arguments) => fix::run(paths, &arguments).await,
        Command::Request(arguments) => request::run(paths, arguments).await,
        Command::Pause => pause::run(paths, true).await,
        Command::Resume => pause::run(paths, false).await,
        Command::Leave(arguments) => leave::run(paths, &arguments).await,
        Command::Uninstall(arguments) => uninstall::run(paths, &arguments).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "croft", &mut script);
            output::print(&String::from_utf8_lossy(&script))
        }
    }
    .map(|()| ExitCode::SUCCESS)
}

fn become_node(paths: &Paths, noun: &str, mut arguments: Vec<String>) -> Failure {
    arguments.insert(0, noun.to_owned());
    program::become_node(paths, &arguments)
}
