//! Production credentials by name: profiles, contexts, hosts and keys whose names say that they lead to production.
//!
//! A name is a hint. It says "reachable by name", neither that a credential works nor that others do not exist. Names
//! stay on this machine: only counts go into facts. File contents are wiped from memory after they were read.

mod parse;
mod token;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Serialize;
use zeroize::Zeroizing;

pub use token::names_production;

/// Largest file that is read, in bytes. Kubernetes configurations with embedded certificates reach some 100 KiB.
const FILE_LEN_MAX: u64 = 1 << 20;

/// Most names kept for one rule.
const NAMES_MAX: usize = 256;

/// Most folder entries looked at for environment files: a home with a large download folder must not stall a check.
const ENTRIES_MAX: usize = 20_000;

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
    let folder = home.join(".config/gcloud/configurations");
    let paths: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .take(NAMES_MAX)
        .map(|entry| entry.path())
        .collect();
    finding("gcloud-projects", &paths, parse::gcloud)
}

fn finding(id: &'static str, paths: &[PathBuf], names: fn(&str) -> Vec<String>) -> RuleFinding {
    let mut found = BTreeSet::new();
    for path in paths {
        match read(path) {
            Ok(Some(text)) => found.extend(names(&text).into_iter().filter(|name| names_production(name))),
            Ok(None) => {}
            Err(error) => {
                let reason = format!("a file of this rule cannot be read: {}", error.kind());
                return RuleFinding { id, outcome: Outcome::Unreadable(reason) };
            }
        }
    }
    RuleFinding { id, outcome: Outcome::Found(found.into_iter().take(NAMES_MAX).collect()) }
}

/// None if there is no such file. A file that is too large is an error: half of it would be half an answer.
fn read(path: &Path) -> io::Result<Option<Zeroizing<String>>> {
    let file = match File::open(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        other => other?,
    };
    let facts = file.metadata()?;
    // A pipe in this place would hold the check up for ever.
    if !facts.is_file() {
        return Ok(None);
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
    let mut found = BTreeSet::new();
    let mut folders = vec![(home.to_owned(), 0)];
    let mut looked_at = 0;
    while let Some((folder, depth)) = folders.pop() {
        // A folder that may not be listed is somebody else's.
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            looked_at += 1;
            if looked_at > ENTRIES_MAX || found.len() >= NAMES_MAX {
                return RuleFinding { id, outcome: Outcome::Found(found) };
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            // Links are not followed: they can lead out of home, and in circles.
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && depth < ENVIRONMENT_DEPTH_MAX && !is_skipped(&name) => {
                    folders.push((entry.path(), depth + 1));
                }
                Ok(kind) if kind.is_file() && (name == ".env" || name.starts_with(".env.")) => {
                    if names_production(&name) && !is_template(&name) {
                        found.insert(name.clone());
                    }
                    if let Ok(Some(text)) = read(&entry.path())
                        && !is_template(&name)
                    {
                        found.extend(
                            parse::environment(&text).into_iter().filter(|key| names_production(key)),
                        );
                    }
                }
                _ => {}
            }
        }
    }
    RuleFinding { id, outcome: Outcome::Found(found) }
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
