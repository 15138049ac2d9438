//! Descriptors that the daemon passed by number.
#![allow(unsafe_code)] // Owning a descriptor that came as a number cannot be expressed otherwise.

use std::fs::File;
use std::os::fd::{BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use rustix::net::SocketType;

use crate::args::Args;
use crate::fault::Fault;

/// What a worker is born with.
#[derive(Debug)]
pub struct Inherited {
    /// This worker's end of its slot.
    pub slot: OwnedFd,
    /// Where the daemon hears how the start goes.
    pub report: OwnedFd,
    /// The verified model, in one file or in the order of its shards.
    pub model: Vec<File>,
    /// The approved chat template.
    pub template: Option<File>,
    /// What the model must show.
    pub trial: Option<File>,
}

/// Takes ownership of the descriptors named in `args`. Called once, before anything else opens a descriptor.
///
/// # Errors
/// [`Fault::Descriptor`] if one is missing, named twice, or of another kind.
pub fn inherit(args: &Args) -> Result<Inherited, Fault> {
    let mut fds = vec![args.slot_fd, args.report_fd];
    fds.extend(&args.model_fds);
    fds.extend(args.template_fd);
    fds.extend(args.trial_fd);
    distinct(&fds)?;
    Ok(Inherited {
        slot: socket(args.slot_fd)?,
        report: socket(args.report_fd)?,
        model: args.model_fds.iter().map(|fd| own(*fd).map(File::from)).collect::<Result<_, _>>()?,
        template: args.template_fd.map(own).transpose()?.map(File::from),
        trial: args.trial_fd.map(own).transpose()?.map(File::from),
    })
}

/// Takes ownership of a model and a template.
///
/// # Errors
/// As [`inherit`].
pub fn inherit_files(model: RawFd, template: RawFd) -> Result<(File, File), Fault> {
    distinct(&[model, template])?;
    Ok((File::from(own(model)?), File::from(own(template)?)))
}

fn distinct(fds: &[RawFd]) -> Result<(), Fault> {
    let twice = fds.iter().enumerate().find(|(index, fd)| fds[..*index].contains(fd));
    twice.map_or(Ok(()), |(_, fd)| Err(Fault::Descriptor(*fd)))
}

/// Takes ownership of a descriptor that the daemon listens on.
///
/// # Errors
/// [`Fault::Descriptor`] if it is missing or of another kind.
pub fn socket(fd: RawFd) -> Result<OwnedFd, Fault> {
    let owned = own(fd)?;
    match rustix::net::sockopt::socket_type(&owned) {
        Ok(SocketType::SEQPACKET) => Ok(owned),
        _ => Err(Fault::Descriptor(fd)),
    }
}

fn own(fd: RawFd) -> Result<OwnedFd, Fault> {
    if fd < 3 {
        return Err(Fault::Descriptor(fd));
    }
    // SAFETY: the borrow lasts for this one call, which fails with EBADF if nothing is open there.
    let open = rustix::io::fcntl_getfd(unsafe { BorrowedFd::borrow_raw(fd) });
    open.map_err(|_| Fault::Descriptor(fd))?;
    // SAFETY: the descriptor is open, came from the daemon for this purpose, and `inherit` takes each number once.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
