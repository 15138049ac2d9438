//! What a system's own commands print: asked on the machine, or kept in a captured tree.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Answer;
use crate::ask::ask;

/// Where a captured tree keeps it.
const FILE: &str = "croft/outputs.json";

/// Largest file of outputs that is read, in bytes.
const FILE_LEN_MAX: u64 = 8 << 20;

/// Which system prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum System {
    /// Read from files.
    Linux,
    /// Asked by command.
    MacOs,
    /// Asked by command.
    Windows,
}

/// One command, by full path: a search path that somebody else may write decides nothing here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Command {
    pub(super) name: &'static str,
    pub(super) program: &'static str,
    pub(super) arguments: &'static [&'static str],
}

/// Everything that was printed, by the commands' names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outputs {
    /// By which system.
    pub system: System,
    /// What. A command that could not be run is missing.
    pub outputs: BTreeMap<String, String>,
}

impl Outputs {
    /// Asks this machine.
    pub(super) fn ask(system: System, commands: &[Command]) -> Self {
        let outputs = commands.iter().filter_map(|command| {
            Some((command.name.to_owned(), ask(command.program, command.arguments, &[])?))
        });
        Self { system, outputs: outputs.collect() }
    }

    /// Of a captured tree; none if it holds none.
    pub(super) fn of_tree(root: &Path) -> Option<Self> {
        let path = root.join(FILE);
        let is_sound = fs::metadata(&path).is_ok_and(|facts| facts.is_file() && facts.len() <= FILE_LEN_MAX);
        let bytes = fs::read(path).ok().filter(|_| is_sound)?;
        serde_json::from_slice(&bytes).ok()
    }

    /// What one command printed, without a mark of byte order.
    pub(super) fn of(&self, command: &str) -> Answer<&str> {
        let output = self.outputs.get(command).ok_or("a command that tells could not be run")?;
        Ok(output.trim_start_matches('\u{feff}'))
    }
}
