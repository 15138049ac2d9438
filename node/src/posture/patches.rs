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
        return vec![Draft::unavailable("system", "it cannot be found out which system this is")];
    };
    let listed = request.baseline.patches.iter().find(|minimum| minimum.os == release.system);
    let Some(minimum) = listed else {
        let reason = format!("the baseline names no least versions for {}", release.system);
        return vec![Draft::unavailable("system", &reason)];
    };
    let mut drafts = vec![flag("system", true, "os-release")];
    drafts.extend(minimum.kernel.as_deref().map(|least| kernel(release.kernel.as_deref(), least)));
    if !minimum.packages.is_empty() {
        drafts.extend(packages(platform, minimum));
    }
    drafts
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
