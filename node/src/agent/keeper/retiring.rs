//! Versions whose successor serves. Names and aliases are the successor's at once, so nothing new comes to them; what
//! they were asked before is answered, and they go when the gateway says that nothing is on its way to them.

use std::collections::BTreeMap;
use std::time::Instant;

use croft_domain::evidence::BundleState;
use croft_domain::id::BundleRef;

use super::{Decisions, Keeper};
use crate::agent::memory::Memory;
use crate::bundles::plan::OwnedDecision;
use crate::limits::{RETIRE_PAUSE, RETIRE_TIME_MAX};

impl Keeper {
    /// Versions that only their successors ended, and that still answer. One that is recalled meanwhile, or no longer
    /// approved or allowed, is not among them: it ends at once.
    pub(super) fn retiring(&mut self, decisions: &Decisions) -> Decisions {
        let now = Instant::now();
        let old: BTreeMap<BundleRef, (u32, OwnedDecision)> = {
            let memory = self.shared.memory();
            let loaded = self.supervisor.loaded();
            loaded
                .filter(|(bundle, _)| {
                    let serves = |new: &BundleRef| {
                        let progress = memory.bundles.get(new).map(|progress| progress.state);
                        // A successor that rests has served.
                        progress == Some(BundleState::Loaded) || self.retiring_since.contains_key(bundle)
                    };
                    is_succeeded(bundle, decisions, serves)
                })
                .filter_map(|(bundle, slot)| Some((bundle.clone(), (slot, kept(&memory, bundle)?))))
                .collect()
        };
        self.retiring_since.retain(|bundle, _| old.contains_key(bundle));
        let mut staying = Decisions::new();
        for (bundle, (slot, decision)) in old {
            let since = *self.retiring_since.entry(bundle.clone()).or_insert(now);
            if self.stays(slot, now.duration_since(since)) {
                staying.insert(bundle, decision);
            }
        }
        staying
    }

    /// Whether a version that retires since `waited` still has something to answer; asks the gateway, by and by.
    fn stays(&self, slot: u32, waited: std::time::Duration) -> bool {
        if waited < RETIRE_PAUSE {
            return true;
        }
        self.supervisor.retire(slot);
        waited < RETIRE_TIME_MAX && self.supervisor.is_resident(slot)
    }
}

/// Whether only a successor that serves has ended this version.
fn is_succeeded(old: &BundleRef, decisions: &Decisions, serves: impl Fn(&BundleRef) -> bool) -> bool {
    !decisions.contains_key(old) && decisions.keys().any(|new| new.name == old.name && serves(new))
}

/// The decision about a version that nobody assigned any more, if it may go on.
fn kept(memory: &Memory, bundle: &BundleRef) -> Option<OwnedDecision> {
    let trust = memory.trust.as_ref()?;
    let decision = Memory::decide(trust, memory, std::slice::from_ref(bundle)).remove(bundle)?;
    matches!(decision, OwnedDecision::Keep { .. }).then_some(decision)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundles::plan::tests::manifest;
    use croft_domain::digest::Sha256Digest;

    #[test]
    fn only_a_successor_that_serves_lets_a_version_retire() {
        let keep = |version| {
            let manifest = manifest("a", version, Sha256Digest([1; 32]));
            let manifest_sha256 = Sha256Digest([2; 32]);
            let reference = manifest.reference();
            let manifest = Box::new(manifest);
            let keep = OwnedDecision::Keep { manifest, manifest_sha256, trial: None, spares: Vec::new() };
            (reference, keep)
        };
        let (old, _) = keep(1);
        let other = manifest("b", 1, Sha256Digest([1; 32])).reference();
        let decisions = Decisions::from([keep(2)]);
        assert!(is_succeeded(&old, &decisions, |_| true));
        assert!(!is_succeeded(&old, &decisions, |_| false), "it still loads");
        assert!(!is_succeeded(&other, &decisions, |_| true), "of a name that is not assigned, nothing stays");
        assert!(!is_succeeded(&old, &Decisions::from([keep(1), keep(2)]), |_| true), "it belongs here");
    }
}
