//! System calls made inside of a running process that did not ask for them: a debugger stops it where it waits, has it make
//! the call with the instruction that it waits at, reads the answer, and lets it go on as if nothing had been. Only root may.
#![allow(unsafe_code)] // ptrace is unsafe by nature.

use std::io;
use std::process::{Child, Command, Stdio};
use std::ptr::null_mut;

use libc::{c_long, c_void, user_regs_struct};
use rustix::process::getuid;

use super::{pids, village};

/// `syscall`
const INSTRUCTION: c_long = 0x050f;
/// Below what the stopped function may use without saying so (128 bytes on this processor).
const BELOW_STACK: u64 = 4096;
/// No descriptor.
const NONE: u64 = u64::MAX;

/// A thread that was stopped in a system call. Dropping it lets it go on.
struct Stopped {
    pid: libc::pid_t,
    saved: user_regs_struct,
}

fn trace(request: libc::c_uint, pid: libc::pid_t, address: u64, data: *mut c_void) -> c_long {
    // SAFETY: requests below pass either no pointer or one to a value of the kind that the request reads or writes, which
    // lives through the call; addresses are the tracee's.
    unsafe { libc::ptrace(request, pid, address as *mut c_void, data) }
}

/// Waits until it stops, and gives the signal that it stopped at.
fn wait_for(pid: libc::pid_t) -> i32 {
    let mut status = 0;
    // SAFETY: the status lives through the call.
    let waited = unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) };
    assert!(waited == pid && libc::WIFSTOPPED(status), "{} {status}", io::Error::last_os_error());
    libc::WSTOPSIG(status)
}

fn registers(pid: libc::pid_t) -> user_regs_struct {
    // SAFETY: a structure of integers may be all zeros.
    let mut registers: user_regs_struct = unsafe { std::mem::zeroed() };
    assert_eq!(trace(libc::PTRACE_GETREGS, pid, 0, (&raw mut registers).cast()), 0);
    registers
}

impl Stopped {
    /// Stops the main thread of a process once it waits in a system call.
    fn stop(pid: u32) -> Self {
        let pid = libc::pid_t::try_from(pid).expect("a pid");
        assert_eq!(trace(libc::PTRACE_SEIZE, pid, 0, null_mut()), 0, "{}", io::Error::last_os_error());
        for _ in 0..1000 {
            assert_eq!(trace(libc::PTRACE_INTERRUPT, pid, 0, null_mut()), 0);
            wait_for(pid);
            let saved = registers(pid);
            let before = trace(libc::PTRACE_PEEKTEXT, pid, saved.rip - 2, null_mut());
            if before & 0xffff == INSTRUCTION {
                return Self { pid, saved };
            }
            assert_eq!(trace(libc::PTRACE_CONT, pid, 0, null_mut()), 0);
            std::thread::yield_now();
        }
        panic!("the process never waits");
    }

    /// Has it make a call; gives what the kernel answered, an errno as a negative number.
    fn call(&self, number: c_long, arguments: [u64; 6]) -> i64 {
        let mut registers = self.saved;
        [registers.rdi, registers.rsi, registers.rdx, registers.r10, registers.r8, registers.r9] = arguments;
        registers.rax = number.cast_unsigned();
        // Not the call that it waits in.
        registers.orig_rax = u64::MAX;
        registers.rip = self.saved.rip - 2;
        assert_eq!(trace(libc::PTRACE_SETREGS, self.pid, 0, (&raw mut registers).cast()), 0);
        loop {
            assert_eq!(trace(libc::PTRACE_SINGLESTEP, self.pid, 0, null_mut()), 0);
            // Another signal stops it before the call was made.
            if wait_for(self.pid) == libc::SIGTRAP {
                return self::registers(self.pid).rax.cast_signed();
            }
        }
    }

    /// Puts bytes where a call can point to.
    fn place(&self, bytes: &[u8]) -> u64 {
        let address = (self.saved.rsp - BELOW_STACK) & !7;
        for (at, chunk) in (address..).step_by(8).zip(bytes.chunks(8)) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            let word = usize::from_ne_bytes(word) as *mut c_void;
            assert_eq!(trace(libc::PTRACE_POKEDATA, self.pid, at, word), 0);
        }
        address
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        trace(libc::PTRACE_SETREGS, self.pid, 0, (&raw mut self.saved).cast());
        trace(libc::PTRACE_DETACH, self.pid, 0, null_mut());
    }
}

fn sleeper() -> Child {
    Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().expect("a process")
}

/// What the kernel answers to each way out, and to looking into another process.
fn attempts(inside: &Stopped, other: u32) -> Vec<(&'static str, i64)> {
    let socket = |domain: i32, kind: i32, protocol: i32| {
        let number = |number: i32| u64::from(number.cast_unsigned());
        inside.call(libc::SYS_socket, [number(domain), number(kind), number(protocol), 0, 0, 0])
    };
    // 127.0.0.1:9, the discard service.
    let mut address = [0_u8; 16];
    address[..8].copy_from_slice(&[2, 0, 0, 9, 127, 0, 0, 1]);
    let fast_open = libc::MSG_FASTOPEN.cast_unsigned().into();
    let mut answers = vec![
        ("TCP", socket(libc::AF_INET, libc::SOCK_STREAM, 0)),
        ("TCP over IPv6", socket(libc::AF_INET6, libc::SOCK_STREAM, 0)),
        ("UDP", socket(libc::AF_INET, libc::SOCK_DGRAM, 0)),
        ("MPTCP", socket(libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_MPTCP)),
        ("raw", socket(libc::AF_PACKET, libc::SOCK_RAW, 0)),
        ("unix", socket(libc::AF_UNIX, libc::SOCK_STREAM, 0)),
        ("vsock", socket(libc::AF_VSOCK, libc::SOCK_STREAM, 0)),
        ("netlink", socket(libc::AF_NETLINK, libc::SOCK_RAW, 0)),
        ("io_uring", inside.call(libc::SYS_io_uring_setup, [1, 0, 0, 0, 0, 0])),
        ("ptrace", inside.call(libc::SYS_ptrace, [libc::PTRACE_ATTACH.into(), other.into(), 0, 0, 0, 0])),
        ("a passed descriptor, received", inside.call(libc::SYS_recvmsg, [NONE, 0, 0, 0, 0, 0])),
        ("a passed descriptor, sent", inside.call(libc::SYS_sendmsg, [NONE, 0, 0, 0, 0, 0])),
        ("another's descriptor", inside.call(libc::SYS_pidfd_getfd, [NONE, 0, 0, 0, 0, 0])),
    ];
    let at = inside.place(&address);
    answers.push(("connect", inside.call(libc::SYS_connect, [NONE, at, 16, 0, 0, 0])));
    answers.push(("Fast Open", inside.call(libc::SYS_sendto, [NONE, at, 1, fast_open, at, 16])));
    for (name, path) in [("unix by path", &b"\x01\x00/run/x\0"[..]), ("unix by name", b"\x01\x00\0croft")] {
        let at = inside.place(path);
        answers.push((name, inside.call(libc::SYS_connect, [NONE, at, path.len() as u64, 0, 0, 0])));
    }
    let here = u64::from(libc::AT_FDCWD.cast_unsigned()) | 0xffff_ffff_0000_0000;
    let at = inside.place(b"/etc/passwd\0");
    answers.push(("another file", inside.call(libc::SYS_openat, [here, at, 0, 0, 0, 0])));
    let at = inside.place(b"/bin/true\0");
    answers.push(("exec", inside.call(libc::SYS_execve, [at, 0, 0, 0, 0, 0])));
    answers
}

#[test]
fn p1_every_call_made_inside_of_gateway_and_worker_is_refused_with_its_errno() {
    if !getuid().is_root() {
        // Nobody else may look into these processes, which is as it should be; what they tell themselves is shown above.
        return;
    }
    let village = village();
    let mut other = sleeper();
    for (role, pid) in pids(&village) {
        let inside = Stopped::stop(pid);
        let own = inside.call(libc::SYS_getpid, [0; 6]);
        assert_eq!(own, i64::from(pid), "{role}: the call was not made");
        for (name, answer) in attempts(&inside, other.id()) {
            let is_refused = [-i64::from(libc::EPERM), -i64::from(libc::EACCES)].contains(&answer);
            assert!(is_refused, "{role}: {name} gave {answer}");
        }
    }
    other.kill().expect("ended");
    other.wait().expect("gone");
    // They go on as if nothing had been.
    let station = &village.workstation;
    let api = croft_e2e::api::Api::new(&station.gateway(), Some(&station.api_key().expect("a key")));
    assert_eq!(api.ask("list all orders").expect("an answer").status, 200);
    assert_eq!(pids(&village), super::pids(&village));
}

#[test]
fn the_same_calls_go_through_where_nothing_confines() {
    if !getuid().is_root() {
        return;
    }
    let (mut free, mut other) = (sleeper(), sleeper());
    let inside = Stopped::stop(free.id());
    let answers = attempts(&inside, other.id());
    drop(inside);
    // The other is traced by the first by now, and cannot go before it.
    for process in [&mut free, &mut other] {
        process.kill().expect("ended");
        process.wait().expect("gone");
    }
    let of = |name: &str| answers.iter().find(|(it, _)| *it == name).map(|(_, answer)| *answer);
    for name in ["TCP", "UDP", "unix", "netlink", "ptrace", "another file"] {
        assert!(of(name).is_some_and(|answer| answer >= 0), "{name}: {answers:?}");
    }
    for name in ["connect", "Fast Open", "unix by path", "unix by name", "a passed descriptor, received"] {
        assert_eq!(of(name), Some(-i64::from(libc::EBADF)), "{name}: {answers:?}");
    }
    assert_eq!(of("exec"), Some(0), "{answers:?}");
}
