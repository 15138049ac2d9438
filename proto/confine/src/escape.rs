//! The self-test: forbidden system calls, really made.
//!
//! What counts as refused is strict: only `EPERM` and `EACCES` (and `ENOSYS` for `clone3`) are a wall's answer. An
//! attempt that fails because nobody listens, a descriptor is not open or an argument is wrong went through, and is
//! reported so: else a machine without network would pass for a confined process.
//!
//! Calls that would change this process if they were let through are made with an argument that the kernel refuses
//! after the walls would have.

mod network;
mod process;
mod storage;

use std::io;

use croft_domain::fact::Attempt;

use crate::Role;
use crate::limits::ATTEMPTS_MAX;

/// A name and what makes the call; the call gives -1 or less than zero with errno set if it fails.
struct Trial {
    name: &'static str,
    make: fn() -> Outcome,
}

/// What the kernel did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// A wall stood; its errno's name.
    Refused(&'static str),
    /// It went through, whatever came of it.
    LetThrough,
}

/// Reads errno if `answer` says that the call failed; to be called right after it.
fn outcome(answer: libc::c_long) -> Outcome {
    if answer >= 0 {
        return Outcome::LetThrough;
    }
    match io::Error::last_os_error().raw_os_error() {
        Some(libc::EPERM) => Outcome::Refused("EPERM"),
        Some(libc::EACCES) => Outcome::Refused("EACCES"),
        _ => Outcome::LetThrough,
    }
}

pub(crate) fn attempts(role: Role) -> Vec<Attempt> {
    let gateway = role == Role::Gateway;
    let role_only: &[Trial] = if gateway { &[] } else { network::NOT_FOR_GATEWAY };
    network::TRIALS
        .iter()
        .chain(role_only)
        .chain(storage::TRIALS)
        // Last, because it ends with exec.
        .chain(process::TRIALS)
        .take(ATTEMPTS_MAX)
        .filter_map(|trial| {
            let errno = match (trial.make)() {
                Outcome::Refused(errno) => Some(errno.to_owned()),
                Outcome::LetThrough => None,
            };
            trial.name.parse().ok().map(|name| Attempt { name, errno })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attempt_has_a_name_and_fits_a_fact() {
        let trials = || {
            network::TRIALS
                .iter()
                .chain(network::NOT_FOR_GATEWAY)
                .chain(storage::TRIALS)
                .chain(process::TRIALS)
        };
        assert!(trials().count() <= ATTEMPTS_MAX);
        for trial in trials() {
            assert!(trial.name.parse::<croft_domain::id::CheckName>().is_ok(), "{}", trial.name);
            assert_eq!(trials().filter(|other| other.name == trial.name).count(), 1, "{}", trial.name);
        }
        assert_eq!(process::TRIALS.last().map(|t| t.name), Some("exec"));
    }
}
