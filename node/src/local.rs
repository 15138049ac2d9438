//! The daemon's Unix socket, where `croft` asks. Who asks is known from the socket: the daemon's own account, root, and
//! the accounts that the machine was enrolled for. This room names the wire types of that socket and decides nothing.

mod answers;
mod models;
mod parts;
mod service;

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use croft_domain::code::Code;
use croft_proto::grpc::local_server::LocalServer;
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;

use crate::agent::memory::Shared;
use crate::agent::senses::Senses;
use crate::bundles::vet::Vetting;
use crate::config::Config;
use crate::failure::Failure;
use crate::state::paths::Paths;

pub use service::Service;

/// What the daemon judges the machine and its files by.
pub struct Eyes {
    /// The machine.
    pub senses: Senses,
    /// Files.
    pub vetting: Vetting,
}

/// Binds the socket. The caller holds the state's lock, so a socket that is there is a dead daemon's.
///
/// # Errors
/// `E-STATE-UNWRITABLE` if the run folder cannot be written.
pub fn bind(paths: &Paths) -> Result<UnixListener, Failure> {
    let unwritable = |e: std::io::Error| {
        Failure::new(Code::StateUnwritable, format!("cannot listen on {}: {e}", paths.socket().display()))
    };
    std::fs::create_dir_all(&paths.run).map_err(unwritable)?;
    match std::fs::remove_file(paths.socket()) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(unwritable(e)),
        _ => {}
    }
    let listener = UnixListener::bind(paths.socket()).map_err(unwritable)?;
    // Anybody may connect; who may ask is decided by the account at the other end.
    let anyone = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(paths.socket(), anyone).map_err(unwritable)?;
    Ok(listener)
}

/// Serves until stopped.
pub async fn serve(
    listener: UnixListener,
    shared: Arc<Shared>,
    config: Config,
    eyes: Eyes,
    stop: CancellationToken,
) {
    let service = Service::new(shared, config, eyes);
    let served = tonic::transport::Server::builder()
        .add_service(LocalServer::new(service))
        .serve_with_incoming_shutdown(UnixListenerStream::new(listener), stop.cancelled())
        .await;
    if let Err(e) = served {
        tracing::error!(error = %e, "the local socket failed");
    }
}
