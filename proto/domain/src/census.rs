//! The census: which local AI is on a machine. Detection is the node's work; this is what leaves it.

use serde::{Deserialize, Serialize};

use crate::id::CheckName;

/// One tool that was found. Carries no path, no model name, no command line, no user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// The tool's rule name, for example `ollama`.
    pub tool: CheckName,
    /// Processes running.
    pub processes: u32,
    /// Its known ports that listen.
    pub ports: Vec<u16>,
    /// Whether any of them can be reached from other machines.
    pub exposed: bool,
}
