//! Why a process could not be confined. Each of these means that it must not serve.

use std::io;

use croft_domain::code::Code;

/// A process could not be confined.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// Confinement of one thread would leave the others free.
    #[error("the process already has {0} threads; confinement must be entered before any is started")]
    ThreadsExist(usize),
    /// Inherited descriptors could not be closed.
    #[error("closing inherited descriptors")]
    CloseDescriptors(#[source] io::Error),
    /// The process could not be hidden from its user's debuggers.
    #[error("making the process undumpable")]
    ForbidInspection(#[source] io::Error),
    /// A resource limit could not be set.
    #[error("setting the resource limit {name}")]
    LimitResource {
        /// Its name.
        name: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The no-new-privileges flag could not be set.
    #[error("setting no_new_privs")]
    ForbidNewPrivileges(#[source] io::Error),
    /// A filter could not be built: a defect of this crate.
    #[error("building the seccomp filter")]
    BuildFilter(#[source] seccompiler::BackendError),
    /// The kernel did not take the filter.
    #[error("installing the seccomp filter")]
    InstallFilter(#[source] seccompiler::Error),
}

impl ConfineError {
    /// The stable code that people see.
    #[must_use]
    pub const fn code(&self) -> Code {
        Code::SandboxUnproven
    }
}
