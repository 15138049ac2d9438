//! Attempts to open, create or mount files, and to make memory that code could be run from.
#![allow(unsafe_code)] // Raw system calls: a wrapper might not make the one that is to be refused.

use std::ffi::CStr;
use std::ptr;

use super::{Outcome, Trial, outcome};

pub(super) const TRIALS: &[Trial] = &[
    Trial { name: "open-other-file", make: open_other_file },
    Trial { name: "open-root-directory", make: || open(c"/", libc::O_RDONLY | libc::O_DIRECTORY) },
    Trial { name: "open-by-handle", make: open_by_handle },
    Trial { name: "create-file", make: create_file },
    Trial { name: "mount", make: mount },
    Trial { name: "memfd", make: memfd },
    Trial { name: "memory-executable", make: map_executable },
    Trial { name: "memory-made-executable", make: make_executable },
];

fn open(path: &CStr, flags: libc::c_int) -> Outcome {
    // SAFETY: the path is a C string that lives through the call; the mode is for O_CREAT.
    let fd = unsafe { libc::openat(libc::AT_FDCWD, path.as_ptr(), flags | libc::O_CLOEXEC, 0o600) };
    let answer = outcome(fd.into());
    if fd >= 0 {
        // SAFETY: it was opened above and is used nowhere else.
        unsafe { libc::close(fd) };
    }
    answer
}

/// A file that every machine has; a container without accounts still has the second.
fn open_other_file() -> Outcome {
    let tries = [c"/etc/passwd", c"/proc/version"].map(|path| open(path, libc::O_RDONLY));
    if tries.contains(&Outcome::LetThrough) { Outcome::LetThrough } else { tries[0] }
}

fn open_by_handle() -> Outcome {
    // SAFETY: a null handle is refused by the kernel before anything is read or written through it.
    outcome(unsafe { libc::syscall(libc::SYS_open_by_handle_at, -1, ptr::null::<u8>(), 0) })
}

fn create_file() -> Outcome {
    let path = format!("/tmp/croft-escape-attempt-{}\0", std::process::id());
    let Ok(path) = CStr::from_bytes_with_nul(path.as_bytes()) else { return Outcome::LetThrough };
    let answer = open(path, libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL);
    if answer == Outcome::LetThrough {
        // SAFETY: the path is a C string that lives through the call.
        unsafe { libc::unlink(path.as_ptr()) };
    }
    answer
}

fn mount() -> Outcome {
    let nowhere = c"/croft-no-such-folder".as_ptr();
    // SAFETY: all strings are static; the target does not exist, so nothing is mounted even if it is let through.
    outcome(unsafe { libc::mount(c"none".as_ptr(), nowhere, c"tmpfs".as_ptr(), 0, ptr::null()) }.into())
}

fn memfd() -> Outcome {
    // SAFETY: the name is a static C string.
    let fd = unsafe { libc::syscall(libc::SYS_memfd_create, c"attempt".as_ptr(), libc::MFD_CLOEXEC) };
    let answer = outcome(fd);
    if fd >= 0 {
        // SAFETY: it was opened above and is used nowhere else.
        unsafe { libc::close(fd as libc::c_int) };
    }
    answer
}

const PAGE_LEN: usize = 4096;

fn map(protection: libc::c_int) -> *mut libc::c_void {
    // SAFETY: an anonymous mapping at an address of the kernel's choice touches no existing memory.
    unsafe {
        libc::mmap(ptr::null_mut(), PAGE_LEN, protection, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
    }
}

fn unmap(page: *mut libc::c_void) {
    if page != libc::MAP_FAILED {
        // SAFETY: the page was mapped by `map` with this length, and nothing refers to it any more.
        unsafe { libc::munmap(page, PAGE_LEN) };
    }
}

fn map_executable() -> Outcome {
    let page = map(libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC);
    let answer = outcome(if page == libc::MAP_FAILED { -1 } else { 0 });
    unmap(page);
    answer
}

fn make_executable() -> Outcome {
    let page = map(libc::PROT_READ | libc::PROT_WRITE);
    // SAFETY: the page is this function's own; if the mapping failed, the address is refused by the kernel.
    let changed = unsafe { libc::mprotect(page, PAGE_LEN, libc::PROT_READ | libc::PROT_EXEC) };
    let answer = outcome(changed.into());
    unmap(page);
    answer
}
