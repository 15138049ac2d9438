//! Which other local AI is on this machine: processes and listening ports, matched by the rules in `census/rules.toml`.
//!
//! What leaves is a tool's name, counts and port numbers. Paths, command lines, model names and accounts are looked at
//! here and go no further. On a personal machine only the enrolled account's own processes and sockets count.
//! Deliberately absent: asking a tool anything over its port, which would be a request it can log or act on.

mod listeners;
mod processes;
mod rules;

use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use croft_domain::census::Finding;
use croft_domain::code::Code;

use crate::failure::Failure;
use crate::output::OutputForm;
use listeners::Listener;
use processes::Running;
use rules::Tool;

/// Whose processes are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accounts {
    /// Everybody's: a machine of the organization.
    All,
    /// One account's: a personal machine.
    Only(u32),
}

impl Accounts {
    fn has(self, uid: Option<u32>) -> bool {
        match self {
            Self::All => true,
            Self::Only(wanted) => uid == Some(wanted),
        }
    }
}

/// What a census is to look at.
#[derive(Clone, Copy, Debug)]
pub struct CensusRequest<'a> {
    /// Whose processes.
    pub accounts: Accounts,
    /// Ports that Croft itself listens on, which are nobody else's.
    pub own_ports: &'a [u16],
}

/// The census could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum CensusError {
    /// The process table cannot be read.
    #[error("reading the process table: {0}")]
    Processes(String),
    /// The kernel's list of sockets cannot be read.
    #[error("reading listening sockets")]
    Listeners(#[source] io::Error),
}

impl CensusError {
    /// The stable code that people see.
    #[must_use]
    pub const fn code(&self) -> Code {
        Code::Internal
    }
}

/// Most ports told of one tool. More than a handful is a range that somebody scans or forwards.
const PORTS_MAX: usize = 16;

/// Takes the census. Reads `/proc` for some tens of milliseconds: not for an async thread.
///
/// # Errors
/// If processes or sockets cannot be listed: an empty census would be a claim.
pub fn take(request: &CensusRequest<'_>) -> Result<Vec<Finding>, CensusError> {
    let running = processes::list()?;
    let listeners = listeners::list(Path::new("/proc/net")).map_err(CensusError::Listeners)?;
    Ok(count(&rules::embedded(), &running, &listeners, request, processes::sockets))
}

/// Which tools are there. `sockets` gives the socket inodes of a process, as far as they may be seen.
fn count(
    tools: &[Tool],
    running: &[Running],
    listeners: &[Listener],
    request: &CensusRequest<'_>,
    sockets: impl Fn(u32) -> Vec<u64>,
) -> Vec<Finding> {
    let listeners: Vec<&Listener> = listeners
        .iter()
        .filter(|l| request.accounts.has(Some(l.uid)) && !request.own_ports.contains(&l.port))
        .collect();
    let mut owners: Vec<Vec<&Running>> = vec![Vec::new(); tools.len()];
    for process in running.iter().filter(|process| request.accounts.has(process.uid)) {
        if let Some(at) = tools.iter().position(|tool| tool.fits(process)) {
            owners[at].push(process);
        }
    }
    let findings = tools.iter().zip(owners).filter_map(|(tool, processes)| {
        let inodes: Vec<u64> = processes.iter().flat_map(|process| sockets(process.pid)).collect();
        let known: Vec<&&Listener> = listeners
            .iter()
            .filter(|l| {
                inodes.contains(&l.inode)
                    || tool.port_alone.contains(&l.port)
                    || tool.ports.contains(&l.port) && is_of(l, &processes, &inodes)
            })
            .collect();
        let mut ports: Vec<u16> = known.iter().map(|l| l.port).collect();
        ports.sort_unstable();
        ports.dedup();
        ports.truncate(PORTS_MAX);
        let exposed = known.iter().any(|l| !l.loopback);
        let processes = u32::try_from(processes.len()).unwrap_or(u32::MAX);
        (processes > 0 || !ports.is_empty()).then(|| Finding {
            processes,
            ports,
            exposed,
            ..Finding::none_of(tool.name.clone())
        })
    });
    findings.collect()
}

/// Several tools share port 8080. Where the sockets of a tool's processes cannot be seen, a known port of the same
/// account is taken for theirs.
fn is_of(listener: &Listener, processes: &[&Running], inodes: &[u64]) -> bool {
    inodes.is_empty() && processes.iter().any(|process| process.uid == Some(listener.uid))
}

/// What `croft-node census` is asked.
#[derive(Clone, Debug, Args)]
pub struct CensusArguments {
    /// Everybody's processes and not only one's own.
    #[arg(long)]
    pub all: bool,
    /// Form of the answer.
    #[arg(short, long, value_enum, default_value_t = OutputForm::Table)]
    pub output: OutputForm,
}

/// Takes the census and prints it.
///
/// # Errors
/// If it cannot be taken.
pub fn command(arguments: &CensusArguments) -> Result<ExitCode, Failure> {
    let accounts =
        if arguments.all { Accounts::All } else { Accounts::Only(rustix::process::getuid().as_raw()) };
    let findings = take(&CensusRequest { accounts, own_ports: &[] })
        .map_err(|error| Failure::caused(error.code(), &error))?;
    match arguments.output {
        OutputForm::Json => {
            let json =
                serde_json::to_string_pretty(&findings).map_err(|e| Failure::caused(Code::Internal, &e))?;
            println!("{json}");
        }
        OutputForm::Table => {
            println!("{:26}  {:>9}  {:8}  PORTS", "TOOL", "PROCESSES", "EXPOSED");
            for finding in &findings {
                let ports: Vec<String> = finding.ports.iter().map(u16::to_string).collect();
                let exposed = if finding.exposed { "yes" } else { "no" };
                let (processes, ports) = (finding.processes, ports.join(","));
                println!("{:26}  {processes:>9}  {exposed:8}  {ports}", finding.tool);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests;
