//! Recalls: add-only signed orders to stop using something, effective on receipt by any channel.

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
    /// Whether it stops this bundle.
    #[must_use]
    pub fn stops_bundle(&self, manifest: &Manifest) -> bool {
        match &self.target {
            RecallTarget::Blob(digest) => manifest.files.iter().any(|file| file.sha256 == *digest),
            RecallTarget::Bundle(bundle) => *bundle == manifest.reference(),
            RecallTarget::Runtime(_) => false,
        }
    }

    /// Whether it stops this runtime.
    #[must_use]
    pub fn stops_runtime(&self, runtime: &Sha256Digest) -> bool {
        matches!(&self.target, RecallTarget::Runtime(digest) if digest == runtime)
    }
}
