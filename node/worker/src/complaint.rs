//! The one way in which this process says something to a person: a line on the standard error that it was born with.
//!
//! llama.cpp prints there as well, and some of it, such as a grammar that it cannot read, is a user's text. So the
//! descriptor that libraries know leads nowhere, and only this room has the real one.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::fd::{AsFd as _, AsRawFd as _, RawFd};
use std::sync::OnceLock;

static OUTLET: OnceLock<File> = OnceLock::new();

/// Turns the standard error of libraries off. Called before the confinement, which must leave the given descriptor.
///
/// # Errors
/// What the system says, if it does not allow that.
pub fn keep_to_ourselves() -> std::io::Result<RawFd> {
    if let Some(outlet) = OUTLET.get() {
        return Ok(outlet.as_raw_fd());
    }
    let outlet = File::from(std::io::stderr().as_fd().try_clone_to_owned()?);
    let nowhere = OpenOptions::new().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stderr(&nowhere)?;
    Ok(OUTLET.get_or_init(|| outlet).as_raw_fd())
}

/// Says one line. Nobody may be there to hear it.
pub fn say(line: &str) {
    let line = format!("croft-worker: {line}\n");
    let _ = match OUTLET.get() {
        Some(outlet) => { outlet }.write_all(line.as_bytes()),
        None => std::io::stderr().write_all(line.as_bytes()),
    };
}
