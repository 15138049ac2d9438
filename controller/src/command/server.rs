//! A whole controller, started and stopped as one value.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use croft_domain::code::Code;
use croft_trust::store::TrustError;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::app::{App, Hub, Mirror, Nonces, Retention};
use crate::blobs::Blobs;
use crate::config::{ConfigError, Endpoint, Opened, State};
use crate::metrics::Metrics;
use crate::store::{Store, StoreError};
use crate::tls::{self, Connections, Listener, TlsError};
use crate::{api, clock, limits};

/// How a controller is to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its state folder.
    pub state: State,
    /// Where nodes connect; none: as `init` said.
    pub listen: Option<String>,
    /// Where health and metrics are. A loopback address.
    pub metrics: String,
    /// `sqlite:PATH` or `postgres://…`; none: a file in the state folder.
    pub database: Option<String>,
    /// How often a report is made; none: only when asked.
    pub report_every: Option<Duration>,
    /// How long a node's certificate lasts, in seconds.
    pub node_certificate_s: u64,
    /// How long bodies of evidence and verdicts are kept.
    pub retention: Retention,
}

/// A controller could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state folder.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The mirror of the signed state.
    #[error("the mirror of the signed state is not to be used")]
    Trust(#[from] TrustError),
    /// The listener.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The folder of blobs.
    #[error("cannot open {}", path.display())]
    Blobs {
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The port of health and metrics.
    #[error("cannot listen on {address} for health and metrics")]
    Monitor {
        /// Where.
        address: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Health and metrics are plain HTTP.
    #[error("--metrics {0}: expected a loopback address, because it is served without TLS")]
    MonitorExposed(String),
}

impl StartError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Config(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::Trust(error) => error.code(),
            Self::Tls(error) => error.code(),
            Self::Blobs { .. } => Code::StateUnwritable,
            Self::Monitor { .. } => Code::PortTaken,
            Self::MonitorExposed(_) => Code::Input,
        }
    }
}

/// A running controller.
pub struct Running {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// Its use cases.
    pub app: Arc<App>,
    stop: CancellationToken,
    serving: JoinHandle<()>,
    _lock: Opened,
}

impl Running {
    /// Waits until it ends by itself, which it does only when told to stop.
    pub async fn ended(&mut self) {
        let _ = (&mut self.serving).await;
    }

    /// Stops accepting, lets requests in flight end within the drain's time, closes the database.
    pub async fn stop(mut self) {
        self.stop.cancel();
        self.ended().await;
        self.app.store.close().await;
    }
}

/// Starts a controller. It answers when this returns.
///
/// # Errors
/// See [`StartError`].
pub async fn start(plan: &Plan) -> Result<Running, StartError> {
    let opened = plan.state.open()?;
    let folder = plan.state.folder();
    let address = plan.database.clone().unwrap_or_else(|| Store::default_address(folder));
    let store = Store::open(&address).await?;
    if let Some(token_sha256) = &opened.bootstrap_sha256 {
        store.offer_bootstrap(token_sha256).await?;
    }
    let blobs_folder = folder.join("blobs");
    let blobs =
        Blobs::open(&blobs_folder).map_err(|source| StartError::Blobs { path: blobs_folder, source })?;
    let mirror = Mirror::open(folder)?;
    let connections = Connections::default();
    let identity =
        opened.authority.server(&opened.settings.hosts, clock::now()).map_err(TlsError::Certify)?;
    let authority = opened.authority.clone();
    let config = tls::server_config(&authority, identity)?;
    let listen = plan.listen.as_deref().unwrap_or(&opened.settings.listen);
    let listener = Listener::bind(listen, config, authority.clone(), connections.clone()).await?;
    let monitor = bind_monitor(&plan.metrics).await?;
    let monitor_address = monitor
        .local_addr()
        .map_err(|source| StartError::Monitor { address: plan.metrics.clone(), source })?;

    let app = Arc::new(App {
        fleet: opened.settings.fleet,
        fleet_name: opened.settings.fleet_name.clone(),
        store,
        blobs,
        authority,
        node_certificate_s: plan.node_certificate_s,
        retention: plan.retention,
        lease_key: opened.lease_key.clone(),
        nonces: Nonces::new(&opened.nonce_key),
        mirror,
        hub: Hub::default(),
        connections,
        metrics: Metrics::default(),
    });
    if let Some(published) = app.mirror.current() {
        app.metrics.metadata_expires_at.set(i64::try_from(published.view.expires_at.0).unwrap_or(i64::MAX));
    }
    let endpoint = Endpoint { listen: listener.address().to_string(), metrics: monitor_address.to_string() };
    plan.state.write_endpoint(&endpoint)?;
    let stop = CancellationToken::new();
    let router = api::router(app.clone(), stop.clone());
    tokio::spawn(serve_monitor(monitor, api::monitor(app.clone()), stop.clone()));
    tokio::spawn(report_on_schedule(app.clone(), plan.report_every, stop.clone()));
    tokio::spawn(erase_on_schedule(app.clone(), stop.clone()));
    let serving = tokio::spawn(tls::serve(listener, router, stop.clone()));
    tracing::info!(listen = %endpoint.listen, metrics = %endpoint.metrics, fleet = %app.fleet, "serving");
    Ok(Running { endpoint, app, stop, serving, _lock: opened })
}

async fn bind_monitor(address: &str) -> Result<TcpListener, StartError> {
    let parsed: SocketAddr = address.parse().map_err(|_| StartError::MonitorExposed(address.to_owned()))?;
    if !parsed.ip().is_loopback() {
        return Err(StartError::MonitorExposed(address.to_owned()));
    }
    TcpListener::bind(parsed)
        .await
        .map_err(|source| StartError::Monitor { address: address.to_owned(), source })
}

async fn serve_monitor(socket: TcpListener, router: axum::Router, stop: CancellationToken) {
    let served = axum::serve(socket, router).with_graceful_shutdown(async move { stop.cancelled().await });
    if let Err(error) = served.await {
        tracing::error!(%error, "health and metrics ended");
    }
}

async fn report_on_schedule(app: Arc<App>, every: Option<Duration>, stop: CancellationToken) {
    let Some(every) = every else { return };
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = app.create_scheduled_report(clock::now()).await {
            tracing::error!(%error, "the scheduled report failed");
        }
    }
}

// At the start too: a controller that is restarted every day must not keep what is old for ever.
async fn erase_on_schedule(app: Arc<App>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(Duration::from_secs(limits::ERASE_EVERY_S));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = app.erase_what_is_old(clock::now()).await {
            tracing::error!(%error, "what is old was not erased");
        }
    }
}
