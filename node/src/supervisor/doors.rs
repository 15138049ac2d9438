//! Where the local API listens: a port of loopback, and a Unix socket in the run folder. Both are bound once by the daemon
//! and handed to each gateway, so that nobody can take their place while one is started again.

use std::fs::Permissions;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use croft_domain::code::Code;
use croft_domain::evidence::Mode;

use crate::failure::Failure;

/// Both listeners.
#[derive(Debug)]
pub struct Doors {
    /// Over loopback.
    pub loopback: TcpListener,
    /// At a path.
    pub local: UnixListener,
}

impl Doors {
    /// Binds both. There is never another port than the one that was asked for. The caller holds the state's lock, so a
    /// socket that is at the path already is a dead daemon's.
    ///
    /// # Errors
    /// `E-PORT-TAKEN` if another program listens there, `E-STATE-UNWRITABLE` if the socket cannot be made.
    pub fn bind(listen: SocketAddr, path: &Path, mode: Mode) -> Result<Self, Failure> {
        Ok(Self { loopback: loopback(listen)?, local: local(path, mode)? })
    }
}

fn loopback(listen: SocketAddr) -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind(listen).map_err(|e| match e.kind() {
        io::ErrorKind::AddrInUse => {
            Failure::new(Code::PortTaken, format!("another program listens on {listen}"))
        }
        _ => Failure::new(Code::PortTaken, format!("cannot listen on {listen}: {e}")),
    })?;
    // The gateway's own loop accepts without blocking.
    listener.set_nonblocking(true).map_err(|e| Failure::caused(Code::Internal, &e))?;
    Ok(listener)
}

fn local(path: &Path, mode: Mode) -> Result<UnixListener, Failure> {
    let unwritable = |e: io::Error| {
        Failure::new(Code::StateUnwritable, format!("cannot listen on {}: {e}", path.display()))
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(unwritable)?;
    }
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(unwritable(e)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(unwritable)?;
    listener.set_nonblocking(true).map_err(unwritable)?;
    let permissions = Permissions::from_mode(match mode {
        Mode::User => 0o600,
        // The daemon's account is nobody's: anybody may connect, and the gateway asks the kernel who did, as it does
        // of connections over loopback.
        Mode::System => 0o666,
    });
    std::fs::set_permissions(path, permissions).map_err(unwritable)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_taken_port_is_an_error_and_never_another_port() {
        let first = loopback("127.0.0.1:0".parse().expect("address")).expect("a free port");
        let taken = first.local_addr().expect("bound");
        let refused = loopback(taken).expect_err("taken");
        assert_eq!(refused.code(), Code::PortTaken);
        assert!(refused.message().contains(&taken.to_string()));
    }

    #[test]
    fn a_persons_socket_is_that_persons_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("run/api.sock");
        for (mode, expected) in [(Mode::User, 0o600), (Mode::System, 0o666), (Mode::User, 0o600)] {
            // The last one finds what the one before it left.
            local(&path, mode).expect("bound");
            assert_eq!(std::fs::metadata(&path).expect("a socket").mode() & 0o777, expected);
        }
        std::fs::remove_file(&path).expect("removed");
        std::fs::create_dir(&path).expect("something else");
        assert_eq!(local(&path, Mode::User).expect_err("in the way").code(), Code::StateUnwritable);
    }
}
