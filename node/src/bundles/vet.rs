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
use croft_domain::limits::BUNDLE_FILES_MAX;
use croft_domain::vetting::VettingExceptions;
use croft_vetting::gguf::{Depth, Shard};
use croft_vetting::policy::Policy;
use croft_vetting::report::{Report, Verdict};

use crate::failure::Failure;
use crate::limits::{SCAN_TIMEOUT, VET_REPORT_LEN_MAX, VET_TIMEOUT};
use crate::spawn::{Launch, Output, Program, describe, launch};

const FILE_FD: i32 = 3;

/// How the daemon has a file judged.
#[derive(Clone, Debug)]
pub enum Vetting {
    /// By `croft-node vet-confined`.
    Confined(Linter),
    /// Not at all. For tests of what happens around it.
    #[cfg(test)]
    Skipped,
}

/// The linter, and what it is to know.
#[derive(Clone, Debug)]
pub struct Linter {
    program: PathBuf,
    architectures: Vec<String>,
    is_part: bool,
}

impl Vetting {
    /// By `croft-node vet-confined`, at this path.
    #[must_use]
    pub const fn by(program: PathBuf) -> Self {
        Self::Confined(Linter { program, architectures: Vec::new(), is_part: false })
    }

    /// The same with what the signed fleet document allows; for one file of several, its container only.
    #[must_use]
    pub fn of_file(&self, exceptions: &VettingExceptions, is_part: bool) -> Self {
        match self {
            Self::Confined(Linter { program, .. }) => Self::Confined(Linter {
                program: program.clone(),
                architectures: exceptions.architectures.keys().cloned().collect(),
                is_part,
            }),
            #[cfg(test)]
            Self::Skipped => Self::Skipped,
        }
    }

    /// Judges a file; of a bundle of several, its container.
    ///
    /// # Errors
    /// `E-VET-REFUSED` with the broken rule, also if the judging process ended without an answer.
    pub async fn judge(&self, file: &File) -> Result<(), Failure> {
        match self {
            Self::Confined(linter) => {
                let arguments = linter.is_part.then(|| "--part".to_owned()).into_iter().collect();
                linter.judge(arguments, std::slice::from_ref(file)).await
            }
            #[cfg(test)]
            Self::Skipped => Ok(()),
        }
    }

    /// Judges all files of a bundle of several together.
    ///
    /// # Errors
    /// As [`Self::judge`].
    pub async fn judge_together(&self, files: &[File]) -> Result<(), Failure> {
        match self {
            Self::Confined(linter) => {
                let arguments = vec![format!("--shards={}", files.len())];
                linter.judge(arguments, files).await
            }
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
            Self::Confined(linter) => {
                let (report, _) =
                    linter.ask(vec!["--any".to_owned()], std::slice::from_ref(file), SCAN_TIMEOUT).await?;
                Ok(report.verdict)
            }
            #[cfg(test)]
            Self::Skipped => Ok(Verdict::Unknown),
        }
    }
}

impl Linter {
    async fn judge(&self, arguments: Vec<String>, files: &[File]) -> Result<(), Failure> {
        let (report, status) = self.ask(arguments, files, VET_TIMEOUT).await?;
        if status.success() && report.passed() {
            return Ok(());
        }
        let why = report.first_refusal().map_or_else(
            || "the file could not be judged".to_owned(),
            |finding| format!("rule {:?}: {}", finding.rule, finding.message),
        );
        Err(Failure::new(Code::VetRefused, why))
    }

    /// What the confined process says of `files`, and how it ended.
    async fn ask(
        &self,
        mut arguments: Vec<String>,
        files: &[File],
        timeout: Duration,
    ) -> Result<(Report, ExitStatus), Failure> {
        let refused = |message: String| Failure::new(Code::VetRefused, message);
        arguments.insert(0, "vet-confined".to_owned());
        arguments.extend(self.architectures.iter().map(|name| format!("--architecture={name}")));
        let mut process = launch(&Launch {
            program: Program::At(&self.program),
            arguments,
            descriptors: files.iter().map(AsFd::as_fd).zip(FILE_FD..).collect(),
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
}

/// What the confined process is asked.
#[derive(Clone, Debug, clap::Args)]
pub struct Question {
    /// By the rules of any format and not only of what is served.
    #[arg(long, conflicts_with_all = ["part", "shards"])]
    any: bool,
    /// It is one file of several.
    #[arg(long)]
    part: bool,
    /// The files of one model are at as many descriptors, beginning with 3.
    #[arg(long, conflicts_with = "part", value_parser = clap::value_parser!(u16).range(2..=BUNDLE_FILES_MAX as i64))]
    shards: Option<u16>,
    /// An architecture that the fleet allows.
    #[arg(long = "architecture")]
    architectures: Vec<String>,
}

/// The confined process: judges the files from descriptor 3 on and writes its report to standard output.
///
/// # Errors
/// If it cannot confine itself; nothing was read then.
pub fn run_confined(question: &Question) -> Result<ExitCode, Failure> {
    let unproven = |e: croft_confine::ConfineError| Failure::caused(Code::SandboxUnproven, &e);
    let unreadable = |e: std::io::Error| Failure::caused(Code::VetRefused, &e);
    let count = question.shards.unwrap_or(1);
    let mut files = Vec::new();
    for fd in (FILE_FD..).take(count.into()) {
        // Opened anew while that is still possible: a description of its own, read from its beginning.
        let file = File::open(format!("/proc/self/fd/{fd}")).map_err(unreadable)?;
        let len = file.metadata().map_err(unreadable)?.len();
        files.push((file, len));
    }
    let limits = ResourceLimits {
        data_bytes: Some(croft_vetting::limits::MEMORY_MAX),
        open_files: Some(u64::from(count) * 2 + 16),
        processes: Some(1),
    };
    let keep_fds: Vec<_> = files.iter().map(|(file, _)| file.as_raw_fd()).collect();
    enter(&Entry { role: Role::Vetting, keep_fds: &keep_fds, readable: &[], limits }).map_err(unproven)?;
    lock_down(Role::Vetting).map_err(unproven)?;
    let mut report = answer(question, files);
    // Of no use here, and it can be longer than the daemon reads.
    report.chat_template = None;
    let passed = report.passed();
    let text = serde_json::to_string(&report).map_err(|e| Failure::caused(Code::VetRefused, &e))?;
    println!("{text}");
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn answer(question: &Question, mut files: Vec<(File, u64)>) -> Report {
    let policy = Policy::default().with_architectures(&question.architectures);
    if question.shards.is_some() {
        // The store knows digests only; that the files are in order is what they say themselves.
        let count = files.len();
        let names: Vec<_> =
            (1..=count).map(|number| format!("model-{number:05}-of-{count:05}.gguf")).collect();
        let shards = names
            .iter()
            .zip(&files)
            .map(|(name, (reader, len_bytes))| Shard { name, reader, len_bytes: *len_bytes })
            .collect();
        return croft_vetting::gguf::lint_shards(shards, Depth::Header, &policy);
    }
    let Some((mut file, len)) = files.pop() else {
        return croft_vetting::format::vet(std::io::empty(), 0, Depth::Header);
    };
    if question.any {
        return croft_vetting::scan::scan(&mut file, len);
    }
    if question.part {
        return croft_vetting::gguf::lint_part(file, len, Depth::Header);
    }
    croft_vetting::format::vet_under(file, len, Depth::Header, &policy)
}
