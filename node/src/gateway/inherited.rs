//! The descriptors that the daemon hands over, by number. They are checked before they are taken: a gateway that is
//! started by hand says what is missing instead of touching somebody's file.
#![allow(unsafe_code)] // Turning an inherited number into a descriptor is a promise that only the parent can make.

use std::net::TcpListener;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;

use croft_proto::frames::SLOTS;
use rustix::net::{AddressFamily, SocketType, sockopt};

const LISTENER: RawFd = 3;
const CONTROL: RawFd = 4;
const LOCAL: RawFd = 5;
const FIRST_SLOT: RawFd = 6;

/// A descriptor is missing, or is something else.
#[derive(Debug, thiserror::Error)]
#[error(
    "descriptor {number} is not the {expected} that the daemon hands over; the gateway is started by croft-node run only"
)]
pub struct InheritedError {
    number: RawFd,
    expected: &'static str,
}

/// What the daemon hands over.
pub struct Inherited {
    /// Bound and listening.
    pub listener: TcpListener,
    /// Bound to a path, and listening.
    pub local: UnixListener,
    /// To the daemon.
    pub control: OwnedFd,
    /// To workers.
    pub slots: Vec<OwnedFd>,
}

/// Takes the descriptors. To be called once, first thing in the process.
///
/// # Errors
/// The first that is not what it should be.
pub fn take() -> Result<Inherited, InheritedError> {
    let listens = |fd: BorrowedFd<'_>| sockopt::socket_acceptconn(fd).unwrap_or(false);
    let is_unix = |fd: BorrowedFd<'_>| sockopt::socket_domain(fd).is_ok_and(|it| it == AddressFamily::UNIX);
    let listener = take_one(LISTENER, "listening socket", listens)?;
    let local = take_one(LOCAL, "listening Unix socket", |fd| listens(fd) && is_unix(fd))?;
    let packets =
        |fd: BorrowedFd<'_>| sockopt::socket_type(fd).is_ok_and(|kind| kind == SocketType::SEQPACKET);
    let control = take_one(CONTROL, "daemon's socket", packets)?;
    let slots = (FIRST_SLOT..)
        .take(SLOTS)
        .map(|number| take_one(number, "worker's socket", packets))
        .collect::<Result<_, _>>()?;
    Ok(Inherited { listener: listener.into(), local: local.into(), control, slots })
}

fn take_one(
    number: RawFd,
    expected: &'static str,
    is_as_expected: impl Fn(BorrowedFd<'_>) -> bool,
) -> Result<OwnedFd, InheritedError> {
    // SAFETY: borrowed for a getsockopt only, which answers EBADF if nothing is open under that number.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    if !is_as_expected(borrowed) {
        return Err(InheritedError { number, expected });
    }
    // SAFETY: open, as the check above showed; the numbers are ours by the contract with the daemon, this is called
    // once, before anything else in the process opens a descriptor, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
