//! What other systems say of their disks and defenses, behind one small trait: each system is a set of commands, and a
//! reader of what each printed.
//!
//! macOS and Windows are a preview: the readers are tested on documented output, and nothing here was ever run on a real
//! machine of either. What a reader does not know word by word is unknown, never a pass.

mod macos;
mod windows;

use croft_domain::fact::DiskState;

pub use macos::MacOs;
pub use windows::Windows;

/// Output of a command, and what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked<'a> {
    /// The command, with its arguments.
    pub command: &'static str,
    /// What it printed; none if it could not be run.
    pub output: Option<&'a str>,
}

/// A system, as far as the checks ask.
pub trait Platform {
    /// The commands that must be run, by full path, in the order in which their output is wanted.
    fn commands(&self) -> &'static [&'static str];

    /// How the disk that holds the system and people's homes is kept.
    fn disk(&self, outputs: &[Asked<'_>]) -> Answer<DiskState>;

    /// Whether the firewall stands.
    fn firewall(&self, outputs: &[Asked<'_>]) -> Answer<bool>;
}

/// An answer, or why there is none.
pub type Answer<T> = Result<T, &'static str>;

/// What a command printed.
fn output<'a>(outputs: &[Asked<'a>], command: &str) -> Answer<&'a str> {
    let asked = outputs.iter().find(|asked| asked.command == command);
    asked.and_then(|asked| asked.output).ok_or("a command that tells could not be run")
}

#[cfg(test)]
mod tests;
