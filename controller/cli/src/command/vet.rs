//! `vet`: judges files of any format, each in a confined child of its own, and needs no fleet.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use croft_domain::vetting::VettingExceptions;
use croft_trust::digest::sha256_reader;
use croft_vetting::report::{Finding, Format as Kind, Report, Rule, Severity, Verdict};
use futures_util::StreamExt;
use serde::Serialize;

use crate::args::Format;
use crate::error::CtlError;
use crate::limits::{VET_DEPTH_MAX, VET_FILES_MAX};
use crate::output::{Column, Resource, column, print_list, say, wide};
use crate::progress;
use crate::source::shard_names;
use crate::vet::{Scope, judge, judge_shards};

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
pub async fn run(paths: &[PathBuf], exceptions: &VettingExceptions, format: Format) -> Result<(), CtlError> {
    if !exceptions.is_empty() {
        say(
            "note: what this machine's fleet allows besides the built-in lists may pass here: croftctl intake list",
        );
    }
    let mut files = Vec::new();
    for path in paths {
        collect(path, 0, &mut files)?;
    }
    let bar = progress::bytes(files.iter().map(|found| found.1).sum(), "vetting");
    let at_once = std::thread::available_parallelism().map_or(1, usize::from);
    let judged: Vec<Vec<Judged>> = futures_util::stream::iter(models(files))
        .map(|model| {
            let bar = bar.clone();
            async move {
                let judged = one(&model, exceptions).await;
                bar.inc(model.iter().map(|(_, len)| len).sum());
                judged.unwrap_or_else(|reason| {
                    model.iter().map(|(path, _)| Judged::unknown(path, reason.clone())).collect()
                })
            }
        })
        .buffered(at_once)
        .collect()
        .await;
    let judged: Vec<Judged> = judged.into_iter().flatten().collect();
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

/// Files that are judged together: the shards of one model if all of them are there, else each on its own.
fn models(files: Vec<(PathBuf, u64)>) -> Vec<Vec<(PathBuf, u64)>> {
    let lens: BTreeMap<PathBuf, u64> = files.iter().cloned().collect();
    let mut models = Vec::new();
    for (path, len) in files {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let names = shard_names(name).unwrap_or_default();
        let shards: Vec<_> =
            names.iter().filter_map(|name| lens.get_key_value(&path.with_file_name(name))).collect();
        if names.len() < 2 || shards.len() < names.len() {
            models.push(vec![(path, len)]);
        } else if names[0] == name {
            models.push(shards.into_iter().map(|(path, len)| (path.clone(), *len)).collect());
        }
    }
    models
}

/// One file as it was opened and measured.
struct Opened {
    path: PathBuf,
    file: File,
    state: Fingerprint,
    sha256: String,
}

async fn open(path: &Path) -> Result<Opened, String> {
    let before = std::fs::symlink_metadata(path).map_err(|e| e.to_string())?;
    if !before.is_file() {
        return Err("a link, or no regular file; it is not followed".to_owned());
    }
    let file = File::open(path).map_err(|e| e.to_string())?;
    let state = fingerprint(&file.metadata().map_err(|e| e.to_string())?);
    if state != fingerprint(&before) {
        return Err("it was replaced while it was opened".to_owned());
    }
    let mut copy = file.try_clone().map_err(|e| e.to_string())?;
    let digest = tokio::task::spawn_blocking(move || {
        let digest = sha256_reader(&mut copy);
        // The child shares this descriptor's place in the file.
        copy.seek(SeekFrom::Start(0)).and(digest)
    });
    let (sha256, len) = digest.await.map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
    if len != before.len() {
        return Err("it changed while it was read".to_owned());
    }
    Ok(Opened { path: path.to_owned(), file, state, sha256: sha256.to_string() })
}

/// Judges one file, or the shards of one model. Each of them then has the verdict of the whole.
async fn one(model: &[(PathBuf, u64)], exceptions: &VettingExceptions) -> Result<Vec<Judged>, String> {
    let mut opened = Vec::new();
    for (path, _) in model {
        opened.push(open(path).await?);
    }
    let answer = match opened.as_slice() {
        [one] => judge(&one.file, Scope::Any, exceptions).await,
        several => {
            let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
            let shards: Vec<_> =
                several.iter().map(|one| (name(&one.path).unwrap_or_default(), &one.file)).collect();
            judge_shards(&shards, exceptions).await
        }
    };
    let (report, _) = answer.map_err(|reason| format!("the confined child failed: {reason}"))?;
    let mut judged = Vec::new();
    for Opened { path, file, state, sha256 } in opened {
        if fingerprint(&file.metadata().map_err(|e| e.to_string())?) != state {
            return Err("it changed while it was judged".to_owned());
        }
        let Report { format, verdict, ref findings, .. } = report;
        judged.push(Judged { path, sha256: Some(sha256), format, verdict, findings: findings.clone() });
    }
    Ok(judged)
}

/// Which file, and which state of it.
type Fingerprint = (u64, u64, u64, i64, i64);

fn fingerprint(metadata: &Metadata) -> Fingerprint {
    (metadata.dev(), metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_judged_together_only_if_all_are_there() {
        let files = |names: &[&str]| names.iter().map(|name| (PathBuf::from(name), 1)).collect();
        let whole = models(files(&["d/a-00001-of-00002.gguf", "d/a-00002-of-00002.gguf", "d/b.gguf"]));
        assert_eq!(whole.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
        let parted = models(files(&["d/a-00001-of-00002.gguf", "e/a-00002-of-00002.gguf"]));
        assert_eq!(parted.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1]);
    }
}
