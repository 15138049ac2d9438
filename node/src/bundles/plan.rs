//! Which bundles belong on this machine, decided as a value from signed documents. Executing is elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use croft_domain::bundle::Manifest;
use croft_domain::code::Code;
use croft_domain::digest::Sha256Digest;
use croft_domain::fleet::GroupPolicy;
use croft_domain::id::BundleRef;
use croft_domain::recall::{Recall, stopping};

use super::variants::{Ground, narrow};
use crate::failure::Failure;

/// What is to be done about one assigned bundle.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision<'a> {
    /// It belongs here: fetch, install and load it.
    Keep {
        /// Its manifest.
        manifest: &'a Manifest,
        /// SHA-256 of the manifest as signed.
        manifest_sha256: Sha256Digest,
    },
    /// A signed order stops it.
    Recalled {
        /// SHA-256 of the manifest as signed.
        manifest_sha256: Sha256Digest,
        /// The order's reason.
        reason: String,
    },
    /// It must not be here.
    Refuse {
        /// Stable code.
        code: Code,
        /// For a person.
        reason: String,
    },
}

/// A decision that borrows nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum OwnedDecision {
    /// It belongs here.
    Keep {
        /// Its manifest, in the variant that serves.
        manifest: Box<Manifest>,
        /// SHA-256 of the manifest as signed.
        manifest_sha256: Sha256Digest,
        /// In another variant, or in the same, that is to be fetched and measured.
        trial: Option<Box<Manifest>>,
        /// What else of it stays in the store.
        spares: Vec<Sha256Digest>,
    },
    /// It must not be here, and why; a recall names the manifest.
    Stop {
        /// Why.
        failure: Failure,
        /// SHA-256 of the manifest as signed, if it is approved.
        manifest_sha256: Option<Sha256Digest>,
    },
}

impl OwnedDecision {
    /// The decision about a bundle in the variant that this machine serves; `ground` is what is known of the machine.
    #[must_use]
    pub fn of(decision: Decision<'_>, ground: &Ground<'_>) -> Self {
        match decision {
            Decision::Keep { manifest, manifest_sha256 } if manifest.variants.is_empty() => Self::Keep {
                manifest: Box::new(manifest.clone()),
                manifest_sha256,
                trial: None,
                spares: Vec::new(),
            },
            Decision::Keep { manifest, manifest_sha256 } => narrow(manifest, manifest_sha256, ground),
            Decision::Recalled { manifest_sha256, reason } => Self::Stop {
                failure: Failure::new(Code::Recalled, reason),
                manifest_sha256: Some(manifest_sha256),
            },
            Decision::Refuse { code, reason } => {
                Self::Stop { failure: Failure::new(code, reason), manifest_sha256: None }
            }
        }
    }

    /// The blobs that it needs in the store.
    #[must_use]
    pub fn needs(&self) -> Vec<Sha256Digest> {
        let Self::Keep { manifest, trial, spares, .. } = self else { return Vec::new() };
        let files = manifest.files.iter().chain(trial.iter().flat_map(|trial| &trial.files));
        files.map(|file| file.sha256).chain(spares.iter().copied()).collect()
    }
}

/// Signed targets by reference, as the trust store holds them: the manifest, and the digest of its exact bytes.
pub type Approved<'a> = BTreeMap<BundleRef, (&'a Manifest, Sha256Digest)>;

/// Decides about every assigned bundle. The controller's assignment is only a wish: what the group's signed policy does
/// not allow is refused, and a recall outranks both.
#[must_use]
pub fn decide<'a>(
    assigned: &[BundleRef],
    policy: Option<&GroupPolicy>,
    approved: &Approved<'a>,
    recalls: &[Recall],
) -> BTreeMap<BundleRef, Decision<'a>> {
    let refuse = |reason: String| Decision::Refuse { code: Code::Unapproved, reason };
    assigned
        .iter()
        .map(|bundle| {
            let decision = match approved.get(bundle) {
                None => refuse(format!("{bundle} is assigned, but no signed document approves it")),
                Some((manifest, manifest_sha256)) => {
                    if let Some(recall) = stopping(recalls, manifest) {
                        Decision::Recalled {
                            manifest_sha256: *manifest_sha256,
                            reason: recall.reason.clone(),
                        }
                    } else if policy.is_none_or(|policy| !policy.allows_bundle(bundle)) {
                        refuse(format!("{bundle} is approved, but not for this machine's group"))
                    } else {
                        Decision::Keep { manifest, manifest_sha256: *manifest_sha256 }
                    }
                }
            };
            (bundle.clone(), decision)
        })
        .collect()
}

/// The blobs in the store that no kept bundle needs.
#[must_use]
pub fn superfluous(
    stored: &[Sha256Digest],
    decisions: &BTreeMap<BundleRef, OwnedDecision>,
) -> Vec<Sha256Digest> {
    let needed: BTreeSet<Sha256Digest> = decisions.values().flat_map(OwnedDecision::needs).collect();
    stored.iter().copied().filter(|digest| !needed.contains(digest)).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use croft_domain::bundle::{
        BundleFile, FileRole, Header, License, Parameters, Provenance, Template, UsageScope,
    };
    use croft_domain::id::RecallId;
    use croft_domain::recall::RecallTarget;
    use croft_domain::time::Timestamp;

    use crate::state::measured::Measured;

    pub(crate) fn manifest(name: &str, version: u32, blob: Sha256Digest) -> Manifest {
        Manifest {
            schema: 1,
            name: name.parse().expect("a name"),
            version,
            epoch: 1,
            architecture: "llama".to_owned(),
            files: vec![BundleFile {
                role: FileRole::Weights,
                sha256: blob,
                len_bytes: 1,
                chunk_len_bytes: 1 << 16,
                chunks: vec![croft_domain::digest::Blake3Digest([0; 32])],
            }],
            template: Template { source: String::new(), sha256: Sha256Digest([0; 32]), rendered: None },
            parameters: Parameters { context_tokens: 1024, slots: 1, temperature: 0.0 },
            aliases: Vec::new(),
            license: License::of("Apache-2.0"),
            provenance: Provenance {
                source: "test".to_owned(),
                vetting_report_sha256: Sha256Digest([0; 32]),
            },
            check_prompts: Vec::new(),
            usage_scope: UsageScope::default(),
            header: Header::default(),
            variants: Vec::new(),
        }
    }

    fn policy(name: &str, minimum: u32) -> GroupPolicy {
        GroupPolicy {
            tier: 1,
            baseline: "base@1".parse().expect("a reference"),
            bundles: BTreeMap::from([(name.parse().expect("a name"), minimum)]),
        }
    }

    fn owned(decided: BTreeMap<BundleRef, Decision<'_>>) -> BTreeMap<BundleRef, OwnedDecision> {
        let measured = Measured::default();
        let ground =
            Ground { recalls: &[], measured: &measured, capacity: None, under: None, is_here: &|_| true };
        decided.into_iter().map(|(name, one)| (name, OwnedDecision::of(one, &ground))).collect()
    }

    fn recall(target: RecallTarget) -> Recall {
        Recall { id: RecallId([1; 16]), target, reason: "poisoned".to_owned(), issued_at: Timestamp(5) }
    }

    #[test]
    fn p3_a_controller_cannot_assign_what_the_policy_does_not_allow() {
        let starter = manifest("starter", 2, Sha256Digest([2; 32]));
        let reference = starter.reference();
        let approved = Approved::from([(reference.clone(), (&starter, Sha256Digest([9; 32])))]);
        let other: BundleRef = "other@1".parse().expect("a reference");
        let all = [reference.clone(), other.clone()];

        let decided = decide(&all, Some(&policy("starter", 2)), &approved, &[]);
        assert!(matches!(decided[&reference], Decision::Keep { .. }));
        assert!(matches!(decided[&other], Decision::Refuse { code: Code::Unapproved, .. }));
        // An older version than the policy's lowest, another group, no policy at all.
        for policy in [Some(policy("starter", 3)), Some(policy("other", 1)), None] {
            let decided = decide(&all, policy.as_ref(), &approved, &[]);
            assert!(matches!(decided[&reference], Decision::Refuse { .. }), "{policy:?}");
        }
    }

    #[test]
    fn p2_a_recall_outranks_approval_and_names_its_reason() {
        let starter = manifest("starter", 2, Sha256Digest([2; 32]));
        let reference = starter.reference();
        let approved = Approved::from([(reference.clone(), (&starter, Sha256Digest([9; 32])))]);
        let policy = policy("starter", 1);
        for target in [RecallTarget::Bundle(reference.clone()), RecallTarget::Blob(Sha256Digest([2; 32]))] {
            let decided =
                decide(std::slice::from_ref(&reference), Some(&policy), &approved, &[recall(target)]);
            assert!(
                matches!(&decided[&reference], Decision::Recalled { reason, .. } if reason == "poisoned")
            );
            assert_eq!(superfluous(&[Sha256Digest([2; 32])], &owned(decided)), [Sha256Digest([2; 32])]);
        }
        let other = recall(RecallTarget::Bundle("starter@1".parse().expect("a reference")));
        let decided = decide(std::slice::from_ref(&reference), Some(&policy), &approved, &[other]);
        assert!(matches!(decided[&reference], Decision::Keep { .. }));
        assert!(superfluous(&[Sha256Digest([2; 32])], &owned(decided)).is_empty());
    }
}
