//! Vetting in a confined child: this program runs itself again, gives the child the open file as standard input and a
//! pipe as standard output, and nothing else. The parent never parses the file; it distrusts the child's report too.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use croft_confine::{Entry, ResourceLimits, Role};
use croft_domain::vetting::VettingExceptions;
use croft_vetting::gguf::{Depth, Shard};
use croft_vetting::policy::Policy;
use croft_vetting::report::{Finding, Report, Severity};
use croft_vetting::template::Renderings;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::args::Confined;
use crate::error::CtlError;
use crate::limits::{
    RENDERINGS_LEN_MAX, REPORT_LEN_MAX, VETTING_BYTES_PER_S, VETTING_DATA_BYTES, VETTING_FILES_MAX,
    VETTING_TIMEOUT_S,
};
use crate::output::clean;

/// What the parent keeps of a file that passed.
pub struct Passed {
    /// What the child found out.
    pub report: Report,
    /// The report's exact bytes, for its digest.
    pub bytes: Vec<u8>,
}

/// Which formats may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// What is served.
    Gguf,
    /// Whatever `croftctl vet` is given.
    Any,
    /// A chat template, which comes through a pipe.
    Template,
    /// A chat template and what llama.cpp made of it: an [`Agreement`] as JSON, through a pipe.
    Agreement,
}

/// What is compared.
#[derive(Serialize, Deserialize)]
struct Agreement {
    source: String,
    shown: Renderings,
}

/// The child's work: confine this process, judge standard input or the shards, write the report to standard output.
///
/// Must be called before any thread exists.
///
/// # Errors
/// Standard input is not a file, the confinement does not stand, or the report cannot be written.
pub fn judge_confined(confined: &Confined) -> Result<(), CtlError> {
    let process = |operation| move |source| CtlError::Process { operation, source };
    let owned = std::io::stdin().as_fd().try_clone_to_owned().map_err(process("take standard input"))?;
    let mut file = File::from(owned);
    let len_bytes = file.metadata().map_err(process("measure standard input"))?.len();
    let shards = inherited(&confined.shards).map_err(process("take the shards"))?;
    let mut keep = vec![file.as_raw_fd()];
    keep.extend(shards.iter().map(|(_, file, _)| file.as_raw_fd()));
    let limits = ResourceLimits {
        data_bytes: Some(VETTING_DATA_BYTES),
        open_files: Some(VETTING_FILES_MAX),
        processes: Some(1),
    };
    let entry = Entry { role: Role::Vetting, keep_fds: &keep, readable: &[], limits };
    croft_confine::enter(&entry)
        .and_then(|_| croft_confine::lock_down(Role::Vetting))
        .map_err(|e| CtlError::Process { operation: "confine vetting", source: std::io::Error::other(e) })?;
    let policy = Policy::default()
        .with_architectures(&confined.architectures)
        .with_imports(&confined.imports)
        .with_operators(&confined.operators);
    let report = match confined.scope() {
        _ if !shards.is_empty() => {
            let shard = |(name, file, len_bytes)| Shard { name, reader: BufReader::new(file), len_bytes };
            croft_vetting::gguf::lint_shards(shards.into_iter().map(shard).collect(), Depth::Full, &policy)
        }
        Scope::Gguf => {
            croft_vetting::format::vet_under(BufReader::new(file), len_bytes, Depth::Full, &policy)
        }
        Scope::Any => croft_vetting::scan::scan_under(&mut file, len_bytes, &policy),
        Scope::Template => {
            // A pipe has no length of its own; one byte too many is enough to be refused.
            let mut source = Vec::new();
            let limit = croft_vetting::limits::TEMPLATE_LEN_MAX + 1;
            file.take(limit).read_to_end(&mut source).map_err(process("read standard input"))?;
            croft_vetting::template::review(&source[..], source.len() as u64)
        }
        Scope::Agreement => {
            let mut text = Vec::new();
            file.take(RENDERINGS_LEN_MAX * 2)
                .read_to_end(&mut text)
                .map_err(process("read standard input"))?;
            let Agreement { source, shown } = serde_json::from_slice(&text)
                .map_err(|e| CtlError::Process { operation: "read standard input", source: e.into() })?;
            croft_vetting::template::agree(&source, &shown)
        }
    };
    let bytes = serde_json::to_vec(&report).map_err(|e| CtlError::AnswerWrite { source: Box::new(e) })?;
    std::io::stdout()
        .lock()
        .write_all(&bytes)
        .map_err(|source| CtlError::FileWrite { path: "standard output".into(), source })
}

/// The shards that the parent left open, each as `FD:NAME`, opened anew so that nobody shares our place in them.
fn inherited(shards: &[String]) -> std::io::Result<Vec<(&str, File, u64)>> {
    fn open(shard: &str) -> std::io::Result<(&str, File, u64)> {
        let (fd, name) = shard.split_once(':').ok_or(std::io::ErrorKind::InvalidInput)?;
        let fd: u32 = fd.parse().map_err(std::io::Error::other)?;
        let file = File::open(format!("/proc/self/fd/{fd}"))?;
        let len_bytes = file.metadata()?.len();
        Ok((name, file, len_bytes))
    }
    shards.iter().map(|shard| open(shard)).collect()
}

/// Has `file` judged by a confined child.
///
/// # Errors
/// [`CtlError::VetRefused`] with each broken rule, or [`CtlError::Vetting`] if the child did not answer.
pub async fn vet(path: &Path, file: &File, exceptions: &VettingExceptions) -> Result<Passed, CtlError> {
    let fail = |reason: String| CtlError::Vetting { path: path.to_owned(), reason };
    let (report, bytes) = judge(file, Scope::Gguf, exceptions).await.map_err(fail)?;
    passed(path, report, bytes)
}

/// Has the shards of one model, each with its name and in their order, judged together by a confined child.
///
/// # Errors
/// As [`vet`].
pub async fn vet_shards(
    path: &Path,
    shards: &[(String, &File)],
    exceptions: &VettingExceptions,
) -> Result<Passed, CtlError> {
    let fail = |reason: String| CtlError::Vetting { path: path.to_owned(), reason };
    let (report, bytes) = judge_shards(shards, exceptions).await.map_err(fail)?;
    passed(path, report, bytes)
}

/// Has the template `source`, which came from `path`, reviewed by a confined child.
///
/// # Errors
/// [`CtlError::VetRefused`] with each broken rule, or [`CtlError::Vetting`] if the child did not answer.
pub async fn review_template(path: &Path, source: &str) -> Result<Report, CtlError> {
    let len_bytes = source.len() as u64;
    let arguments = vec!["--template".to_owned()];
    let answer = run_child(Stdio::piped(), Some(source), len_bytes, arguments).await;
    let (report, bytes) = answer.and_then(|bytes| parse(bytes, len_bytes)).map_err(|reason| {
        // A template that asks for more memory than the child may have ends it: that is an answer, too.
        if reason.starts_with("signal") {
            let finding = format!("  T02 at whole file: rendering it ended the confined process ({reason})");
            return CtlError::VetRefused { path: path.to_owned(), findings: vec![finding] };
        }
        CtlError::Vetting { path: path.to_owned(), reason }
    })?;
    passed(path, report, bytes).map(|passed| passed.report)
}

/// Has the template `source`, which came from `path`, held against what llama.cpp made of it, by a confined child.
///
/// # Errors
/// As [`review_template`].
pub async fn compare_renderings(path: &Path, source: &str, shown: Renderings) -> Result<Report, CtlError> {
    let fail = |reason: String| CtlError::Vetting { path: path.to_owned(), reason };
    let len_bytes = source.len() as u64;
    let agreement = Agreement { source: source.to_owned(), shown };
    let text =
        serde_json::to_string(&agreement).map_err(|e| CtlError::AnswerWrite { source: Box::new(e) })?;
    let bytes = run_child(Stdio::piped(), Some(&text), len_bytes, vec!["--agreement".to_owned()])
        .await
        .map_err(fail)?;
    let (report, bytes) = parse(bytes, len_bytes).map_err(fail)?;
    passed(path, report, bytes).map(|passed| passed.report)
}

/// The report if every rule holds, else the error that says which do not.
fn passed(path: &Path, report: Report, bytes: Vec<u8>) -> Result<Passed, CtlError> {
    let fail = |reason: String| CtlError::Vetting { path: path.to_owned(), reason };
    if report.passed() {
        return Ok(Passed { report, bytes });
    }
    let refusals: Vec<String> =
        report.findings.iter().filter(|f| f.severity != Severity::Note).map(finding_text).collect();
    if report.findings.iter().any(|f| f.severity == Severity::Refuse) {
        return Err(CtlError::VetRefused { path: path.to_owned(), findings: refusals });
    }
    Err(fail(if refusals.is_empty() { "no verdict".to_owned() } else { refusals.join("; ") }))
}

/// Has `file` judged by a confined child, whatever the verdict. Gives the report and its exact bytes.
///
/// # Errors
/// Why the child did not answer, in words.
pub async fn judge(
    file: &File,
    scope: Scope,
    exceptions: &VettingExceptions,
) -> Result<(Report, Vec<u8>), String> {
    let len_bytes = file.metadata().map_err(|e| e.to_string())?.len();
    let input = file.try_clone().map_err(|e| e.to_string())?;
    let mut arguments = allowed(exceptions);
    arguments.extend((scope == Scope::Any).then(|| "--any".to_owned()));
    let bytes = run_child(Stdio::from(input), None, len_bytes, arguments).await?;
    parse(bytes, len_bytes)
}

/// Has the shards of one model, in their order, judged together, whatever the verdict.
///
/// # Errors
/// Why the child did not answer, in words.
pub async fn judge_shards(
    shards: &[(String, &File)],
    exceptions: &VettingExceptions,
) -> Result<(Report, Vec<u8>), String> {
    let mut arguments = allowed(exceptions);
    let (mut held, mut len_bytes) = (Vec::new(), 0_u64);
    for (name, file) in shards {
        len_bytes += file.metadata().map_err(|e| e.to_string())?.len();
        // Such a copy, other than those of `File`, stays open in the child.
        let copy = rustix::io::dup(file).map_err(|e| e.to_string())?;
        arguments.push(format!("--shard={}:{name}", copy.as_raw_fd()));
        held.push(copy);
    }
    let bytes = run_child(Stdio::null(), None, len_bytes, arguments).await?;
    drop(held);
    parse(bytes, len_bytes)
}

/// What the fleet allows beyond the built-in lists, as the child's arguments.
fn allowed(exceptions: &VettingExceptions) -> Vec<String> {
    let architectures = exceptions.architectures.keys().map(|name| format!("--architecture={name}"));
    let imports = exceptions.pickle_imports.keys().map(|name| format!("--pickle-import={name}"));
    let operators = exceptions.operators.keys().map(|name| format!("--operator={name}"));
    architectures.chain(imports).chain(operators).collect()
}

/// The child's answer, if it is one and about this length.
fn parse(bytes: Vec<u8>, len_bytes: u64) -> Result<(Report, Vec<u8>), String> {
    let report: Report = serde_json::from_slice(&bytes).map_err(|e| format!("its report is not one: {e}"))?;
    if report.len_bytes != len_bytes {
        return Err("its report is about a file of another length".to_owned());
    }
    Ok((report, bytes))
}

/// One finding in one line.
pub fn finding_text(finding: &Finding) -> String {
    let offset = finding.offset.map_or_else(|| "whole file".to_owned(), |at| format!("byte {at}"));
    format!("  {:?} at {offset}: {}", finding.rule, clean(&finding.message))
}

/// Runs the child on `input`; a template is written to its pipe.
async fn run_child(
    input: Stdio,
    template: Option<&str>,
    len_bytes: u64,
    arguments: Vec<String>,
) -> Result<Vec<u8>, String> {
    let program = std::env::current_exe().map_err(|e| format!("own executable not found: {e}"))?;
    let mut child = tokio::process::Command::new(program)
        .arg("vet-confined")
        .args(arguments)
        .env_clear()
        .stdin(input)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| format!("it could not be started: {e}"))?;
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err("it has no pipes".to_owned());
    };
    let (mut report, mut talk) = (Vec::new(), Vec::new());
    let time = Duration::from_secs(VETTING_TIMEOUT_S + len_bytes / VETTING_BYTES_PER_S);
    let stdin = child.stdin.take();
    let work = async {
        // Beside the reading: the child may end, or talk, before it has read everything.
        let feed = async {
            if let (Some(mut stdin), Some(template)) = (stdin, template) {
                // A child that does not listen says why in its report or its status.
                let _ = stdin.write_all(template.as_bytes()).await;
            }
            Ok(0)
        };
        let mut stdout = stdout.take(REPORT_LEN_MAX + 1);
        let mut stderr = stderr.take(4096);
        tokio::try_join!(feed, stdout.read_to_end(&mut report), stderr.read_to_end(&mut talk))?;
        child.wait().await
    };
    let status = tokio::time::timeout(time, work)
        .await
        .map_err(|_| format!("it took longer than {} s", time.as_secs()))?
        .map_err(|e| e.to_string())?;
    if !status.success() {
        return Err(format!("{status}; {}", clean(String::from_utf8_lossy(&talk).trim())));
    }
    if report.len() as u64 > REPORT_LEN_MAX {
        return Err("its report is too long".to_owned());
    }
    Ok(report)
}
