//! `completions`: scripts for shells.

use clap::CommandFactory;

use crate::args::Args;
use crate::error::CtlError;
use crate::output::write_stdout;

/// Prints the script for `shell`.
///
/// # Errors
/// Stdout is closed.
pub fn print(shell: clap_complete::Shell) -> Result<(), CtlError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "croftctl", &mut script);
    write_stdout(&script)
}
