//! The command line: parsing touches nothing, each command is a file.

mod init;
mod run;
pub mod server;
mod service;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use croft_domain::code::Code;

use crate::config::{ConfigError, METRICS_DEFAULT, State};
use crate::service::UnitError;
use server::StartError;

/// The controller of a Croft fleet.
#[derive(Debug, Parser)]
#[command(name = "croft-controller", version, about, max_term_width = 100)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a new controller: its CA, its keys and the token for the first admin
    Init(InitArguments),
    /// Serve the fleet
    Run(RunArguments),
    /// Work with the system's service manager
    Service {
        #[command(subcommand)]
        command: ServiceCommand,
    },
}

#[derive(Debug, Args)]
struct StateArguments {
    /// State folder [default: /var/lib/croft-controller for root, else $XDG_STATE_HOME/croft-controller]
    #[arg(long, value_name = "DIR", env = "CROFT_CONTROLLER_STATE")]
    state: Option<PathBuf>,
}

impl StateArguments {
    fn open(self) -> Result<State, ConfigError> {
        let folder = self.state.map_or_else(State::default_folder, Ok)?;
        let absolute = std::path::absolute(&folder)
            .map_err(|source| ConfigError::Read { path: folder.clone(), source })?;
        Ok(State::new(absolute))
    }
}

#[derive(Debug, Args)]
struct InitArguments {
    #[command(flatten)]
    state: StateArguments,
    /// Name of the fleet, as people will read it
    #[arg(long, default_value = "Croft fleet")]
    name: String,
    /// DNS name or address under which nodes reach this controller; may be given several times, the main one first
    #[arg(long = "host", value_name = "HOST")]
    hosts: Vec<String>,
    /// Where to listen
    #[arg(long, value_name = "ADDRESS:PORT", default_value = crate::config::LISTEN_DEFAULT)]
    listen: String,
}

#[derive(Debug, Args)]
struct RunArguments {
    #[command(flatten)]
    state: StateArguments,
    /// Where to listen [default: as said at init]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Where /healthz and /metrics are, without TLS: a loopback address
    #[arg(long, value_name = "ADDRESS:PORT", default_value = METRICS_DEFAULT)]
    metrics: String,
    /// sqlite:PATH or postgres://… [default: a file in the state folder]
    #[arg(long, value_name = "URL", env = "CROFT_CONTROLLER_DATABASE", hide_env_values = true)]
    database: Option<String>,
    /// How often to make a report, for example 24h; `never` for only when asked
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = run::parse_period)]
    report_every: run::Period,
    /// How long a node's certificate lasts; it is renewed at half of that, or by key proof after a longer sleep
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = run::parse_certificate_life)]
    node_certificate: u64,
    /// How long bodies of evidence are kept; what it was judged stays
    #[arg(long, value_name = "TIME", default_value = "90d", value_parser = run::parse_kept)]
    keep_evidence: u64,
    /// How long bodies of verdicts are kept; the chain of their hashes stays for ever
    #[arg(long, value_name = "TIME", default_value = "6y", value_parser = run::parse_kept)]
    keep_verdicts: u64,
}

#[derive(Debug, Subcommand)]
enum ServiceCommand {
    /// Print a hardened systemd unit for this installation
    Print {
        #[command(flatten)]
        state: StateArguments,
    },
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Unit(#[from] UnitError),
    #[error("cannot {operation}")]
    System {
        operation: &'static str,
        #[source]
        source: std::io::Error,
    },
}

impl CommandError {
    fn code(&self) -> Code {
        match self {
            Self::Config(error) => error.code(),
            Self::Start(error) => error.code(),
            Self::Unit(error) => error.code(),
            Self::System { .. } => Code::Internal,
        }
    }
}

/// Carries out a command; the exit status says whether it worked.
#[must_use]
pub fn execute(arguments: Arguments) -> ExitCode {
    let done = match arguments.command {
        Command::Init(arguments) => init::execute(arguments),
        Command::Run(arguments) => run::execute(arguments),
        Command::Service { command: ServiceCommand::Print { state } } => service::print(state),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stderr, reason = "the command line's own words")]
fn report(error: &CommandError) {
    let code = error.code();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        let next = source.to_string();
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = source.source();
    }
    eprintln!("error[{code}]: {text}");
    eprintln!("hint: {}", code.hint());
}
