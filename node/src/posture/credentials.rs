//! Production credentials by name: profiles, contexts, hosts and keys whose names say that they lead to production.
//!
//! A name is a hint. It says "reachable by name", neither that a credential works nor that others do not exist. Names
//! stay on this machine: only counts go into facts. File contents are wiped from memory after they were read.

mod parse;
mod token;

use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde::Serialize;
use zeroize::Zeroizing;

pub use token::names_production;

/// Largest file that is read, in bytes. Kubernetes configurations with embedded certificates reach some 100 KiB.
const FILE_LEN_MAX: u64 = 1 << 20;

/// Most names kept for one rule.
const NAMES_MAX: usize = 256;

/// Most folder entries looked at for environment files: a home with a large download folder must not stall a check.
const ENTRIES_MAX: usize = 40_000;

/// How deep below home environment files are looked for: `home/projects/service/.env`.
const ENVIRONMENT_DEPTH_MAX: usize = 3;

/// What one rule found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleFinding {
    /// For example `aws-profiles`.
    pub id: &'static str,
    /// What it found.
    pub outcome: Outcome,
}

/// Whether a rule could look, and what it saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Names that say production. Only for this machine's own screen.
    Found(BTreeSet<String>),
    /// A file is there and cannot be read; why.
    Unreadable(String),
}

/// All rules over one home folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// Every rule, in a fixed order.
    pub rules: Vec<RuleFinding>,
}

/// Where a rule looks, below home, and how names are taken out of the text.
struct Rule {
    id: &'static str,
    files: &'static [&'static str],
    names: fn(&str) -> Vec<String>,
}

const RULES: &[Rule] = &[
    Rule { id: "aws-profiles", files: &[".aws/config", ".aws/credentials"], names: parse::aws },
    Rule { id: "kube-contexts", files: &[".kube/config"], names: parse::kube },
    Rule { id: "pgpass", files: &[".pgpass"], names: parse::pgpass },
    Rule { id: "ssh-hosts", files: &[".ssh/config"], names: parse::ssh },
    Rule { id: "netrc", files: &[".netrc"], names: parse::netrc },
    Rule { id: "docker-registries", files: &[".docker/config.json"], names: parse::docker },
];

impl Survey {
    /// Looks at `home`.
    ///
    /// # Errors
    /// If the folder cannot be listed: then nothing is known, which is not the same as nothing found.
    pub fn of(home: &Path) -> io::Result<Self> {
        fs::read_dir(home)?;
        let mut rules: Vec<RuleFinding> = RULES.iter().map(|rule| look(home, rule)).collect();
        rules.push(gcloud(home));
        rules.push(environment_files(home));
        Ok(Self { rules })
    }

    /// How many names were found by all rules.
    #[must_use]
    pub fn total(&self) -> u32 {
        let count = self.rules.iter().map(|rule| match &rule.outcome {
            Outcome::Found(names) => names.len(),
            Outcome::Unreadable(_) => 0,
        });
        u32::try_from(count.sum::<usize>()).unwrap_or(u32::MAX)
    }
}

fn look(home: &Path, rule: &Rule) -> RuleFinding {
    let paths: Vec<PathBuf> = rule.files.iter().map(|file| home.join(file)).collect();
    finding(rule.id, &paths, rule.names)
}

/// Each configuration is a file of its own.
fn gcloud(home: &Path) -> RuleFinding {
    let id = "gcloud-projects";
    let folder = home.join(".config/gcloud/configurations");
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if is_nothing(&error) => return finding(id, &[], parse::gcloud),
        Err(error) => return unreadable(id, &error),
    };
    let paths: Vec<PathBuf> = entries.flatten().take(NAMES_MAX + 1).map(|entry| entry.path()).collect();
    if paths.len() > NAMES_MAX {
        return RuleFinding { id, outcome: Outcome::Unreadable(TOO_MANY.to_owned()) };
    }
    finding(id, &paths, parse::gcloud)
}

/// Why a rule gives no answer where there is more than it looks at: what is behind the bound may be what counts.
const TOO_MANY: &str = "there are more files than are looked at";

fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn unreadable(id: &'static str, error: &io::Error) -> RuleFinding {
    let reason = format!("a file of this rule cannot be read: {}", error.kind());
    RuleFinding { id, outcome: Outcome::Unreadable(reason) }
}

fn finding(id: &'static str, paths: &[PathBuf], names: fn(&str) -> Vec<String>) -> RuleFinding {
    let mut found = BTreeSet::new();
    for path in paths {
        match read(path) {
            Ok(Some(text)) => found.extend(names(&text).into_iter().filter(|name| names_production(name))),
            Ok(None) => {}
            Err(error) => return unreadable(id, &error),
        }
    }
    RuleFinding { id, outcome: Outcome::Found(found.into_iter().take(NAMES_MAX).collect()) }
}

/// None if there is no such file. A file that is too large is an error: half of it would be half an answer. So is a pipe or
/// a device: what other programs read there is not known.
pub(super) fn read(path: &Path) -> io::Result<Option<Zeroizing<String>>> {
    // Opened in any other way, a pipe would hold the check up until somebody writes into it.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = match File::options().read(true).custom_flags(flags).open(path) {
        Err(error) if is_nothing(&error) => return Ok(None),
        other => other?,
    };
    let facts = file.metadata()?;
    if facts.is_dir() {
        return Ok(None);
    }
    if !facts.is_file() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    if facts.len() > FILE_LEN_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    // Room for all of it at once: growing would leave copies behind that nobody wipes.
    let room = usize::try_from(FILE_LEN_MAX).unwrap_or(usize::MAX);
    let mut bytes =
        Zeroizing::new(Vec::with_capacity(room.min(usize::try_from(facts.len()).unwrap_or(room)) + 1));
    file.take(FILE_LEN_MAX).read_to_end(&mut bytes)?;
    let text = Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned());
    Ok(Some(text))
}

/// Names of keys in `.env`, `.env.production` and so on, and the files' own suffixes.
fn environment_files(home: &Path) -> RuleFinding {
    let id = "env-keys";
    let owner = fs::metadata(home).map(|facts| facts.uid()).ok();
    let mut found = BTreeSet::new();
    let mut unread = None;
    // What lies near comes first, so that a deep download folder does not use the bound up.
    let mut folders = VecDeque::from([(home.to_owned(), 0)]);
    let mut looked_at = 0;
    while let Some((folder, depth)) = folders.pop_front() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            // One that may not be listed and is somebody else's is no place of this account's files.
            Err(_) if fs::metadata(&folder).map(|facts| facts.uid()).ok() != owner => continue,
            Err(error) => {
                unread.get_or_insert_with(|| format!("a folder cannot be listed: {}", error.kind()));
                continue;
            }
        };
        for entry in entries.flatten() {
            looked_at += 1;
            if looked_at > ENTRIES_MAX || found.len() >= NAMES_MAX {
                return of_environment(id, found, Some(TOO_MANY.to_owned()));
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            // Links are not followed: they can lead out of home, and in circles.
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && depth < ENVIRONMENT_DEPTH_MAX && !is_skipped(&name) => {
                    folders.push_back((entry.path(), depth + 1));
                }
                Ok(kind) if !kind.is_dir() && !kind.is_symlink() && is_environment(&name) => {
                    if names_production(&name) {
                        found.insert(name.clone());
                    }
                    match read(&entry.path()) {
                        Ok(text) => {
                            let keys = text.map(|text| parse::environment(&text)).unwrap_or_default();
                            found.extend(keys.into_iter().filter(|key| names_production(key)));
                        }
                        Err(error) => {
                            unread.get_or_insert_with(|| format!("a file cannot be read: {}", error.kind()));
                        }
                    }
                }
                _ => {}
            }
        }
    }
    of_environment(id, found, unread)
}

/// What was found counts whatever else could not be read; nothing found counts only if all could.
fn of_environment(id: &'static str, found: BTreeSet<String>, unread: Option<String>) -> RuleFinding {
    match unread.filter(|_| found.is_empty()) {
        Some(reason) => RuleFinding { id, outcome: Outcome::Unreadable(reason) },
        None => RuleFinding { id, outcome: Outcome::Found(found) },
    }
}

fn is_environment(name: &str) -> bool {
    (name == ".env" || name.starts_with(".env.")) && !is_template(name)
}

/// Folders that hold other people's code or caches.
fn is_skipped(name: &str) -> bool {
    name.starts_with('.') || matches!(name, "node_modules" | "target" | "vendor" | "venv")
}

/// `.env.example` and its kin hold no values.
fn is_template(name: &str) -> bool {
    [".example", ".sample", ".template", ".dist"].iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests;
