//! The two sides of a comparison: a fleet of one workstation, and the peer.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use croft_e2e::controller::REPORTING_BASELINE;
use croft_e2e::process::Daemon;
use croft_e2e::{E2eError, Fleet, Workstation};

use crate::stream::Endpoint;

/// How both sides are set up.
#[derive(Clone)]
pub struct Settings {
    /// GGUF file.
    pub model: PathBuf,
    /// A command line with `{…}` places, or a base URL.
    pub peer: String,
    /// Pairs of each figure.
    pub pairs: usize,
    /// Streams at a time.
    pub slots: u32,
    /// Tokens a slot.
    pub context: u32,
    /// Threads that compute.
    pub threads: usize,
}

impl Settings {
    /// Files of one model to choose from, with pairs and threads; none if they are not named.
    ///
    /// # Errors
    /// If a number is none.
    pub fn variants() -> Result<Option<(Vec<PathBuf>, usize, usize)>, E2eError> {
        let Ok(files) = std::env::var("CROFT_BENCH_VARIANTS") else { return Ok(None) };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let files = files.split(',').map(PathBuf::from).collect();
        Ok(Some((files, number("PAIRS", 10)?.max(2), number("THREADS", cores)?)))
    }

    /// From `CROFT_BENCH_*`; none if no model or no peer is named.
    ///
    /// # Errors
    /// If a number is none.
    pub fn from_environment() -> Result<Option<Self>, E2eError> {
        let (Some(model), Some(peer)) = (text("MODEL"), text("PEER")) else { return Ok(None) };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let short =
            |value: usize| u32::try_from(value).map_err(|e| E2eError::unexpected("a small number", e));
        Ok(Some(Self {
            model: model.into(),
            peer,
            pairs: number("PAIRS", 10)?.max(2),
            slots: short(number("SLOTS", 8)?)?,
            context: short(number("CONTEXT", 4608)?)?,
            threads: number("THREADS", cores)?,
        }))
    }
}

fn text(name: &str) -> Option<String> {
    std::env::var(format!("CROFT_BENCH_{name}")).ok()
}

fn number(name: &str, default: usize) -> Result<usize, E2eError> {
    let parsed = |value: String| {
        value.parse().map_err(|_| E2eError::unexpected("a number", format!("{name}={value}")))
    };
    text(name).map_or(Ok(default), parsed)
}

/// Croft, published and enrolled, with its daemon running or not.
pub struct Ours {
    station: Workstation,
    _fleet: Fleet,
}

impl Ours {
    /// Publishes the model and enrolls a workstation.
    ///
    /// # Errors
    /// Whatever step fails.
    pub fn start(folder: &Path, settings: &Settings) -> Result<Self, E2eError> {
        let fleet = Fleet::start(&folder.join("fleet"))?;
        fleet.apply(REPORTING_BASELINE)?;
        fleet.ctl(&["assign", "baseline", "starter@1", "--group", "dev", "--tier", "1"])?;
        let (file, slots) = (settings.model.display().to_string(), settings.slots.to_string());
        let context = settings.context.to_string();
        fleet.ctl(&[
            "bundle",
            "import",
            "measured",
            &file,
            "--license",
            "Apache-2.0",
            "--source",
            "made for measuring",
            "--unlisted",
            "--alias",
            "complete",
            "--context",
            &context,
            "--slots",
            &slots,
        ])?;
        fleet.ctl(&["bundle", "approve", "measured@1", "--allow-source"])?;
        fleet.ctl(&["bundle", "publish", "measured@1"])?;
        fleet.ctl(&["assign", "bundle", "measured@1", "--group", "dev"])?;
        let mut station = Workstation::new(&folder.join("workstation"))?;
        station.configure(&format!("[worker]\nthreads = {}\n", settings.threads))?;
        station.start()?;
        station.enroll(&fleet.invite(&[])?)?;
        station.wait_until_serving(300)?;
        Ok(Self { station, _fleet: fleet })
    }

    /// Ends the daemon, starts it again and gives the milliseconds until the model answers.
    ///
    /// # Errors
    /// If it does not come back.
    pub fn restart(&mut self) -> Result<f64, E2eError> {
        self.station.stop()?;
        let start = Instant::now();
        self.station.start()?;
        ready(&self.endpoint()?, start)
    }

    /// Where it answers.
    ///
    /// # Errors
    /// If the daemon does not give the key.
    pub fn endpoint(&self) -> Result<Endpoint, E2eError> {
        let key = Some(self.station.api_key()?);
        Ok(Endpoint { base: self.station.gateway(), key, model: "complete".into() })
    }

    /// Daemon, gateway and worker.
    ///
    /// # Errors
    /// If one does not run.
    pub fn pids(&self) -> Result<Vec<u32>, E2eError> {
        let mut pids = vec![self.station.pid_of("gateway")?, self.station.pid_of("worker")?];
        pids.extend(self.station.pid());
        Ok(pids)
    }
}

/// The other server.
pub struct Peer {
    settings: Settings,
    log: PathBuf,
    running: Option<(Daemon, String)>,
}

impl Peer {
    /// Starts it, if it is given as a command.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(folder: &Path, settings: &Settings) -> Result<Self, E2eError> {
        let mut peer = Self { settings: settings.clone(), log: folder.join("peer.log"), running: None };
        peer.restart()?;
        Ok(peer)
    }

    /// Starts it anew and gives the milliseconds until the model answers; none if it is not ours to start.
    ///
    /// # Errors
    /// If it does not come back.
    pub fn restart(&mut self) -> Result<Option<f64>, E2eError> {
        if self.settings.peer.starts_with("http") {
            return Ok(None);
        }
        if let Some((mut daemon, _)) = self.running.take() {
            daemon.stop()?;
        }
        let port = free_port()?.to_string();
        let all = (self.settings.slots * self.settings.context).to_string();
        let line = self
            .settings
            .peer
            .replace("{model}", &self.settings.model.display().to_string())
            .replace("{port}", &port)
            .replace("{slots}", &self.settings.slots.to_string())
            .replace("{context_all}", &all)
            .replace("{threads}", &self.settings.threads.to_string());
        let mut words = line.split_whitespace();
        let mut command = Command::new(words.next().unwrap_or_default());
        let start = Instant::now();
        let daemon = Daemon::start("the peer", command.args(words), &self.log)?;
        self.running = Some((daemon, format!("http://127.0.0.1:{port}")));
        ready(&self.endpoint(), start).map(Some)
    }

    /// Where it answers.
    pub fn endpoint(&self) -> Endpoint {
        let base = self.running.as_ref().map_or(&self.settings.peer, |(_, base)| base);
        Endpoint { base: base.trim_end_matches('/').to_owned(), key: None, model: "default".into() }
    }

    /// Its process, if we started it.
    pub fn pids(&self) -> Vec<u32> {
        self.running.iter().map(|(daemon, _)| daemon.pid()).collect()
    }
}

// Asks until the model answers, as a user's editor would: a started process is not yet a ready one.
fn ready(endpoint: &Endpoint, start: Instant) -> Result<f64, E2eError> {
    loop {
        match endpoint.complete("one", 1, None) {
            Ok(_) => return Ok(start.elapsed().as_secs_f64() * 1e3),
            Err(last) if start.elapsed() > Duration::from_secs(120) => return Err(last),
            Err(_) => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}

fn free_port() -> Result<u16, E2eError> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(E2eError::io("find a free port"))?;
    listener.local_addr().map(|a| a.port()).map_err(E2eError::io("find a free port"))
}

/// Resident memory of processes together, in MiB.
pub fn resident_mib(pids: &[u32]) -> f64 {
    let kib = |pid: &u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default().to_owned();
        line.split_whitespace().nth(1).and_then(|n| n.parse::<f64>().ok()).unwrap_or_default()
    };
    pids.iter().map(kib).sum::<f64>() / 1024.0
}
