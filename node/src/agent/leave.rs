//! Leaving the fleet: ends everything the organization had here, with or without a controller, with or without a daemon.

use std::path::PathBuf;

use croft_domain::code::Code;

use super::counters::Counters;
use super::memory::{Kept, Shared};
use crate::clock;
use crate::controller_client::{Enrolled, Recorder};
use crate::failure::Failure;
use crate::limits::FAREWELL_TIMEOUT;
use crate::state::erase::erase;
use crate::state::identity::{self, Identity};
use crate::state::measured::Measured;
use crate::state::paths::Paths;
use crate::state::sent::SentRing;

/// What leaving did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departure {
    /// Whether the controller heard of it. If not, its admin sees a node that no longer reports.
    pub controller_told: bool,
    /// What was erased.
    pub erased: Vec<PathBuf>,
    /// Lines for the owner to keep.
    pub receipt: String,
}

/// Leaves, within a running daemon.
///
/// # Errors
/// If something could not be erased.
pub async fn leave(shared: &Shared) -> Result<Departure, Failure> {
    let (identity, pins) = {
        let memory = shared.memory();
        (memory.identity.clone(), memory.pins())
    };
    if identity.is_none() && shared.memory().broken.is_none() {
        return Err(Failure::new(Code::NotEnrolled, "this machine is not enrolled"));
    }
    let told = farewell(identity.as_ref(), &pins, &shared.recorder).await;
    // From here on nothing serves, fetches or reports, whatever else happens.
    shared.left.notify_one();
    {
        let mut memory = shared.memory();
        memory.identity = None;
        memory.trust = None;
        memory.lease = None;
        memory.verdict = None;
        memory.broken = None;
        memory.alarm = None;
        memory.chain_alarm = None;
        memory.attested_at = None;
        memory.history.clear();
        memory.recalls.clear();
        memory.bundles.clear();
        memory.counters = Counters::default();
        memory.receipts.clear();
        memory.measured = Measured::default();
        memory.agreed.clear();
        memory.kept = Kept::default();
    }
    shared.changed();
    shared.fetch.notify_one();
    let mut store = shared.trust_store.lock().await;
    *store = None;
    let mut erased = erase_all(&shared.paths)?;
    // A task that was just writing when it heard of it may have put something back.
    tokio::task::yield_now().await;
    erased.extend(erase_all(&shared.paths)?);
    erased.dedup();
    Ok(departure(identity.as_ref(), told, erased))
}

/// Leaves without a daemon. Also cleans up after one that cannot start because its state is damaged.
///
/// # Errors
/// If something could not be erased.
pub async fn leave_without_daemon(paths: &Paths) -> Result<Departure, Failure> {
    // What cannot be read cannot say farewell, and is erased all the same.
    let identity = identity::load(paths).ok().flatten();
    let told = match (&identity, SentRing::open(paths)) {
        (Some(identity), Ok(ring)) => {
            let pins = [identity.enrollment.ca_pin];
            farewell(Some(identity), &pins, &Recorder::new(ring)).await
        }
        _ => false,
    };
    let erased = erase_all(paths)?;
    Ok(departure(identity.as_ref(), told, erased))
}

fn erase_all(paths: &Paths) -> Result<Vec<PathBuf>, Failure> {
    erase(paths).map_err(|e| Failure::caused(e.code(), &e))
}

async fn farewell(
    identity: Option<&Identity>,
    pins: &[croft_domain::digest::Sha256Digest],
    recorder: &Recorder,
) -> bool {
    let Some(identity) = identity else { return false };
    let saying = async {
        let client = Enrolled::connect(identity, pins, recorder.clone()).await?;
        client.leave(identity.enrollment.node, &identity.key, clock::now()).await
    };
    match tokio::time::timeout(FAREWELL_TIMEOUT, saying).await {
        Ok(Ok(())) => true,
        Ok(Err(e)) => {
            tracing::info!(code = %e.code(), "the controller was not told");
            false
        }
        Err(_) => false,
    }
}

fn departure(identity: Option<&Identity>, controller_told: bool, erased: Vec<PathBuf>) -> Departure {
    let at = i64::try_from(clock::now().0).ok().and_then(|s| jiff::Timestamp::from_second(s).ok());
    let at = at.map(|at| at.to_string()).unwrap_or_default();
    let whom = identity.map_or_else(
        || "this machine".to_owned(),
        |id| format!("node {} of fleet {}", id.enrollment.node, id.enrollment.fleet_name),
    );
    let told = if controller_told {
        "The controller confirmed it."
    } else {
        "The controller was not reached; its admin will see that this node no longer reports."
    };
    let list: String = erased.iter().map(|path| format!("\n  {}", path.display())).collect();
    let receipt = format!("{at}: {whom} left. {told}\nErased:{list}\nKept: node.toml, which is yours.");
    Departure { controller_told, erased, receipt }
}
