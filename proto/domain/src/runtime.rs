//! Runtimes: which worker executables and back-end libraries may run, as the signed target `runtime.NAME.VERSION.json`
//! lists them. A fleet that has published none has not decided, and any worker of its installation may run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Sha256Digest;
use crate::id::{RuntimeName, RuntimeRef};
use crate::limits::RUNTIME_FILES_MAX;

/// A runtime at a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Runtime {
    /// Always 1.
    pub schema: u32,
    /// Its name.
    pub name: RuntimeName,
    /// Its version, counted from 1.
    pub version: u32,
    /// SHA-256 of each worker executable and library, one for each platform it is built for.
    pub files: Vec<Sha256Digest>,
}

impl Runtime {
    /// Its name and version.
    #[must_use]
    pub fn reference(&self) -> RuntimeRef {
        RuntimeRef { name: self.name.clone(), version: self.version }
    }

    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// Says what was expected.
    pub fn validate(&self) -> Result<(), RuntimeError> {
        let is_sound =
            self.schema == 1 && self.version > 0 && (1..=RUNTIME_FILES_MAX).contains(&self.files.len());
        if is_sound { Ok(()) } else { Err(RuntimeError) }
    }
}

/// Why a worker may not be started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuntimeRefusal {
    /// No signed runtime lists it.
    #[error("this machine's worker is in no runtime that the publishers signed")]
    Unlisted,
    /// Every runtime that lists it is older than the baseline asks for.
    #[error("this machine's worker is {found}; the baseline asks for version {minimum} or newer")]
    TooOld {
        /// The newest runtime that lists it.
        found: RuntimeRef,
        /// The lowest version that counts.
        minimum: u32,
    },
}

/// Whether a worker with digest `worker` may be started. Without a signed runtime and without a minimum the fleet has not
/// decided. What could not be measured is in no runtime.
///
/// # Errors
/// [`RuntimeRefusal`] says why not.
pub fn check<'a>(
    worker: Option<&Sha256Digest>,
    signed: impl Iterator<Item = &'a Runtime> + Clone,
    minimum: &BTreeMap<RuntimeName, u32>,
) -> Result<(), RuntimeRefusal> {
    if signed.clone().next().is_none() && minimum.is_empty() {
        return Ok(());
    }
    let listing = |runtime: &&Runtime| worker.is_some_and(|worker| runtime.files.contains(worker));
    let least = |runtime: &Runtime| minimum.get(&runtime.name).copied().unwrap_or(0);
    let mut refusal = RuntimeRefusal::Unlisted;
    for runtime in signed.filter(listing) {
        if runtime.version >= least(runtime) {
            return Ok(());
        }
        refusal = RuntimeRefusal::TooOld { found: runtime.reference(), minimum: least(runtime) };
    }
    Err(refusal)
}

/// A runtime contradicts itself or a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("runtime: expected schema 1, version 1 or more, 1 to 64 files")]
pub struct RuntimeError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p2_a_worker_runs_only_from_a_signed_runtime_that_is_new_enough() {
        let runtime = |name: &str, version, file| Runtime {
            schema: 1,
            name: name.parse().expect("a name"),
            version,
            files: vec![Sha256Digest([file; 32])],
        };
        let signed = [runtime("worker", 1, 1), runtime("worker", 2, 2), runtime("other", 1, 3)];
        let least = |version| BTreeMap::from([("worker".parse().expect("a name"), version)]);
        let judge = |file, least: &_| check(Some(&Sha256Digest([file; 32])), signed.iter(), least);
        assert_eq!(judge(1, &BTreeMap::new()), Ok(()));
        assert_eq!(judge(9, &BTreeMap::new()), Err(RuntimeRefusal::Unlisted));
        assert!(matches!(judge(1, &least(2)), Err(RuntimeRefusal::TooOld { minimum: 2, .. })));
        assert_eq!((judge(2, &least(2)), judge(3, &least(2))), (Ok(()), Ok(())));
        // Nothing signed: allowed while nothing is asked, refused as soon as a baseline asks.
        assert_eq!(check(None, [].iter(), &BTreeMap::new()), Ok(()));
        assert_eq!(check(None, [].iter(), &least(1)), Err(RuntimeRefusal::Unlisted));
        assert_eq!(check(None, signed.iter(), &BTreeMap::new()), Err(RuntimeRefusal::Unlisted));
        // The same executable published again under the next version counts as that version.
        let again = [runtime("worker", 1, 1), runtime("worker", 2, 1)];
        assert_eq!(check(Some(&Sha256Digest([1; 32])), again.iter(), &least(2)), Ok(()));
    }
}
