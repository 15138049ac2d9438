//! Stdout and stderr. What the daemon, a controller or a model wrote is never let loose on a terminal as it is.

use std::io::{ErrorKind, Write};

use croft_domain::code::Code;
pub use croft_domain::printable::{one_line, printable};
use serde::Serialize;

use crate::failure::Failure;

/// In which form data is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs; stable.
    Json,
}

/// Writes data.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // The reader has what it wanted: `croft why | head -1` is no failure.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::new(Code::Internal, format!("cannot write to stdout: {error}"))),
        Ok(()) => Ok(()),
    }
}

/// Writes data as JSON.
pub fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::new(Code::Internal, format!("cannot write JSON: {error}")))?;
    print(&format!("{json}\n"))
}

/// Talks to the person.
pub fn say(text: &str) {
    // A closed stderr must not end the command.
    let _ = writeln!(std::io::stderr(), "{text}");
}
