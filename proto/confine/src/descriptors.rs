//! Closing what was inherited. A descriptor is a capability: one that stays open by mistake is a way out that no
//! filter sees.
#![allow(unsafe_code)] // Closes descriptors by number, whoever holds them; that is this module's purpose.

use std::io;
use std::os::fd::RawFd;

use crate::ConfineError;

/// Closes every descriptor but 0 to 2 and `keep`.
pub(crate) fn close_others(keep: impl Iterator<Item = RawFd>) -> Result<(), ConfineError> {
    for (first, last) in gaps(keep) {
        // SAFETY: close_range takes three integers and touches no memory. No Rust value owns the closed descriptors
        // in a way that matters: `enter` is documented to close them and runs first thing in `main`.
        let answer = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        if answer != 0 {
            return Err(ConfineError::CloseDescriptors(io::Error::last_os_error()));
        }
    }
    Ok(())
}

/// The ranges above standard error that hold none of `keep`.
fn gaps(keep: impl Iterator<Item = RawFd>) -> Vec<(u32, u32)> {
    let mut keep: Vec<u32> = keep.filter_map(|fd| u32::try_from(fd).ok()).filter(|fd| *fd > 2).collect();
    keep.sort_unstable();
    keep.dedup();
    let mut gaps = Vec::new();
    let mut next = 3;
    for fd in keep {
        if fd > next {
            gaps.push((next, fd - 1));
        }
        next = fd + 1;
    }
    gaps.push((next, u32::MAX));
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_leave_out_exactly_what_is_kept() {
        assert_eq!(gaps([].into_iter()), [(3, u32::MAX)]);
        assert_eq!(gaps([3, 4].into_iter()), [(5, u32::MAX)]);
        assert_eq!(gaps([9, 4, 0, 4, -1].into_iter()), [(3, 3), (5, 8), (10, u32::MAX)]);
    }
}
