//! What the agent asks of the rooms that observe the machine, as one value, so that tests can give it other senses.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use croft_domain::baseline::Baseline;
use croft_domain::census::{Catalog, Finding};
use croft_domain::collection::{Collection, Item};
use croft_domain::fact::Fact;
use croft_vetting::report::Verdict;
use tokio::runtime::Handle;

use super::catalog::catalog;
use super::consent::collection_of;
use super::memory::Shared;
use crate::bundles::vet::Vetting;
use crate::census::{self, Accounts, CensusRequest, Memo, Scan};
use crate::limits::OBSERVE_TIMEOUT;
use crate::posture::{self, CollectRequest};
use crate::state::identity::Identity;

/// What is to be observed.
#[derive(Clone, Debug)]
pub struct Request {
    /// The baseline, if one is known: only what it asks for is looked at.
    pub baseline: Option<Baseline>,
    /// What may be collected besides the minimum.
    pub collection: Collection,
    /// Where models are kept.
    pub store: PathBuf,
    /// The account that enrolled.
    pub uid: u32,
    /// Where the gateway listens.
    pub listen: SocketAddr,
    /// What the fleet lists, to compare models with; none before the first signed documents.
    pub catalog: Option<Catalog>,
}

/// What was observed.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Facts for checks, besides those that the daemon has itself.
    pub facts: Vec<Fact>,
    /// Other local AI.
    pub census: Vec<Finding>,
}

/// The senses. Called on a thread that may block.
pub type Senses = Arc<dyn Fn(&Request) -> Observed + Send + Sync>;

/// The machine's own senses. They judge suspicious files by `vetting`, and remember what they found out about files.
#[must_use]
pub fn of_machine(vetting: Vetting) -> Senses {
    let memo = Memo::default();
    Arc::new(move |request| {
        let mut facts = facts(request);
        let (census, about) = take_census(request, &memo, &vetting);
        let check =
            |fact: &Fact| request.baseline.as_ref().is_some_and(|b| b.checks.contains_key(&fact.check));
        facts.extend(about.into_iter().filter(check));
        Observed { facts, census }
    })
}

/// Has a file scanned in a confined process, from a thread that may block.
#[must_use]
pub fn scan(runtime: &Handle, vetting: &Vetting, file: &File) -> Scan {
    match runtime.block_on(vetting.scan(file)) {
        Ok(Verdict::Pass) => Scan::Pass,
        Ok(Verdict::Refuse) => Scan::Refused,
        Ok(Verdict::Unknown) | Err(_) => Scan::Unknown,
    }
}

/// Looks at the machine for the baseline in force, and for nothing besides.
pub async fn observe(shared: &Shared, senses: &Senses, listen: SocketAddr, identity: &Identity) -> Observed {
    let (baseline, collection, catalog) = {
        let memory = shared.memory();
        (memory.baseline().cloned(), collection_of(&memory), catalog(&memory))
    };
    let own = rustix::process::getuid().as_raw();
    let request = Request {
        baseline,
        collection,
        store: shared.paths.store(),
        uid: identity.enrollment.uids.first().copied().unwrap_or(own),
        listen,
        catalog,
    };
    let (senses, observing) = (Arc::clone(senses), Arc::clone(&shared.observing));
    let look = async {
        let held = observing.lock_owned().await;
        let look = move || {
            let observed = senses(&request);
            drop(held);
            observed
        };
        tokio::task::spawn_blocking(look).await
    };
    // Observing that panics, or hangs at a file system whose server is gone, observes nothing, and nothing is not a pass.
    match tokio::time::timeout(OBSERVE_TIMEOUT, look).await {
        Ok(observed) => observed.unwrap_or_default(),
        Err(_) => {
            tracing::warn!("looking at this machine does not end: a file system may hang");
            Observed::default()
        }
    }
}

fn facts(request: &Request) -> Vec<Fact> {
    let Some(baseline) = &request.baseline else { return Vec::new() };
    let home = home_of(request.uid);
    let collected = posture::collect(&CollectRequest {
        baseline,
        root: Path::new("/"),
        store: &request.store,
        // A folder that is not there makes each fact about it unavailable, which is what it is.
        home: home.as_deref().unwrap_or_else(|| Path::new("/nonexistent")),
        gateway_listen: Some(request.listen),
        self_tests: &[],
    });
    // These two the daemon states itself, also when no process has reported yet.
    collected
        .into_iter()
        .filter(|fact| !["self-test", "api-binding"].contains(&fact.check.as_str()))
        .collect()
}

/// What leaves, and the facts of the check about it.
fn take_census(request: &Request, memo: &Memo, vetting: &Vetting) -> (Vec<Finding>, Vec<Fact>) {
    let is_of_all = request.collection.allows(Item::AllAccounts);
    let accounts = if is_of_all { Accounts::All } else { Accounts::Only(request.uid) };
    let own_ports = [request.listen.port()];
    let home = home_of(request.uid);
    let runtime = Handle::try_current();
    let judge = |file: &File| runtime.as_ref().map_or(Scan::Unknown, |runtime| scan(runtime, vetting, file));
    let taken = census::take(&CensusRequest {
        accounts,
        own_ports: &own_ports,
        root: Path::new("/"),
        home: home.as_deref(),
        catalog: request.catalog.as_ref(),
        memo,
        judge: &judge,
    });
    match taken {
        Ok(census) => {
            let by_name = request.collection.allows(Item::CensusModels);
            let findings = if by_name { census.findings_by_name() } else { census.findings() };
            (findings, census::conformity(&census))
        }
        Err(e) => {
            tracing::warn!(error = %e, "no census could be taken");
            (Vec::new(), census::unavailable("no census could be taken"))
        }
    }
}

/// The home folder of the account that enrolled: the daemon's own environment if it is its own account.
fn home_of(uid: u32) -> Option<PathBuf> {
    if rustix::process::getuid().as_raw() == uid
        && let Some(home) = std::env::var_os("HOME").filter(|home| !home.is_empty())
    {
        return Some(PathBuf::from(home));
    }
    let accounts = std::fs::read_to_string("/etc/passwd").ok()?;
    accounts.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields.get(2) == Some(&uid.to_string().as_str())).then(|| fields.get(5).map(PathBuf::from)).flatten()
    })
}
