//! Attempts to start, watch, signal or become another process, and to reach the kernel's larger interfaces.
#![allow(unsafe_code)] // Raw system calls: a wrapper might not make the one that is to be refused.

use std::io;
use std::ptr;

use super::{Outcome, Trial, outcome};

pub(super) const TRIALS: &[Trial] = &[
    Trial { name: "fork", make: fork },
    Trial { name: "clone3", make: clone3 },
    Trial { name: "ptrace-parent", make: ptrace_parent },
    Trial { name: "process-vm-read", make: process_vm_read },
    Trial { name: "process-vm-write", make: process_vm_write },
    Trial { name: "signal-parent", make: signal_parent },
    Trial { name: "pidfd-getfd", make: pidfd_getfd },
    Trial { name: "bpf", make: bpf },
    Trial { name: "userfaultfd", make: userfaultfd },
    Trial { name: "perf-event", make: perf_event },
    Trial { name: "keyring", make: keyring },
    Trial { name: "unshare", make: unshare },
    Trial { name: "setns", make: setns },
    Trial { name: "terminal-input", make: terminal_input },
    Trial { name: "exec", make: exec },
];

/// `CLONE_SIGHAND` without `CLONE_VM` is an invalid pair, so that a call that is let through starts nothing.
fn fork() -> Outcome {
    let flags = libc::CLONE_SIGHAND | libc::SIGCHLD;
    // SAFETY: the kernel refuses these flags before it reads any of the null pointers.
    outcome(unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) })
}

fn clone3() -> Outcome {
    // SAFETY: a length of zero is refused by the kernel before anything is read.
    let answer = unsafe { libc::syscall(libc::SYS_clone3, ptr::null::<u8>(), 0) };
    if answer < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::ENOSYS) {
        return Outcome::Refused("ENOSYS");
    }
    outcome(answer)
}

fn ptrace_parent() -> Outcome {
    let parent = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
    let nowhere = ptr::null_mut::<libc::c_void>();
    // SAFETY: the parent is not traced by us, so a call that is let through fails with ESRCH and writes nothing.
    outcome(unsafe { libc::ptrace(libc::PTRACE_CONT, parent, nowhere, nowhere) })
}

/// Of this process itself, which no other rule forbids.
fn process_vm_read() -> Outcome {
    let (from, mut to) = ([7_u8; 1], [0_u8; 1]);
    let local = libc::iovec { iov_base: to.as_mut_ptr().cast(), iov_len: 1 };
    let remote = libc::iovec { iov_base: from.as_ptr().cast_mut().cast(), iov_len: 1 };
    // SAFETY: both vectors name one byte of this frame; the remote one is only read.
    let read =
        unsafe { libc::process_vm_readv(libc::getpid(), &raw const local, 1, &raw const remote, 1, 0) };
    outcome(read as libc::c_long)
}

fn process_vm_write() -> Outcome {
    let (from, mut to) = ([7_u8; 1], [0_u8; 1]);
    let local = libc::iovec { iov_base: from.as_ptr().cast_mut().cast(), iov_len: 1 };
    let remote = libc::iovec { iov_base: to.as_mut_ptr().cast(), iov_len: 1 };
    // SAFETY: both vectors name one byte of this frame; the local one is only read.
    let written =
        unsafe { libc::process_vm_writev(libc::getpid(), &raw const local, 1, &raw const remote, 1, 0) };
    outcome(written as libc::c_long)
}

/// Signal 0 asks whether it may be signaled, and sends nothing.
fn signal_parent() -> Outcome {
    // SAFETY: kill takes integers only.
    outcome(unsafe { libc::kill(libc::getppid(), 0) }.into())
}

fn pidfd_getfd() -> Outcome {
    // SAFETY: the call takes integers only; the pidfd is not open.
    outcome(unsafe { libc::syscall(libc::SYS_pidfd_getfd, -1, 0, 0) })
}

fn bpf() -> Outcome {
    // SAFETY: command -1 does not exist and no attributes are given.
    outcome(unsafe { libc::syscall(libc::SYS_bpf, -1, ptr::null::<u8>(), 0) })
}

fn userfaultfd() -> Outcome {
    // SAFETY: the call takes integers only; the flags do not exist, so that nothing is opened if it is let through.
    outcome(unsafe { libc::syscall(libc::SYS_userfaultfd, -1) })
}

fn perf_event() -> Outcome {
    // SAFETY: the flags do not exist, which the kernel refuses before it reads the null pointer.
    outcome(unsafe { libc::syscall(libc::SYS_perf_event_open, ptr::null::<u8>(), 0, -1, -1, -1) })
}

fn keyring() -> Outcome {
    // SAFETY: keyctl command -1 does not exist; all arguments are integers.
    outcome(unsafe { libc::syscall(libc::SYS_keyctl, -1, 0, 0, 0, 0) })
}

/// No flags: nothing is unshared if it is let through.
fn unshare() -> Outcome {
    // SAFETY: unshare takes an integer only.
    outcome(unsafe { libc::unshare(0) }.into())
}

fn setns() -> Outcome {
    // SAFETY: setns takes integers only; the descriptor is not open.
    outcome(unsafe { libc::setns(-1, 0) }.into())
}

fn terminal_input() -> Outcome {
    // SAFETY: the byte lives through the call; the descriptor is not open.
    outcome(unsafe { libc::ioctl(-1, libc::TIOCSTI, c"x".as_ptr()) }.into())
}

/// A program that does not exist goes first: only if that is refused is one tried that does, since it would take this
/// process's place.
fn exec() -> Outcome {
    // SAFETY: path, arguments and environment are static C strings in null-terminated arrays. A call that succeeds
    // does not return.
    let execve = |path: &std::ffi::CStr| unsafe {
        let (arguments, environment) = ([path.as_ptr(), ptr::null()], [ptr::null()]);
        libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr())
    };
    match outcome(execve(c"/croft-no-such-program").into()) {
        Outcome::LetThrough => Outcome::LetThrough,
        Outcome::Refused(_) => outcome(execve(c"/bin/true").into()),
    }
}
