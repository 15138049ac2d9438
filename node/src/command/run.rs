//! Putting the daemon together, and taking it apart on a signal.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use croft_domain::baseline::RemoteLinks;
use croft_domain::code::Code;
use croft_domain::data_class::DataClasses;
use croft_domain::digest::Sha256Digest;
use croft_domain::evidence::Mode;
use croft_domain::usage::UsageRules;
use croft_trust::digest::sha256_reader;
use rustix::fs::{FlockOperation, flock};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::agent::fetching;
use crate::agent::herald;
use crate::agent::keeper::Keeper;
use crate::agent::measuring;
use crate::agent::memory::Shared;
use crate::agent::recheck;
use crate::agent::senses::Senses;
use crate::agent::session::Session;
use crate::bundles::vet::Vetting;
use crate::capacity;
use crate::config::{Config, WorkerConfig};
use crate::controller_client::Recorder;
use crate::failure::Failure;
use crate::local;
use crate::spawn;
use crate::state::files::prepare;
use crate::state::paths::{Paths, Surroundings, find_executable};
use crate::state::sent::SentRing;
use crate::supervisor::doors::Doors;
use crate::supervisor::ledger::Ledger;
use crate::supervisor::policy::{Permission, Policy};
use crate::supervisor::runtime::{Judge, Runtime};
use crate::supervisor::{self, Allowance, Programs, Supervisor};

/// Holds the state folder for one daemon.
///
/// # Errors
/// `E-CONFLICT` if another daemon holds it, `E-STATE-UNWRITABLE` if it cannot be written.
pub fn lock(paths: &Paths) -> Result<File, Failure> {
    prepare(paths).map_err(|e| Failure::caused(e.code(), &e))?;
    let path = paths.state_file("lock");
    let file = File::create(&path).map_err(|e| Failure::caused(Code::StateUnwritable, &e))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
        Failure::new(Code::Conflict, format!("another croft-node works in {}", paths.state.display()))
    })?;
    Ok(file)
}

/// Runs the daemon until it is asked to end.
///
/// # Errors
/// If it cannot begin: state, port, executables.
pub async fn run(
    paths: Paths,
    mut config: Config,
    senses: Senses,
    around: &Surroundings,
) -> Result<(), Failure> {
    spawn::occupy_low_descriptors().map_err(|e| Failure::caused(Code::Internal, &e))?;
    let _lock = lock(&paths)?;
    let doors = Doors::bind(config.gateway.listen, &paths.api_socket(), paths.mode)?;
    config.gateway.listen = doors.loopback.local_addr().map_err(|e| Failure::caused(Code::Internal, &e))?;
    let ring = SentRing::open(&paths).map_err(|e| Failure::caused(e.code(), &e))?;
    let socket = local::bind(&paths)?;
    let shared = Arc::new(Shared::open(paths.clone(), Recorder::new(ring)));
    let programs = programs(&config, around, &shared)?;
    shared.memory().runtime = measure(&programs.worker.path);

    let stop = CancellationToken::new();
    let (sender, events) = supervisor::events();
    let vetting = Vetting::by(programs.node.clone());
    let supervisor = Supervisor::start(programs, doors, Ledger::open(paths.spent()), first_policy(), sender);
    shared.memory().capacity = Some(supervisor.capacity());
    tokio::spawn(measuring::run(Arc::clone(&shared), supervisor.stopwatch(), stop.clone()));
    let keeper = Keeper::new(Arc::clone(&shared), supervisor, config.clone());
    let session = Session {
        shared: Arc::clone(&shared),
        senses: Arc::clone(&senses),
        listen: config.gateway.listen,
        share: random_share(),
        stop: stop.clone(),
        event_log: config.identity.event_log.clone(),
        trust_checked: None,
    };
    let keeping = tokio::spawn(keeper.run(events, stop.clone()));
    // In system mode the daemon's own account is nobody's, and has no stores of tools.
    let own_home = around.home.clone().filter(|_| paths.mode == Mode::User);
    tokio::spawn(fetching::run(Arc::clone(&shared), vetting.clone(), own_home, stop.clone()));
    tokio::spawn(recheck::run(Arc::clone(&shared), stop.clone()));
    tokio::spawn(herald::run(Arc::clone(&shared), config.notify.clone(), stop.clone()));
    tokio::spawn(session.run());
    let eyes = local::Eyes { senses, vetting };
    let serving = tokio::spawn(local::serve(socket, shared, config.clone(), eyes, stop.clone()));
    println!(
        "croft-node is ready: API on http://{}, socket {}",
        config.gateway.listen,
        paths.socket().display()
    );

    wait_for_signal().await?;
    tracing::info!("ending");
    stop.cancel();
    // Processes first: nothing that serves outlives the daemon.
    let _ = keeping.await;
    serving.abort();
    for socket in [paths.socket(), paths.api_socket()] {
        let _ = std::fs::remove_file(socket);
    }
    Ok(())
}

/// What the gateway hears before anything is decided: no.
fn first_policy() -> Policy {
    let failure = Failure::new(Code::LeaseNone, "the daemon has only just started");
    Policy {
        permission: Permission::Refuse(failure),
        models: Vec::new(),
        uids: Vec::new(),
        api_key_sha256: String::new(),
        data_classes: DataClasses::new(),
        usage: UsageRules::default(),
        origins: Vec::new(),
        remote_links: RemoteLinks::default(),
    }
}

fn programs(config: &Config, around: &Surroundings, shared: &Arc<Shared>) -> Result<Programs, Failure> {
    let find = |name: &str| {
        find_executable(name, around)
            .ok_or_else(|| Failure::new(Code::Internal, format!("{name} is not installed beside croft-node")))
    };
    let node = around.executable.clone().map_or_else(|| find("croft-node"), Ok)?;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = match config.worker.threads {
        0 => u32::try_from(cores).unwrap_or(1),
        threads => threads,
    };
    let worker = Runtime { path: find("croft-worker")?, judge: judge(Arc::clone(shared)) };
    Ok(Programs { node, worker, threads, allowance: allowance(config) })
}

/// Judges a worker by the signed documents in force, and remembers what was measured last: evidence and recalls name it.
fn judge(shared: Arc<Shared>) -> Judge {
    Arc::new(move |digest| {
        let mut memory = shared.memory();
        memory.runtime = Some(*digest);
        memory.runtime_refusal(Some(digest)).map_or(Ok(()), Err)
    })
}

/// What workers may take here. Where the system does not say how much memory there is, none is taken for granted but
/// what the owner named.
fn allowance(config: &Config) -> Allowance {
    let WorkerConfig { threads: _, memory_mib, model_memory_mib, kv_type, idle_after_s: _, hang_after_s } =
        config.worker;
    let bytes = |mib: u64| mib.saturating_mul(1 << 20);
    Allowance {
        kv: kv_type,
        machine_bytes: capacity::memory_bytes().unwrap_or(bytes(memory_mib)),
        all_bytes: bytes(memory_mib),
        model_bytes: bytes(model_memory_mib),
        hang_after: Duration::from_secs(hang_after_s),
    }
}

/// What the worker is, for evidence and for recalls of it.
fn measure(worker: &std::path::Path) -> Option<Sha256Digest> {
    let measured = File::open(worker).and_then(sha256_reader);
    match measured {
        Ok((digest, _)) => Some(digest),
        Err(e) => {
            tracing::warn!(error = %e, "the worker could not be measured");
            None
        }
    }
}

fn random_share() -> u64 {
    let mut bytes = [0_u8; 2];
    // Without randomness every node of the fleet renews in the middle of its window, which is no harm to this one.
    if getrandom::fill(&mut bytes).is_err() {
        return 500;
    }
    u64::from(u16::from_le_bytes(bytes)) % 1001
}

async fn wait_for_signal() -> Result<(), Failure> {
    let failed = |e: std::io::Error| Failure::caused(Code::Internal, &e);
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
