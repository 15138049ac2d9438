//! Process confinement: what makes "nothing leaves through us" the kernel's promise instead of ours.
//!
//! A process confines itself in two stages. [`enter`] runs before any thread exists and shuts every way to the
//! network; [`lock_down`] runs before untrusted bytes arrive and leaves only what the role needs. Then
//! [`try_to_escape`] makes the forbidden system calls and reports what the kernel answered.
//!
//! Seccomp carries the promise and is mandatory. Namespaces and Landlock are further walls: best effort, reported
//! as achieved. A refused call answers `EPERM` and never kills, so that a self-test can be made in the process it is
//! about. Deliberately absent: starting processes, passing descriptors, and any policy of when to serve.

mod descriptors;
mod error;
mod escape;
mod files;
mod filter;
mod limits;
mod privileges;

use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use croft_domain::fact::Attempt;
use croft_domain::id::CheckName;

pub use error::ConfineError;

/// What a confined process is for; decides what is left to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Serves HTTP on an inherited listener, speaks on inherited socket pairs. Opens nothing, connects nowhere.
    Gateway,
    /// Runs one model. Speaks on inherited socket pairs, reads the one model file.
    Worker,
    /// Judges untrusted bytes. Reads and writes inherited descriptors only.
    Vetting,
}

/// Ceilings that the kernel holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResourceLimits {
    /// Private writable memory (`RLIMIT_DATA`), in bytes. A mapped model does not count. None leaves it as it is.
    pub data_bytes: Option<u64>,
    /// Open descriptors (`RLIMIT_NOFILE`). None leaves it as it is.
    pub open_files: Option<u64>,
    /// Threads (`RLIMIT_NPROC`). Held only inside a user namespace of its own: elsewhere the kernel counts every
    /// process of the account, and the limit would stop threads because of somebody's browser.
    pub processes: Option<u64>,
}

/// How a process enters its confinement.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// What it is for.
    pub role: Role,
    /// Descriptors that stay open besides standard input, output and error. All others are closed.
    pub keep_fds: &'a [RawFd],
    /// Files that may be opened again for reading, for example by `/proc/self/fd/N`. They are kept open as well.
    pub readable: &'a [BorrowedFd<'a>],
    /// Ceilings.
    pub limits: ResourceLimits,
}

/// The walls that stand, by name: `seccomp`, `landlock-7`, `net-namespace`, `ipc-namespace`, `user-namespace`,
/// `no-new-privs`, `capabilities-dropped`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layers(Vec<CheckName>);

impl Layers {
    /// Their names.
    #[must_use]
    pub fn names(&self) -> &[CheckName] {
        &self.0
    }

    /// Whether a layer of that name stands.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|layer| layer.as_str() == name)
    }

    fn add(&mut self, name: &str) {
        self.0.extend(name.parse());
    }
}

impl From<Layers> for Vec<CheckName> {
    fn from(layers: Layers) -> Self {
        layers.0
    }
}

/// First stage: closes descriptors, leaves privileges and namespaces behind, and denies every way to the network.
///
/// To be called first thing in `main`, before any thread exists: Landlock and capabilities belong to a thread, and
/// **every descriptor that is not named is closed**, whoever holds it. Libraries may still be loaded afterwards.
///
/// # Errors
/// If other threads exist, descriptors could not be closed, or seccomp is not to be had. Missing namespaces,
/// capabilities or Landlock are no errors: they are missing from the answer.
pub fn enter(entry: &Entry<'_>) -> Result<Layers, ConfineError> {
    privileges::check_single_threaded()?;
    let readable = entry.readable.iter().map(AsRawFd::as_raw_fd);
    descriptors::close_others(entry.keep_fds.iter().copied().chain(readable))?;
    let mut layers = Layers::default();
    let namespaces = privileges::leave_namespaces();
    for (stands, name) in [
        (namespaces.user, "user-namespace"),
        (namespaces.net, "net-namespace"),
        (namespaces.ipc, "ipc-namespace"),
    ] {
        if stands {
            layers.add(name);
        }
    }
    // After the user namespace: its id maps can only be written while the process is dumpable.
    privileges::forbid_inspection()?;
    if privileges::drop_capabilities() {
        layers.add("capabilities-dropped");
    }
    privileges::limit_resources(&entry.limits, namespaces.user)?;
    privileges::forbid_new_privileges()?;
    layers.add("no-new-privs");
    if let Some(abi) = files::restrict(entry.role, entry.readable) {
        layers.add(&format!("landlock-{abi}"));
    }
    filter::deny_network(entry.role)?;
    layers.add("seccomp");
    Ok(layers)
}

/// Second stage: from here on only what `role` needs is answered, in every thread.
///
/// To be called once, after libraries are loaded and before untrusted bytes or requests are read.
///
/// # Errors
/// If the filter could not be installed in every thread. The process must not go on.
pub fn lock_down(role: Role) -> Result<(), ConfineError> {
    filter::allow_only(role)
}

/// Tries to break out of `role`'s confinement and reports what the kernel answered.
///
/// Every attempt is a real system call. One that the kernel let through, even if it failed for another reason (a
/// descriptor that is not open, nobody listening), is reported without errno. Attempts aim at this machine's loopback
/// and at this process only. Made in a process that is not confined, they leave nothing behind.
#[must_use]
pub fn try_to_escape(role: Role) -> Vec<Attempt> {
    escape::attempts(role)
}
