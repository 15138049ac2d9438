//! Attempts to reach the network or another process by a socket. Everything aims at loopback and at names that
//! nobody serves.
#![allow(unsafe_code)] // Raw system calls: a wrapper might not make the one that is to be refused.

use super::{Outcome, Trial, outcome};

/// For every role.
pub(super) const TRIALS: &[Trial] = &[
    Trial { name: "tcp-connect", make: || socket_then_connect(libc::AF_INET, libc::SOCK_STREAM, 0) },
    Trial { name: "tcp6-socket", make: || socket(libc::AF_INET6, libc::SOCK_STREAM, 0) },
    Trial { name: "mptcp-socket", make: || socket(libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_MPTCP) },
    Trial { name: "udp-send", make: || socket_then_send(libc::SOCK_DGRAM, 0) },
    Trial { name: "tcp-fastopen", make: || socket_then_send(libc::SOCK_STREAM, libc::MSG_FASTOPEN) },
    Trial { name: "raw-socket", make: || socket(libc::AF_PACKET, libc::SOCK_RAW, 0) },
    Trial { name: "unix-path", make: || connect_unix(b"/run/croft-escape-attempt.sock") },
    Trial { name: "unix-abstract", make: || connect_unix(b"\0croft-escape-attempt") },
    Trial { name: "vsock", make: || socket(libc::AF_VSOCK, libc::SOCK_STREAM, 0) },
    Trial { name: "netlink", make: || socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE) },
    Trial { name: "connect", make: || connect(NO_DESCRIPTOR) },
    Trial { name: "bind", make: bind },
    Trial { name: "listen", make: listen },
    Trial { name: "sendto-address", make: || send(NO_DESCRIPTOR, 0) },
    Trial { name: "sendmsg", make: sendmsg },
    Trial { name: "recvmsg", make: recvmsg },
    Trial { name: "io-uring", make: io_uring },
    #[cfg(target_arch = "x86_64")]
    Trial { name: "x32-socket", make: x32_socket },
];

/// The gateway accepts connections, and its async runtime makes one socket pair for itself.
pub(super) const NOT_FOR_GATEWAY: &[Trial] =
    &[Trial { name: "accept", make: accept }, Trial { name: "socketpair", make: socketpair }];

/// Not open in any process: a call on it that is let through fails with `EBADF`, which is no refusal.
const NO_DESCRIPTOR: libc::c_int = -1;

/// The discard service's port; nobody listens there.
const DISCARD_PORT: u16 = 9;

fn loopback() -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: DISCARD_PORT.to_be(),
        sin_addr: libc::in_addr { s_addr: libc::INADDR_LOOPBACK.to_be() },
        sin_zero: [0; 8],
    }
}

fn open_socket(domain: libc::c_int, kind: libc::c_int, protocol: libc::c_int) -> libc::c_int {
    // SAFETY: socket takes integers only.
    unsafe { libc::socket(domain, kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, protocol) }
}

fn close(fd: libc::c_int) {
    if fd >= 0 {
        // SAFETY: the descriptor was opened by this module and is used nowhere else.
        unsafe { libc::close(fd) };
    }
}

fn socket(domain: libc::c_int, kind: libc::c_int, protocol: libc::c_int) -> Outcome {
    let fd = open_socket(domain, kind, protocol);
    let answer = outcome(fd.into());
    close(fd);
    answer
}

/// A socket that could be opened is a way out already; the connection is then tried for the record.
fn socket_then_connect(domain: libc::c_int, kind: libc::c_int, protocol: libc::c_int) -> Outcome {
    let fd = open_socket(domain, kind, protocol);
    let answer = outcome(fd.into());
    if answer == Outcome::LetThrough {
        connect(fd);
    }
    close(fd);
    answer
}

fn socket_then_send(kind: libc::c_int, flags: libc::c_int) -> Outcome {
    let fd = open_socket(libc::AF_INET, kind, 0);
    let opened = outcome(fd.into());
    let sent = send(fd, flags);
    close(fd);
    if opened == Outcome::LetThrough { opened } else { sent }
}

fn connect(fd: libc::c_int) -> Outcome {
    let address = loopback();
    let length = size_of_val(&address) as libc::socklen_t;
    // SAFETY: the address lives through the call and its length is its own.
    outcome(unsafe { libc::connect(fd, (&raw const address).cast(), length) }.into())
}

fn connect_unix(name: &[u8]) -> Outcome {
    let fd = open_socket(libc::AF_UNIX, libc::SOCK_STREAM, 0);
    let opened = outcome(fd.into());
    let mut address =
        libc::sockaddr_un { sun_family: libc::AF_UNIX as libc::sa_family_t, sun_path: [0; 108] };
    for (to, from) in address.sun_path.iter_mut().zip(name) {
        *to = from.cast_signed() as libc::c_char;
    }
    let length = (size_of::<libc::sa_family_t>() + name.len()) as libc::socklen_t;
    // SAFETY: the address lives through the call; the length covers the family and the name, both within it.
    let connected = outcome(unsafe { libc::connect(fd, (&raw const address).cast(), length) }.into());
    close(fd);
    if opened == Outcome::LetThrough { opened } else { connected }
}

fn bind() -> Outcome {
    let address = loopback();
    let length = size_of_val(&address) as libc::socklen_t;
    // SAFETY: the address lives through the call and its length is its own.
    outcome(unsafe { libc::bind(NO_DESCRIPTOR, (&raw const address).cast(), length) }.into())
}

fn listen() -> Outcome {
    // SAFETY: listen takes integers only.
    outcome(unsafe { libc::listen(NO_DESCRIPTOR, 1) }.into())
}

fn accept() -> Outcome {
    // SAFETY: null addresses ask for none to be written.
    outcome(unsafe { libc::accept4(NO_DESCRIPTOR, std::ptr::null_mut(), std::ptr::null_mut(), 0) }.into())
}

fn socketpair() -> Outcome {
    let mut pair = [NO_DESCRIPTOR; 2];
    // SAFETY: the kernel writes two descriptors into an array of two.
    let made = unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, pair.as_mut_ptr()) };
    let answer = outcome(made.into());
    pair.into_iter().for_each(close);
    answer
}

fn send(fd: libc::c_int, flags: libc::c_int) -> Outcome {
    let address = loopback();
    let length = size_of_val(&address) as libc::socklen_t;
    let nothing = [0_u8; 1];
    // SAFETY: buffer and address live through the call, each with its own length.
    let sent = unsafe {
        libc::sendto(
            fd,
            nothing.as_ptr().cast(),
            nothing.len(),
            flags | libc::MSG_NOSIGNAL,
            (&raw const address).cast(),
            length,
        )
    };
    outcome(sent as libc::c_long)
}

fn sendmsg() -> Outcome {
    // SAFETY: a message header of zeros is valid and empty; it lives through the call.
    outcome(unsafe {
        let message: libc::msghdr = std::mem::zeroed();
        libc::sendmsg(NO_DESCRIPTOR, &raw const message, libc::MSG_NOSIGNAL) as libc::c_long
    })
}

fn recvmsg() -> Outcome {
    // SAFETY: a message header of zeros is valid and gives the kernel nowhere to write; it lives through the call.
    outcome(unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        libc::recvmsg(NO_DESCRIPTOR, &raw mut message, libc::MSG_DONTWAIT) as libc::c_long
    })
}

/// The same call by its other number, which a filter that lists numbers can overlook. A kernel without x32 answers
/// `ENOSYS`, but only after the filter has let it through.
#[cfg(target_arch = "x86_64")]
fn x32_socket() -> Outcome {
    const X32_BIT: libc::c_long = 0x4000_0000;
    // SAFETY: socket takes integers only.
    let fd = unsafe { libc::syscall(X32_BIT | libc::SYS_socket, libc::AF_INET, libc::SOCK_STREAM, 0) };
    let answer = outcome(fd);
    close(fd as libc::c_int);
    answer
}

fn io_uring() -> Outcome {
    // struct io_uring_params is 120 bytes; zeros ask for the defaults.
    let mut parameters = [0_u64; 15];
    // SAFETY: the kernel reads and writes one io_uring_params behind the pointer, which has its size and alignment.
    let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, parameters.as_mut_ptr()) };
    let answer = outcome(fd);
    close(fd as libc::c_int);
    answer
}
