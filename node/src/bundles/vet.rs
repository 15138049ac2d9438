//! Linting a fetched file before it gets into the store, in a process of its own that can read that one descriptor and
//! nothing else: what a parser does with hostile bytes must not reach the daemon's keys.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use croft_confine::{Entry, ResourceLimits, Role, enter, lock_down};
use croft_domain::code::Code;
use croft_vetting::gguf::Depth;
use croft_vetting::report::{Report, Verdict};

use crate::failure::Failure;
use crate::limits::{SCAN_TIMEOUT, VET_REPORT_LEN_MAX, VET_TIMEOUT};
use crate::spawn::{Launch, Output, Program, describe, launch};

const FILE_FD: i32 = 3;

/// Which rules a file is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those of what is served: only GGUF may pass.
    Served,
    /// Those of its own format: whether it can harm whoever loads it.
    Any,
}

/// How the daemon has a file judged.
#[derive(Clone, Debug)]
pub enum Vetting {
    /// By `croft-node vet-confined`, at this path.
    Confined(PathBuf),
    /// Not at all. For tests of what happens around it.
    #[cfg(test)]
    Skipped,
}

impl Vetting {
    /// Judges a file.
    ///
    /// # Errors
    /// `E-VET-REFUSED` with the broken rule, also if the judging process ended without an answer.
    pub async fn judge(&self, file: &File) -> Result<(), Failure> {
        match self {
            Self::Confined(program) => judge_confined(program, file).await,
            #[cfg(test)]
            Self::Skipped => Ok(()),
        }
    }

    /// Scans a file of whatever format, from its first byte to its last.
    ///
    /// # Errors
    /// If the confined process gave no answer in time.
    pub async fn scan(&self, file: &File) -> Result<Verdict, Failure> {
        match self {
            Self::Confined(program) => {
                let (report, _) = ask_confined(program, file, &["--any"], SCAN_TIMEOUT).await?;
                Ok(report.verdict)
            }
            #[cfg(test)]
            Self::Skipped => Ok(Verdict::Unknown),
        }
    }
}

async fn judge_confined(program: &std::path::Path, file: &File) -> Result<(), Failure> {
    let (report, status) = ask_confined(program, file, &[], VET_TIMEOUT).await?;
    if status.success() && report.passed() {
        return Ok(());
    }
    let why = report.first_refusal().map_or_else(
        || "the file could not be judged".to_owned(),
        |finding| format!("rule {:?}: {}", finding.rule, finding.message),
    );
    Err(Failure::new(Code::VetRefused, why))
}

/// What the confined process says, and how it ended.
async fn ask_confined(
    program: &std::path::Path,
    file: &File,
    options: &[&str],
    timeout: Duration,
) -> Result<(Report, ExitStatus), Failure> {
    let refused = |message: String| Failure::new(Code::VetRefused, message);
    let options = options.iter().map(|option| (*option).to_owned());
    let mut process = launch(&Launch {
        program: Program::At(program),
        arguments: std::iter::once("vet-confined".to_owned()).chain(options).collect(),
        descriptors: vec![(file.as_fd(), FILE_FD)],
        capture_output: Output::Capture,
    })
    .map_err(|e| refused(format!("cannot start the confined linter: {e}")))?;
    let output = process.take_output();
    let reading = tokio::task::spawn_blocking(move || {
        let mut text = Vec::new();
        if let Some(output) = output {
            output.take(VET_REPORT_LEN_MAX).read_to_end(&mut text)?;
        }
        Ok::<_, std::io::Error>(text)
    });
    let status = tokio::time::timeout(timeout, process.wait()).await;
    // Whatever happened, it is gone now, and with it the other end of the pipe.
    drop(process);
    let text = reading.await.map_err(|e| refused(e.to_string()))?.map_err(|e| refused(e.to_string()))?;
    let status = status
        .map_err(|_| refused("the confined linter took too long".to_owned()))?
        .map_err(|e| refused(e.to_string()))?;
    let report: Report = serde_json::from_slice(&text)
        .map_err(|_| refused(format!("the confined linter {} without an answer", describe(status))))?;
    Ok((report, status))
}

/// The confined process: judges the file at descriptor 3 and writes its report to standard output.
///
/// # Errors
/// If it cannot confine itself; nothing was read then.
pub fn run_confined(scope: Scope) -> Result<ExitCode, Failure> {
    let unproven = |e: croft_confine::ConfineError| Failure::caused(Code::SandboxUnproven, &e);
    let unreadable = |e: std::io::Error| Failure::caused(Code::VetRefused, &e);
    // Opened anew while that is still possible: a description of its own, read from its beginning.
    let mut file = File::open(format!("/proc/self/fd/{FILE_FD}")).map_err(unreadable)?;
    let len = file.metadata().map_err(unreadable)?.len();
    let limits = ResourceLimits {
        data_bytes: Some(croft_vetting::limits::MEMORY_MAX),
        open_files: Some(16),
        processes: Some(1),
    };
    let keep_fds = [file.as_raw_fd()];
    enter(&Entry { role: Role::Vetting, keep_fds: &keep_fds, readable: &[], limits }).map_err(unproven)?;
    lock_down(Role::Vetting).map_err(unproven)?;
    let mut report = match scope {
        Scope::Served => croft_vetting::format::vet(&file, len, Depth::Header),
        Scope::Any => croft_vetting::scan::scan(&mut file, len),
    };
    // Of no use here, and it can be longer than the daemon reads.
    report.chat_template = None;
    let passed = report.passed();
    let text = serde_json::to_string(&report).map_err(|e| Failure::caused(Code::VetRefused, &e))?;
    println!("{text}");
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
