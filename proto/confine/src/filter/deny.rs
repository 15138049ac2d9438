//! The first stage's list: every way to the network, to other processes and to new code from disk. Libraries can
//! still be loaded.

use libc::{
    SYS_accept, SYS_accept4, SYS_add_key, SYS_bind, SYS_bpf, SYS_chroot, SYS_clone, SYS_connect,
    SYS_delete_module, SYS_execve, SYS_execveat, SYS_fanotify_init, SYS_finit_module, SYS_fsconfig,
    SYS_fsmount, SYS_fsopen, SYS_fspick, SYS_init_module, SYS_io_uring_enter, SYS_io_uring_register,
    SYS_io_uring_setup, SYS_ioctl, SYS_kcmp, SYS_kexec_file_load, SYS_kexec_load, SYS_keyctl, SYS_listen,
    SYS_memfd_create, SYS_memfd_secret, SYS_mount, SYS_mount_setattr, SYS_move_mount, SYS_mq_open,
    SYS_name_to_handle_at, SYS_open_by_handle_at, SYS_open_tree, SYS_perf_event_open, SYS_pidfd_getfd,
    SYS_pidfd_open, SYS_pivot_root, SYS_process_madvise, SYS_process_vm_readv, SYS_process_vm_writev,
    SYS_ptrace, SYS_quotactl, SYS_recvmmsg, SYS_recvmsg, SYS_request_key, SYS_sendmmsg, SYS_sendmsg,
    SYS_sendto, SYS_setns, SYS_socket, SYS_socketpair, SYS_swapoff, SYS_swapon, SYS_umount2, SYS_unshare,
    SYS_userfaultfd,
};

use super::{Rules, Test};
use crate::Role;

/// `recvmsg` can bring in a descriptor, and `sendmsg` can name an address behind a pointer: both are denied whole.
const ALL_ROLES: &[libc::c_long] = &[
    SYS_socket,
    SYS_connect,
    SYS_bind,
    SYS_listen,
    SYS_sendmsg,
    SYS_sendmmsg,
    SYS_recvmsg,
    SYS_recvmmsg,
    SYS_io_uring_setup,
    SYS_io_uring_enter,
    SYS_io_uring_register,
    SYS_execve,
    SYS_execveat,
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_process_madvise,
    SYS_pidfd_open,
    SYS_pidfd_getfd,
    SYS_kcmp,
    SYS_memfd_create,
    SYS_memfd_secret,
    SYS_mq_open,
    SYS_bpf,
    SYS_userfaultfd,
    SYS_perf_event_open,
    SYS_fanotify_init,
    SYS_name_to_handle_at,
    SYS_open_by_handle_at,
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    SYS_open_tree,
    SYS_move_mount,
    SYS_mount_setattr,
    SYS_fsopen,
    SYS_fsconfig,
    SYS_fsmount,
    SYS_fspick,
    SYS_unshare,
    SYS_setns,
    SYS_quotactl,
    SYS_swapon,
    SYS_swapoff,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_kexec_load,
    SYS_kexec_file_load,
    SYS_add_key,
    SYS_request_key,
    SYS_keyctl,
];

pub(super) fn rules(role: Role) -> Rules {
    let mut rules = Rules::default();
    rules.always(ALL_ROLES);
    // With an address it is a datagram to anywhere, or TCP Fast Open.
    rules.when(SYS_sendto, &[Test::NotNull { argument: 4 }]);
    rules
        .when(SYS_clone, &[Test::Masked { argument: 0, mask: libc::CLONE_THREAD.cast_unsigned(), value: 0 }]);
    // Types into the terminal that the daemon was started from.
    rules.when(SYS_ioctl, &[Test::Is { argument: 1, value: libc::TIOCSTI as u32 }]);
    #[cfg(target_arch = "x86_64")]
    rules.always(&[libc::SYS_fork, libc::SYS_vfork]);
    match role {
        // Its async runtime wakes itself through a pair; both ends stay inside the process.
        Role::Gateway => {
            let unix = libc::AF_UNIX.cast_unsigned();
            rules.when(SYS_socketpair, &[Test::IsNot { argument: 0, value: unix }]);
        }
        Role::Worker | Role::Vetting => rules.always(&[SYS_socketpair, SYS_accept, SYS_accept4]),
    }
    rules
}
