//! Runtimes: which worker executables and back-end libraries may run, as the signed target `runtime.NAME.VERSION.json`
//! lists them. A fleet that has published none has not decided, and any worker of its installation may run.

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

/// A runtime contradicts itself or a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("runtime: expected schema 1, version 1 or more, 1 to 64 files")]
pub struct RuntimeError;
