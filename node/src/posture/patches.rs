//! The patch level: this machine's system, kernel and packages beside the least versions that the baseline carries.
//!
//! Comparing happens here, so that no list of installed packages leaves: a fact says whether a version suffices. A system
//! that the baseline does not list, and a package manager that cannot be read, are unknown.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use croft_domain::baseline::PatchMinimum;
use croft_domain::fact::{Confidence, Observation};
use croft_domain::version::{compare, compare_releases};

use super::{CollectRequest, Draft};

/// Largest list of installed packages that is read, in bytes: a workstation's is some 10 MiB.
const STATUS_LEN_MAX: u64 = 64 << 20;

/// The facts of the check `patch-level`.
pub(super) fn collect(request: &CollectRequest<'_>) -> Vec<Draft> {
    let Some(system) = system(request.root) else {
        return unlisted("os-release does not say which system this is");
    };
    let Some(minimum) = request.baseline.patches.iter().find(|minimum| minimum.os == system) else {
        let reason = format!("the baseline names no least versions for {system}");
        return unlisted(&reason);
    };
    let mut drafts = vec![flag("system", true, "os-release")];
    let unasked = |subject: &str| flag(subject, true, "not-in-the-list");
    drafts.push(minimum.kernel.as_deref().map_or_else(|| unasked("kernel"), |l| kernel(request.root, l)));
    let packages = if minimum.packages.is_empty() { Vec::new() } else { packages(request.root, minimum) };
    // All of them in one fact, that is there whichever are installed: leaving one out hides nothing.
    let stand = packages.iter().all(|draft| draft.observation == Observation::Flag { value: true });
    let unread = packages.iter().any(|draft| matches!(draft.observation, Observation::Unavailable { .. }));
    drafts.push(match () {
        () if packages.is_empty() => unasked("package"),
        () if unread => Draft::unavailable("package", "no list of installed packages can be read here"),
        () => flag("package", stand, "dpkg-status"),
    });
    drafts.extend(packages);
    drafts
}

/// What is told of a system that cannot be compared: the same subjects as of one that can.
fn unlisted(reason: &str) -> Vec<Draft> {
    ["system", "kernel", "package"].map(|subject| Draft::unavailable(subject, reason)).into()
}

fn flag(subject: &str, value: bool, method: &'static str) -> Draft {
    Draft {
        subject: subject.to_owned(),
        observation: Observation::Flag { value },
        method,
        confidence: Confidence::Heuristic,
        trace: Vec::new(),
    }
}

/// `debian 12`, from os-release(5).
fn system(root: &Path) -> Option<String> {
    let text = ["etc/os-release", "usr/lib/os-release"]
        .iter()
        .find_map(|file| fs::read_to_string(root.join(file)).ok())?;
    let value = |key: &str| {
        let mut values = text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        values.next_back().map(|value| value.trim().trim_matches(['"', '\'']).to_owned())
    };
    let id = value("ID")?;
    Some(match value("VERSION_ID").filter(|version| !version.is_empty()) {
        Some(version) => format!("{id} {version}"),
        None => id,
    })
}

fn kernel(root: &Path, least: &str) -> Draft {
    match fs::read_to_string(root.join("proc/sys/kernel/osrelease")) {
        Ok(release) => {
            let suffices = compare_releases(release.trim(), least) != Ordering::Less;
            let mut draft = flag("kernel", suffices, "osrelease");
            draft.confidence = Confidence::Table;
            draft
        }
        Err(_) => Draft::unavailable("kernel", "the kernel's release cannot be read"),
    }
}

fn packages(root: &Path, minimum: &PatchMinimum) -> Vec<Draft> {
    let installed = installed(root, minimum);
    let each = minimum.packages.iter().filter_map(|(name, least)| {
        let subject = format!("package:{name}");
        let Some(installed) = &installed else {
            return Some(Draft::unavailable(&subject, "no list of installed packages can be read here"));
        };
        // What is not installed cannot be old.
        let version = installed.get(name)?;
        Some(flag(&subject, compare(version, least) != Ordering::Less, "dpkg-status"))
    });
    each.collect()
}

/// Versions of the wanted packages that are installed (deb822 stanzas of dpkg's status file). None without dpkg.
fn installed(root: &Path, minimum: &PatchMinimum) -> Option<BTreeMap<String, String>> {
    let file = File::open(root.join("var/lib/dpkg/status")).ok()?;
    let mut bytes = Vec::new();
    file.take(STATUS_LEN_MAX).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let mut found = BTreeMap::new();
    for stanza in text.split("\n\n") {
        let field = |key: &str| stanza.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
        let Some(name) = field("Package").filter(|name| minimum.packages.contains_key(*name)) else {
            continue;
        };
        if let Some(version) = field("Version").filter(|_| field("Status") == Some("install ok installed")) {
            // Of two architectures the older one counts.
            let version = version.to_owned();
            let older = |known: &String| compare(known, &version) == Ordering::Less;
            if !found.get(name).is_some_and(older) {
                found.insert(name.to_owned(), version);
            }
        }
    }
    Some(found)
}
