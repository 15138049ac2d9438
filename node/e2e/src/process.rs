//! Processes: run to the end, or kept running and ended by pid.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::{E2eError, wait};

/// What a finished command said.
#[derive(Clone, Debug)]
pub struct Output {
    /// Exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Data.
    pub stdout: String,
    /// Talk.
    pub stderr: String,
}

impl Output {
    /// Whether `text` is anywhere in what was said.
    #[must_use]
    pub fn says(&self, text: &str) -> bool {
        self.stdout.contains(text) || self.stderr.contains(text)
    }
}

/// Runs a command to its end, whatever it is.
///
/// # Errors
/// If it cannot be started.
pub fn run(command: &mut Command) -> Result<Output, E2eError> {
    let line = describe(command);
    let done = command.stdin(Stdio::null()).output().map_err(E2eError::io(format!("start {line}")))?;
    Ok(Output {
        code: done.status.code(),
        stdout: String::from_utf8_lossy(&done.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&done.stderr).into_owned(),
    })
}

/// Runs a command that must succeed.
///
/// # Errors
/// [`E2eError::Command`] with what it said if it does not.
pub fn must(command: &mut Command) -> Result<Output, E2eError> {
    let line = describe(command);
    let output = run(command)?;
    if output.code == Some(0) {
        return Ok(output);
    }
    let status = output.code.map_or_else(|| "a signal".to_owned(), |code| format!("exit status {code}"));
    Err(E2eError::Command { command: line, status, stderr: output.stderr })
}

fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_else(|| OsStr::new("?"));
    let mut words = vec![program.to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|arg| arg.to_string_lossy().into_owned()));
    words.join(" ")
}

/// A process that runs until it is stopped or dropped.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts it with both outputs appended to `log`.
    ///
    /// # Errors
    /// If the log cannot be written or the program not be started.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self, E2eError> {
        let open = || File::options().create(true).append(true).open(log);
        let out = open().map_err(E2eError::io(format!("open {}", log.display())))?;
        let err = open().map_err(E2eError::io(format!("open {}", log.display())))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .map_err(E2eError::io(format!("start {name}")))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_owned() })
    }

    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks it to end and waits; kills it if it does not within ten seconds.
    ///
    /// # Errors
    /// [`E2eError::Late`] if it had to be killed.
    pub fn stop(&mut self) -> Result<ExitStatus, E2eError> {
        self.signal(Signal::TERM);
        let name = self.name.clone();
        let ended = wait::until(&format!("{name} ends after SIGTERM"), 12, || match self.child.try_wait() {
            Ok(Some(status)) => Ok(status),
            other => Err(format!("{other:?}")),
        });
        if ended.is_err() {
            self.kill();
        }
        ended
    }

    /// Ends it without a chance to tidy up, as a power cut does.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// [`E2eError::Late`] after `limit`.
    pub fn wait_for_end(&mut self, limit: Duration) -> Result<ExitStatus, E2eError> {
        let name = self.name.clone();
        wait::until(&format!("{name} ends"), limit.as_secs(), || match self.child.try_wait() {
            Ok(Some(status)) => Ok(status),
            other => Err(format!("{other:?}")),
        })
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It may have ended already; that is what was wanted.
            let _ = kill_process(pid, signal);
        }
    }

    /// Lets it run on after this value is gone, for `KEEP=1 make demo`.
    pub fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.is_running() {
            let _ = self.stop();
        }
    }
}
