//! `vet`: judges files of any format, each in a confined child of its own, and needs no fleet.

use std::fs::{File, Metadata};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use croft_trust::digest::sha256_reader;
use croft_vetting::report::{Finding, Format as Kind, Report, Rule, Severity, Verdict};
use futures_util::StreamExt;
use serde::Serialize;

use crate::args::Format;
use crate::error::CtlError;
use crate::limits::{VET_DEPTH_MAX, VET_FILES_MAX};
use crate::output::{Column, Resource, column, print_list, wide};
use crate::progress;
use crate::vet::{Scope, judge};

/// What is said about one file. Its JSON form is stable.
#[derive(Debug, Serialize)]
struct Judged {
    path: PathBuf,
    /// None if it could not be read.
    sha256: Option<String>,
    format: Kind,
    verdict: Verdict,
    findings: Vec<Finding>,
}

impl Judged {
    fn unknown(path: &Path, reason: String) -> Self {
        let finding = Finding { rule: Rule::F02, severity: Severity::Warning, offset: None, message: reason };
        Self {
            path: path.to_owned(),
            sha256: None,
            format: Kind::Unrecognized,
            verdict: Verdict::Unknown,
            findings: vec![finding],
        }
    }
}

impl Resource for Judged {
    const COLUMNS: &'static [Column] =
        &[column("VERDICT"), column("FORMAT"), column("FILE"), column("FINDING"), wide("SHA256")];

    fn cells(&self) -> Vec<String> {
        let worst = self.findings.iter().max_by_key(|finding| finding.severity);
        let finding = worst.map_or_else(String::new, |finding| {
            let place = finding.offset.map_or_else(String::new, |at| format!(" at byte {at}"));
            let more = self.findings.len() - 1;
            let more = if more == 0 { String::new() } else { format!(" (and {more} more)") };
            format!("{:?}{place}: {}{more}", finding.rule, finding.message)
        });
        let sha256 = self.sha256.clone().unwrap_or_default();
        vec![word(&self.verdict), word(&self.format), self.name(), finding, sha256]
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}

/// A value as JSON writes it, without the quotes.
fn word<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).map_or_else(|_| String::new(), |text| text.trim_matches('"').to_owned())
}

/// Judges `paths` and all files below them.
///
/// # Errors
/// [`CtlError::VetFailed`] unless every file passes, or there is nothing to judge.
pub async fn run(paths: &[PathBuf], format: Format) -> Result<(), CtlError> {
    let mut files = Vec::new();
    for path in paths {
        collect(path, 0, &mut files)?;
    }
    let bar = progress::bytes(files.iter().map(|found| found.1).sum(), "vetting");
    let at_once = std::thread::available_parallelism().map_or(1, usize::from);
    let judged: Vec<Judged> = futures_util::stream::iter(files)
        .map(|(path, len)| {
            let bar = bar.clone();
            async move {
                let judged = one(&path).await.unwrap_or_else(|reason| Judged::unknown(&path, reason));
                bar.inc(len);
                judged
            }
        })
        .buffered(at_once)
        .collect()
        .await;
    bar.finish_and_clear();
    print_list(&judged, format)?;
    let count = judged.iter().filter(|judged| judged.verdict != Verdict::Pass).count();
    if count > 0 || judged.is_empty() {
        return Err(CtlError::VetFailed { count, total: judged.len() });
    }
    Ok(())
}

/// Every file below `path`, in the order of names. What is neither file nor folder is listed too, so that it fails.
fn collect(path: &Path, depth: usize, files: &mut Vec<(PathBuf, u64)>) -> Result<(), CtlError> {
    let read = |source: io::Error| CtlError::FileRead { path: path.to_owned(), source };
    if files.len() >= VET_FILES_MAX || depth > VET_DEPTH_MAX {
        let what = path.display().to_string();
        let expected = format!("at most {VET_FILES_MAX} files, {VET_DEPTH_MAX} folders deep");
        return Err(CtlError::Input { what, expected });
    }
    let metadata = std::fs::symlink_metadata(path).map_err(read)?;
    if !metadata.is_dir() {
        files.push((path.to_owned(), metadata.len()));
        return Ok(());
    }
    let mut inner =
        std::fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(read)?;
    inner.sort_by_key(std::fs::DirEntry::file_name);
    inner.iter().try_for_each(|entry| collect(&entry.path(), depth + 1, files))
}

async fn one(path: &Path) -> Result<Judged, String> {
    let before = std::fs::symlink_metadata(path).map_err(|e| e.to_string())?;
    if !before.is_file() {
        return Err("a link, or no regular file; it is not followed".to_owned());
    }
    let file = File::open(path).map_err(|e| e.to_string())?;
    let metadata = file.metadata().map_err(|e| e.to_string())?;
    if fingerprint(&metadata) != fingerprint(&before) {
        return Err("it was replaced while it was opened".to_owned());
    }
    let mut copy = file.try_clone().map_err(|e| e.to_string())?;
    let digest = tokio::task::spawn_blocking(move || {
        let digest = sha256_reader(&mut copy);
        // The child shares this descriptor's place in the file.
        copy.seek(SeekFrom::Start(0)).and(digest)
    });
    let (sha256, len) = digest.await.map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
    let (report, _) =
        judge(&file, Scope::Any).await.map_err(|reason| format!("the confined child failed: {reason}"))?;
    let after = file.metadata().map_err(|e| e.to_string())?;
    if len != report.len_bytes || fingerprint(&after) != fingerprint(&metadata) {
        return Err("it changed while it was judged".to_owned());
    }
    let Report { format, verdict, findings, .. } = report;
    Ok(Judged { path: path.to_owned(), sha256: Some(sha256.to_string()), format, verdict, findings })
}

/// Which file, and which state of it.
fn fingerprint(metadata: &Metadata) -> (u64, u64, u64, i64, i64) {
    (metadata.dev(), metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec())
}
