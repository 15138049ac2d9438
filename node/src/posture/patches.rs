//! The patch level: this machine's system, kernel and packages beside the least versions that the baseline carries.
//!
//! Comparing happens here, so that no list of installed packages leaves: a fact says whether a version suffices. A system
//! that the baseline does not list, and a package manager that cannot be read, are unknown.

use std::cmp::Ordering;

use croft_domain::baseline::PatchMinimum;
use croft_domain::fact::{Confidence, Observation};
use croft_domain::version::{compare, compare_releases};

use super::platform::Platform;
use super::{CollectRequest, Draft};

/// The facts of the check `patch-level`.
pub(super) fn collect(request: &CollectRequest<'_>, platform: &dyn Platform) -> Vec<Draft> {
    let Some(release) = platform.release() else {
        return unlisted("it cannot be found out which system this is");
    };
    let listed = request.baseline.patches.iter().find(|minimum| minimum.os == release.system);
    let Some(minimum) = listed else {
        let reason = format!("the baseline names no least versions for {}", release.system);
        return unlisted(&reason);
    };
    let mut drafts = vec![flag("system", true, "os-release")];
    let unasked = |subject: &str| flag(subject, true, "not-in-the-list");
    let running = release.kernel.as_deref();
    drafts.push(minimum.kernel.as_deref().map_or_else(|| unasked("kernel"), |least| kernel(running, least)));
    let packages = if minimum.packages.is_empty() { Vec::new() } else { packages(platform, minimum) };
    // All of them in one fact, that is there whichever are installed: leaving one out hides nothing.
    let stand = packages.iter().all(|draft| draft.observation == Observation::Flag { value: true });
    let unread = packages.iter().any(|draft| matches!(draft.observation, Observation::Unavailable { .. }));
    drafts.push(match () {
        () if packages.is_empty() => unasked("package"),
        () if unread => Draft::unavailable("package", "no list of installed packages can be read here"),
        () => flag("package", stand, "package-list"),
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

fn kernel(running: Option<&str>, least: &str) -> Draft {
    match running {
        Some(running) => {
            let mut draft = flag("kernel", compare_releases(running, least) != Ordering::Less, "osrelease");
            draft.confidence = Confidence::Table;
            draft
        }
        None => Draft::unavailable("kernel", "the kernel's release cannot be read"),
    }
}

fn packages(platform: &dyn Platform, minimum: &PatchMinimum) -> Vec<Draft> {
    let wanted: Vec<&str> = minimum.packages.keys().map(String::as_str).collect();
    let installed = platform.packages(&wanted);
    let each = minimum.packages.iter().filter_map(|(name, least)| {
        let subject = format!("package:{name}");
        let Some(installed) = &installed else {
            return Some(Draft::unavailable(&subject, "no list of installed packages can be read here"));
        };
        // What is not installed cannot be old.
        let version = installed.get(name)?;
        Some(flag(&subject, compare(version, least) != Ordering::Less, "package-list"))
    });
    each.collect()
}
