//! Running processes, as far as this account may see them.

use std::fs;

use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind};

use super::CensusError;

/// One process. Of another account's, program and arguments can be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Running {
    pub(super) pid: u32,
    pub(super) uid: Option<u32>,
    pub(super) name: String,
    pub(super) executable: String,
    pub(super) arguments: Vec<String>,
}

/// Longest command line looked at, in words: rules look at the first few.
const ARGUMENTS_MAX: usize = 16;

/// Most open descriptors looked at for one process.
const DESCRIPTORS_MAX: usize = 4096;

/// Lists all of them, threads left out.
pub(super) fn list() -> Result<Vec<Running>, CensusError> {
    let mut system = System::new().map_err(|error| CensusError::Processes(error.to_string()))?;
    let wanted = ProcessRefreshKind::nothing()
        .with_user(UpdateKind::Always)
        .with_exe(UpdateKind::Always)
        .with_cmd(UpdateKind::Always)
        .without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, wanted);
    let processes = system.processes().iter().map(|(pid, process)| Running {
        pid: pid.as_u32(),
        uid: process.user_id().map(|uid| **uid),
        name: process.name().to_string_lossy().into_owned(),
        executable: process.exe().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default(),
        arguments: process
            .cmd()
            .iter()
            .take(ARGUMENTS_MAX)
            .map(|word| word.to_string_lossy().into_owned())
            .collect(),
    });
    Ok(processes.collect())
}

/// Inodes of the sockets that a process holds. Empty if that may not be seen.
pub(super) fn sockets(pid: u32) -> Vec<u64> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    entries
        .take(DESCRIPTORS_MAX)
        .filter_map(|entry| {
            let target = fs::read_link(entry.path()).ok()?;
            target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
        })
        .collect()
}
