//! The second stage's list: what each role is left. Everything else is refused.

use libc::{
    SYS_accept4, SYS_brk, SYS_clock_getres, SYS_clock_gettime, SYS_clock_nanosleep, SYS_clone, SYS_clone3,
    SYS_close, SYS_dup, SYS_dup3, SYS_epoll_create1, SYS_epoll_ctl, SYS_epoll_pwait, SYS_epoll_pwait2,
    SYS_eventfd2, SYS_exit, SYS_exit_group, SYS_fadvise64, SYS_fcntl, SYS_fstat, SYS_futex,
    SYS_get_mempolicy, SYS_get_robust_list, SYS_getcpu, SYS_getegid, SYS_geteuid, SYS_getgid,
    SYS_getpeername, SYS_getpid, SYS_getppid, SYS_getrandom, SYS_getrusage, SYS_getsockname, SYS_getsockopt,
    SYS_gettid, SYS_gettimeofday, SYS_getuid, SYS_ioctl, SYS_lseek, SYS_madvise, SYS_mbind, SYS_membarrier,
    SYS_mlock, SYS_mlock2, SYS_mmap, SYS_mprotect, SYS_mremap, SYS_munlock, SYS_munmap, SYS_nanosleep,
    SYS_newfstatat, SYS_openat, SYS_pipe2, SYS_ppoll, SYS_prctl, SYS_pread64, SYS_preadv, SYS_prlimit64,
    SYS_read, SYS_readv, SYS_recvfrom, SYS_restart_syscall, SYS_rseq, SYS_rt_sigaction, SYS_rt_sigprocmask,
    SYS_rt_sigreturn, SYS_sched_get_priority_max, SYS_sched_get_priority_min, SYS_sched_getaffinity,
    SYS_sched_getparam, SYS_sched_getscheduler, SYS_sched_setaffinity, SYS_sched_yield, SYS_sendto,
    SYS_set_mempolicy, SYS_set_robust_list, SYS_setsockopt, SYS_shutdown, SYS_sigaltstack, SYS_socketpair,
    SYS_statx, SYS_sysinfo, SYS_tgkill, SYS_timerfd_create, SYS_timerfd_gettime, SYS_timerfd_settime,
    SYS_uname, SYS_write, SYS_writev,
};

use super::{Rules, Test};
use crate::Role;

/// Memory, threads, time, signals, and reading and writing what is open already.
const ALL_ROLES: &[libc::c_long] = &[
    SYS_read,
    SYS_readv,
    SYS_pread64,
    SYS_preadv,
    SYS_write,
    SYS_writev,
    SYS_recvfrom,
    SYS_shutdown,
    SYS_lseek,
    SYS_close,
    SYS_fstat,
    SYS_ppoll,
    SYS_brk,
    SYS_munmap,
    SYS_mremap,
    SYS_madvise,
    SYS_futex,
    // Reaches the filter that answers ENOSYS; see the parent module.
    SYS_clone3,
    SYS_set_robust_list,
    SYS_get_robust_list,
    SYS_rseq,
    SYS_membarrier,
    SYS_sched_yield,
    SYS_sched_getaffinity,
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_sigaltstack,
    SYS_restart_syscall,
    SYS_exit,
    SYS_exit_group,
    SYS_clock_gettime,
    SYS_clock_getres,
    SYS_clock_nanosleep,
    SYS_nanosleep,
    SYS_gettimeofday,
    SYS_getrandom,
    SYS_getpid,
    SYS_getppid,
    SYS_gettid,
    SYS_getuid,
    SYS_geteuid,
    SYS_getgid,
    SYS_getegid,
    SYS_getcpu,
    SYS_getrusage,
    SYS_sysinfo,
    SYS_uname,
];

#[cfg(target_arch = "x86_64")]
const ALL_ROLES_X86: &[libc::c_long] = &[libc::SYS_poll, libc::SYS_time];

/// The model file's metadata, pinning of threads and memory, and its socket pairs.
const WORKER: &[libc::c_long] = &[
    SYS_newfstatat,
    SYS_statx,
    SYS_fadvise64,
    SYS_mlock,
    SYS_mlock2,
    SYS_munlock,
    SYS_get_mempolicy,
    SYS_set_mempolicy,
    SYS_mbind,
    SYS_sched_setaffinity,
    SYS_sched_getparam,
    SYS_sched_getscheduler,
    SYS_sched_get_priority_min,
    SYS_sched_get_priority_max,
];

/// An async runtime over inherited sockets.
const GATEWAY: &[libc::c_long] = &[
    SYS_epoll_create1,
    SYS_epoll_ctl,
    SYS_epoll_pwait,
    SYS_epoll_pwait2,
    SYS_eventfd2,
    SYS_pipe2,
    SYS_timerfd_create,
    SYS_timerfd_settime,
    SYS_timerfd_gettime,
    SYS_accept4,
    SYS_getsockopt,
    SYS_getsockname,
    SYS_getpeername,
    SYS_dup,
    SYS_dup3,
];

const VETTING: &[libc::c_long] = &[SYS_newfstatat, SYS_statx, SYS_fadvise64];

pub(super) fn rules(role: Role) -> Rules {
    let mut rules = Rules::default();
    rules.always(ALL_ROLES);
    #[cfg(target_arch = "x86_64")]
    rules.always(ALL_ROLES_X86);
    for call in [SYS_mmap, SYS_mprotect] {
        rules.when(call, &[Test::Masked { argument: 2, mask: libc::PROT_EXEC.cast_unsigned(), value: 0 }]);
    }
    let thread = libc::CLONE_THREAD.cast_unsigned();
    rules.when(SYS_clone, &[Test::Masked { argument: 0, mask: thread, value: thread }]);
    // How the standard library writes to a socket; with an address it would be a datagram to anywhere.
    rules.when(SYS_sendto, &[Test::Null { argument: 4 }]);
    // abort() and panics signal their own process; no other may be signaled.
    rules.when(SYS_tgkill, &[Test::Is { argument: 0, value: std::process::id() }]);
    // Reading a limit, not setting one.
    rules.when(SYS_prlimit64, &[Test::Null { argument: 2 }]);
    for option in [libc::PR_SET_NAME, libc::PR_GET_NAME, libc::PR_SET_VMA] {
        rules.when(SYS_prctl, &[Test::Is { argument: 0, value: option.cast_unsigned() }]);
    }
    // F_SETOWN, which makes the kernel send signals, is not among them.
    for command in
        [libc::F_GETFD, libc::F_SETFD, libc::F_GETFL, libc::F_SETFL, libc::F_DUPFD, libc::F_DUPFD_CLOEXEC]
    {
        rules.when(SYS_fcntl, &[Test::Is { argument: 1, value: command.cast_unsigned() }]);
    }
    for request in [libc::FIONBIO, libc::FIONREAD, libc::FIOCLEX] {
        rules.when(SYS_ioctl, &[Test::Is { argument: 1, value: request as u32 }]);
    }
    match role {
        Role::Worker => add_worker(&mut rules),
        Role::Gateway => add_gateway(&mut rules),
        Role::Vetting => rules.always(VETTING),
    }
    rules
}

fn add_worker(rules: &mut Rules) {
    rules.always(WORKER);
    // Landlock says which files; that they are only read is said here too.
    let writes = libc::O_ACCMODE
        | libc::O_CREAT
        | libc::O_TRUNC
        | libc::O_APPEND
        | (libc::O_TMPFILE & !libc::O_DIRECTORY)
        | libc::O_PATH;
    rules.when(SYS_openat, &[Test::Masked { argument: 2, mask: writes.cast_unsigned(), value: 0 }]);
}

fn add_gateway(rules: &mut Rules) {
    rules.always(GATEWAY);
    #[cfg(target_arch = "x86_64")]
    rules.always(&[libc::SYS_epoll_wait]);
    rules.when(SYS_socketpair, &[Test::Is { argument: 0, value: libc::AF_UNIX.cast_unsigned() }]);
    for level in [libc::SOL_SOCKET, libc::IPPROTO_TCP] {
        rules.when(SYS_setsockopt, &[Test::Is { argument: 1, value: level.cast_unsigned() }]);
    }
}
