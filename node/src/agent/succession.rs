//! From one version of a bundle to the next: the one that served last stays until its successor has loaded and shown
//! what was approved. A controller withdraws the old version as soon as it assigns the new one; whether the new one
//! works here, only this machine finds out.

use std::collections::BTreeMap;

use croft_domain::code::Code;
use croft_domain::evidence::BundleState;
use croft_domain::id::BundleRef;

use super::memory::BundleProgress;

/// What is assigned, and the versions that served last of every name whose assigned version does not yet. Whether
/// those are still approved, allowed to the group and not recalled is decided for them as for any other.
#[must_use]
pub fn with_predecessors(
    assigned: &[BundleRef],
    served_last: &[BundleRef],
    bundles: &BTreeMap<BundleRef, BundleProgress>,
) -> Vec<BundleRef> {
    let is_loaded = |bundle: &&BundleRef| {
        bundles.get(*bundle).is_some_and(|progress| progress.state == BundleState::Loaded)
    };
    let stays = |old: &&BundleRef| {
        let mut versions = assigned.iter().filter(|new| new.name == old.name).peekable();
        // Of a name that is not assigned at all, nothing stays.
        versions.peek().is_some() && !assigned.contains(old) && !versions.any(|new| is_loaded(&new))
    };
    assigned.iter().chain(served_last.iter().filter(stays)).cloned().collect()
}

/// Notes that a version serves; says whether that is news.
pub fn note_served(served_last: &mut Vec<BundleRef>, bundle: &BundleRef) -> bool {
    if served_last.contains(bundle) {
        return false;
    }
    served_last.retain(|old| old.name != bundle.name);
    served_last.push(bundle.clone());
    true
}

/// Whether trying again can change nothing as long as program and manifest are the same.
#[must_use]
pub fn is_final(code: Code) -> bool {
    matches!(code, Code::TemplateDiffers | Code::CheckFailed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(text: &str) -> BundleRef {
        text.parse().expect("a reference")
    }

    fn progress(state: BundleState) -> BundleProgress {
        BundleProgress {
            state,
            manifest_sha256: None,
            len_bytes: 1,
            fetched_bytes: 1,
            problem: None,
            worker_pid: None,
            load_failures: 0,
            checks_passed: None,
            origin: None,
            weights: None,
            memory: None,
        }
    }

    #[test]
    fn p3_the_version_that_served_stays_until_its_successor_serves() {
        let (old, new, other) = (bundle("a@1"), bundle("a@2"), bundle("b@1"));
        let assigned = [new.clone()];
        let served = [old.clone(), other];
        for state in
            [BundleState::Fetching, BundleState::Installed, BundleState::Failed, BundleState::Recalled]
        {
            let bundles = BTreeMap::from([(new.clone(), progress(state))]);
            let all = with_predecessors(&assigned, &served, &bundles);
            assert_eq!(all, [new.clone(), old.clone()], "{state:?}: b is not assigned, so it ends");
        }
        let bundles = BTreeMap::from([(new.clone(), progress(BundleState::Loaded))]);
        assert_eq!(with_predecessors(&assigned, &served, &bundles), assigned);
        assert_eq!(with_predecessors(&[], &served, &BTreeMap::new()), []);
        let one = [old];
        assert_eq!(with_predecessors(&one, &one, &BTreeMap::new()), one);
    }

    #[test]
    fn one_version_of_a_name_served_last() {
        let mut served = vec![bundle("a@1"), bundle("b@1")];
        assert!(note_served(&mut served, &bundle("a@2")));
        assert!(!note_served(&mut served, &bundle("a@2")));
        assert_eq!(served, [bundle("b@1"), bundle("a@2")]);
    }
}
