//! The subcommands of `croft-node`: what each was asked, and who carries it out.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use croft_domain::code::Code;
use croft_domain::evidence::Mode;

use crate::failure::Failure;
use crate::gateway::{self, GatewayArgs};
use crate::service;
use crate::state::paths::{Paths, Surroundings, mode_of_process};

/// The daemon of a Croft workstation. People use `croft`; this is what it talks to.
#[derive(Debug, Parser)]
#[command(name = "croft-node", version)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prints where everything is kept.
    Paths(PathArguments),
    /// The confined local API, which the daemon starts.
    #[command(hide = true)]
    Gateway(GatewayArgs),
    /// The service that runs the daemon.
    #[command(subcommand)]
    Service(ServiceCommand),
}

#[derive(Debug, Subcommand)]
enum ServiceCommand {
    /// Prints a hardened systemd unit.
    Print {
        /// The unit of one user instead of the system's.
        #[arg(long)]
        user: bool,
    },
}

/// Where the node keeps its things, for every subcommand that needs to know.
#[derive(Clone, Debug, Default, Args)]
pub struct PathArguments {
    /// State folder.
    #[arg(long, env = "CROFT_STATE", value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Run folder: the socket.
    #[arg(long, env = "CROFT_RUN", value_name = "DIR")]
    pub run: Option<PathBuf>,
    /// Another node.toml.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl PathArguments {
    /// The paths in force.
    ///
    /// # Errors
    /// A failure if no state folder is known.
    pub fn resolve(self) -> Result<Paths, Failure> {
        let around = Surroundings::of_process();
        Paths::resolve(mode_of_process(), self.state, self.run, self.config, &around)
            .map_err(|e| Failure::new(Code::StateUnwritable, e.to_string()))
    }
}

/// Carries out what was asked.
///
/// # Errors
/// A failure with its stable code.
pub fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    match arguments.command {
        Command::Gateway(arguments) => return Ok(gateway::run(&arguments)),
        Command::Paths(paths) => {
            let lines = paths.resolve()?.lines().join("\n");
            println!("{lines}");
        }
        Command::Service(ServiceCommand::Print { user }) => {
            let mode = if user { Mode::User } else { Mode::System };
            let executable = std::env::current_exe().map_err(|e| Failure::caused(Code::Internal, &e))?;
            let unit = service::unit(mode, &executable).map_err(|e| Failure::caused(Code::Internal, &e))?;
            print!("{unit}");
        }
    }
    Ok(ExitCode::SUCCESS)
}
