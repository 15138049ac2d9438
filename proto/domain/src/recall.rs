//! Recalls: add-only signed orders to stop using something, effective on receipt by any channel. One recall key gives an
//! order; only the publishers' threshold takes it back, by naming the order, so that a later order for the same thing
//! stops it again whatever the clocks of those who sign say.

use serde::{Deserialize, Serialize};

use crate::bundle::Manifest;
use crate::digest::Sha256Digest;
use crate::id::{BundleRef, RecallId};
use crate::time::Timestamp;

/// What is recalled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecallTarget {
    /// Every use of these bytes.
    Blob(Sha256Digest),
    /// One bundle at one version.
    Bundle(BundleRef),
    /// A worker executable or back-end library.
    Runtime(Sha256Digest),
}

impl std::fmt::Display for RecallTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Blob(digest) => write!(f, "{digest}"),
            Self::Bundle(bundle) => write!(f, "{bundle}"),
            Self::Runtime(digest) => write!(f, "runtime:{digest}"),
        }
    }
}

/// The order, as signed by one recall key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recall {
    /// Which order.
    pub id: RecallId,
    /// What it stops.
    pub target: RecallTarget,
    /// Why, for the people whose model goes away.
    pub reason: String,
    /// When.
    pub issued_at: Timestamp,
}

impl Recall {
    /// Whether it names this bundle.
    #[must_use]
    pub fn names_bundle(&self, manifest: &Manifest) -> bool {
        matches!(&self.target, RecallTarget::Bundle(bundle) if *bundle == manifest.reference())
    }

    /// Whether it stops this runtime. A digest stops whatever has it.
    #[must_use]
    pub fn stops_runtime(&self, runtime: &Sha256Digest) -> bool {
        match &self.target {
            RecallTarget::Runtime(digest) | RecallTarget::Blob(digest) => digest == runtime,
            RecallTarget::Bundle(_) => false,
        }
    }
}

/// The order that stops this bundle, if one does: it names the bundle, or no variant of it is left that none stops.
#[must_use]
pub fn stopping<'a>(recalls: &'a [Recall], manifest: &Manifest) -> Option<&'a Recall> {
    if let Some(named) = recalls.iter().find(|recall| recall.names_bundle(manifest)) {
        return Some(named);
    }
    let mut last = None;
    for variant in manifest.every_variant() {
        last = Some(recalls.iter().find(|recall| variant.is_stopped_by(recall))?);
    }
    last
}

/// One recall taken back, as the signed target `unrecalled.json` lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unrecall {
    /// Which order.
    pub recall: RecallId,
    /// What it had stopped; an order of that id for anything else stays in force.
    pub target: RecallTarget,
    /// Why it counts no longer.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

impl Recall {
    /// Whether the publishers took it back.
    #[must_use]
    pub fn is_undone(&self, unrecalled: &[Unrecall]) -> bool {
        unrecalled.iter().any(|undone| undone.recall == self.id && undone.target == self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p3_a_recalled_digest_stops_a_worker_as_well_as_a_model() {
        let digest = Sha256Digest([7; 32]);
        let recall = |target| Recall {
            id: RecallId([1; 16]),
            target,
            reason: "poisoned".to_owned(),
            issued_at: Timestamp(5),
        };
        assert!(recall(RecallTarget::Blob(digest)).stops_runtime(&digest));
        assert!(recall(RecallTarget::Runtime(digest)).stops_runtime(&digest));
        assert!(!recall(RecallTarget::Blob(Sha256Digest([8; 32]))).stops_runtime(&digest));
        assert!(!recall(RecallTarget::Bundle("a@1".parse().expect("a reference"))).stops_runtime(&digest));
    }

    #[test]
    fn p3_only_the_order_that_was_named_is_undone() {
        let target = || RecallTarget::Blob(Sha256Digest([1; 32]));
        let recall = |id, target| Recall {
            id: RecallId([id; 16]),
            target,
            reason: "poisoned".to_owned(),
            issued_at: Timestamp(5),
        };
        let undone = [Unrecall {
            recall: RecallId([1; 16]),
            target: target(),
            reason: "the finding was mistaken".to_owned(),
            at: Timestamp(9),
        }];
        assert!(recall(1, target()).is_undone(&undone));
        // A later order for the same bytes, also one that a slow clock dates before the undoing.
        assert!(!recall(2, target()).is_undone(&undone));
        // The same id over something else.
        assert!(!recall(1, RecallTarget::Blob(Sha256Digest([2; 32]))).is_undone(&undone));
        assert!(!recall(1, target()).is_undone(&[]));
    }
}
