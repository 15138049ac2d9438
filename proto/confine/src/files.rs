//! Landlock: which files can still be opened. Not for the network: its TCP rules leave UDP, Fast Open and MPTCP open
//! and older kernels have none, so that is seccomp's work.

use std::os::fd::BorrowedFd;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, LandlockStatus, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};

use crate::Role;

/// The newest the crate knows; the kernel's own decides what of it is held.
const NEWEST: ABI = ABI::V9;

/// Restricts this thread and all that it starts. Gives the ABI in force, none without Landlock.
pub(crate) fn restrict(role: Role, readable: &[BorrowedFd<'_>]) -> Option<i32> {
    let status = ruleset(role, readable).ok()?.restrict_self().ok()?;
    match (status.ruleset, status.landlock) {
        (RulesetStatus::NotEnforced, _) => None,
        (_, LandlockStatus::Available { effective_abi, .. }) => Some(effective_abi as i32),
        _ => None,
    }
}

fn ruleset(role: Role, readable: &[BorrowedFd<'_>]) -> Result<RulesetCreated, RulesetError> {
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?;
    let read = BitFlags::from(AccessFs::ReadFile);
    for file in readable {
        rules = rules.add_rule(PathBeneath::new(*file, read))?;
    }
    for folder in folders(role).iter().filter_map(|path| PathFd::new(path).ok()) {
        rules = rules.add_rule(PathBeneath::new(folder, read | AccessFs::ReadDir))?;
    }
    Ok(rules)
}

// How many cores and memory nodes there are: the C library and the model's back end ask while they start threads.
const fn folders(role: Role) -> &'static [&'static str] {
    match role {
        Role::Worker => &["/sys/devices/system/cpu", "/sys/devices/system/node"],
        Role::Gateway | Role::Vetting => &[],
    }
}
