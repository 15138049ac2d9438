//! Stdout and stderr. What the daemon, a controller or a model wrote is never let loose on a terminal as it is.

use std::io::{ErrorKind, Write};

use croft_domain::code::Code;
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

/// Text without anything that moves a terminal's cursor, reorders a line or hides: control characters but line break
/// and tab, bidirectional and zero-width marks are escaped.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        let hides = matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        if hides || (c.is_control() && c != '\n' && c != '\t') {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// The same on one line.
pub fn one_line(text: &str) -> String {
    printable(text).replace(['\n', '\t'], " ")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p10_a_controller_cannot_drive_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\r\u{7}"), "a\\u{1b}[2Jb\\u{d}\\u{7}");
        assert_eq!(printable("x\u{202e}y\u{200b}"), "x\\u{202e}y\\u{200b}");
        assert_eq!(one_line("a\nb\tc"), "a b c");
    }
}
