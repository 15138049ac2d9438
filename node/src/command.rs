//! The subcommands of `croft-node`: what each was asked, and who carries it out.

mod census;
mod run;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use census::CensusArguments;
use clap::{Args, Parser, Subcommand};
use croft_domain::code::Code;
use croft_domain::evidence::Mode;

use crate::agent;
use crate::bundles::vet::{self, Vetting};
use crate::config::Config;
use crate::failure::Failure;
use crate::gateway::{self, GatewayArgs};
use crate::limits::RUNTIME_END_TIMEOUT;
use crate::posture::{self, PostureArguments};
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
    /// Runs the daemon until it is asked to end.
    Run(PathArguments),
    /// Leaves the fleet without the daemon: erases keys, models and state.
    Leave(PathArguments),
    /// Judges the files from descriptor 3 on. Started by the daemon.
    #[command(hide = true)]
    VetConfined(vet::Question),
    /// Prints where everything is kept.
    Paths(PathArguments),
    /// The confined local API, which the daemon starts.
    #[command(hide = true)]
    Gateway(GatewayArgs),
    /// Shows how disks are kept, by the same rules as evidence.
    Posture(PostureArguments),
    /// Shows which local AI runs here, by the same rules as evidence.
    Census(CensusArguments),
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
        Command::Posture(arguments) => return posture::command(&arguments),
        Command::Census(arguments) => return census::run(&arguments),
        Command::Gateway(arguments) => return Ok(gateway::run(&arguments)),
        Command::Run(paths) => return run_daemon(paths),
        Command::Leave(paths) => return leave(paths),
        Command::VetConfined(question) => return vet::run_confined(&question),
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

fn run_daemon(arguments: PathArguments) -> Result<ExitCode, Failure> {
    start_log();
    let is_named = arguments.config.is_some();
    let paths = arguments.resolve()?;
    let config = Config::load(&paths.config, is_named).map_err(|e| Failure::caused(e.code(), &e))?;
    config.network.settle().map_err(|e| Failure::caused(e.code(), &e))?;
    let around = Surroundings::of_process();
    let node = std::env::current_exe().map_err(|e| Failure::caused(Code::Internal, &e))?;
    let senses = agent::senses::of_machine(Vetting::by(node));
    let runtime = runtime()?;
    let ran = runtime.block_on(run::run(paths, config, senses, &around));
    // A thread that hangs at a file system whose server is gone must not keep the daemon from ending.
    runtime.shutdown_timeout(RUNTIME_END_TIMEOUT);
    ran?;
    Ok(ExitCode::SUCCESS)
}

fn leave(arguments: PathArguments) -> Result<ExitCode, Failure> {
    let paths = arguments.resolve()?;
    let lock = run::lock(&paths).map_err(|failure| match failure.code() {
        Code::Conflict => {
            Failure::new(Code::Conflict, "the daemon runs: ask it with croft leave, or stop it first")
        }
        _ => failure,
    })?;
    // Whoever leaves may be behind a proxy; a configuration that cannot be read must not hold anybody back.
    if let Ok(config) = Config::load(&paths.config, false) {
        let _ = config.network.settle();
    }
    let departure = runtime()?.block_on(agent::leave::leave_without_daemon(&paths))?;
    drop(lock);
    println!("{}", departure.receipt);
    Ok(ExitCode::SUCCESS)
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Failure::caused(Code::Internal, &e))
}

/// Logs to standard error: for people on a terminal, JSON elsewhere. Never content.
fn start_log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("CROFT_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        log.init();
    } else {
        log.json().init();
    }
}
