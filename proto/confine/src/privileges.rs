//! Leaving behind what the process may do beyond its descriptors: namespaces, capabilities, limits.
#![allow(unsafe_code)] // rustix marks unshare as unsafe, because of descriptor tables that are not unshared here.

use std::fs;

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, UnshareFlags, capabilities, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs, unshare_unsafe,
};

use crate::limits::CAPABILITY_MAX;
use crate::{ConfineError, ResourceLimits};

/// Which namespaces of its own the process now has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Namespaces {
    pub(crate) user: bool,
    pub(crate) net: bool,
    pub(crate) ipc: bool,
}

/// Without `/proc` nothing can be said, and nothing is: the self-test is made in any case.
pub(crate) fn check_single_threaded() -> Result<(), ConfineError> {
    match fs::read_dir("/proc/self/task").map(Iterator::count) {
        Ok(count) if count > 1 => Err(ConfineError::ThreadsExist(count)),
        _ => Ok(()),
    }
}

/// Moves into an empty network and IPC namespace, by way of a user namespace where one is to be had.
pub(crate) fn leave_namespaces() -> Namespaces {
    let ids = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let walls = UnshareFlags::NEWNET | UnshareFlags::NEWIPC;
    if unshare(UnshareFlags::NEWUSER | walls) {
        map_ids(ids.0, ids.1);
        return Namespaces { user: true, net: true, ipc: true };
    }
    // Root in a container may be allowed these although user namespaces are forbidden.
    Namespaces { user: false, net: unshare(UnshareFlags::NEWNET), ipc: unshare(UnshareFlags::NEWIPC) }
}

fn unshare(flags: UnshareFlags) -> bool {
    // SAFETY: only CLONE_FILES can invalidate descriptors that other threads rely on; it is never among the flags,
    // and there are no other threads.
    unsafe { unshare_unsafe(flags) }.is_ok()
}

// An unmapped account shows as "nobody". Nothing depends on it, so a refusal is left unsaid.
fn map_ids(uid: u32, gid: u32) {
    let _ = fs::write("/proc/self/uid_map", format!("{uid} {uid} 1\n"));
    let _ = fs::write("/proc/self/setgroups", "deny");
    let _ = fs::write("/proc/self/gid_map", format!("{gid} {gid} 1\n"));
}

/// Keeps other programs of the same account from attaching to it, and prompts out of core dumps.
pub(crate) fn forbid_inspection() -> Result<(), ConfineError> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|errno| ConfineError::ForbidInspection(errno.into()))
}

/// Drops every capability. True if none is left.
pub(crate) fn drop_capabilities() -> bool {
    for number in 0..=CAPABILITY_MAX {
        // EPERM for an ordinary account outside of a user namespace, EINVAL past the last: the check below decides.
        let _ = remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number));
    }
    let _ = clear_ambient_capability_set();
    let none = CapabilitySet::empty();
    let _ = set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none });
    capabilities(None).is_ok_and(|sets| (sets.effective | sets.permitted | sets.inheritable).is_empty())
}

/// Sets `limits`, and never a core dump. A ceiling that already is lower stays.
pub(crate) fn limit_resources(limits: &ResourceLimits, own_user: bool) -> Result<(), ConfineError> {
    limit("RLIMIT_CORE", Resource::Core, Some(0))?;
    limit("RLIMIT_NOFILE", Resource::Nofile, limits.open_files)?;
    limit("RLIMIT_DATA", Resource::Data, limits.data_bytes)?;
    limit("RLIMIT_NPROC", Resource::Nproc, limits.processes.filter(|_| own_user))
}

fn limit(name: &'static str, resource: Resource, ceiling: Option<u64>) -> Result<(), ConfineError> {
    let Some(ceiling) = ceiling else { return Ok(()) };
    let present = getrlimit(resource).maximum.unwrap_or(u64::MAX);
    let ceiling = Some(ceiling.min(present));
    setrlimit(resource, Rlimit { current: ceiling, maximum: ceiling })
        .map_err(|errno| ConfineError::LimitResource { name, source: errno.into() })
}

/// From here on no executable could give privileges back; seccomp and Landlock ask for it.
pub(crate) fn forbid_new_privileges() -> Result<(), ConfineError> {
    set_no_new_privs(true).map_err(|errno| ConfineError::ForbidNewPrivileges(errno.into()))
}
