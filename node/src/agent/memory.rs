//! What the daemon knows at this moment, shared by its tasks. Locks are held for copying only, never across a wait.

mod decisions;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use croft_domain::acceptance::Acceptance;
use croft_domain::appraise::History;
use croft_domain::baseline::Baseline;
use croft_domain::code::Code;
use croft_domain::collection::Item;
use croft_domain::digest::Sha256Digest;
use croft_domain::evidence::BundleState;
use croft_domain::fact::Fact;
use croft_domain::fleet::GroupPolicy;
use croft_domain::id::{BaselineRef, BundleRef, GroupName};
use croft_domain::lease::Lease;
use croft_domain::memory::MemoryPlan;
use croft_domain::recall::Recall;
use croft_domain::signed::Domain;
use croft_domain::time::Timestamp;
use croft_trust::sign::verify_listed;
use croft_trust::store::{TrustStore, TrustView};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};

use super::counters::Counters;
use super::decide::{Serving, Standing, decide};
use super::evidence::baseline_of;
use crate::capacity::Capacity;
use crate::clock;
use crate::controller_client::Recorder;
use crate::failure::Failure;
use crate::state::files::{StateError, read_json, write_json};
use crate::state::history::{self, LastVerdict};
use crate::state::identity::{self, Identity};
use crate::state::lease::{self, HeldLease};
use crate::state::measured::Measured;
use crate::state::paths::Paths;
use crate::state::recalls;
use crate::state::recheck::Checked;
use crate::state::{acceptance, consent};
use crate::supervisor::proof::Proof;

/// How far a bundle is, for people and for evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleProgress {
    /// How far.
    pub state: BundleState,
    /// SHA-256 of its signed manifest, if it is approved.
    pub manifest_sha256: Option<Sha256Digest>,
    /// Its length, in bytes.
    pub len_bytes: u64,
    /// Bytes that have landed.
    pub fetched_bytes: u64,
    /// Why it failed, or was recalled.
    pub problem: Option<Failure>,
    /// What it takes in memory by its header, and what it may take, in bytes.
    pub memory: Option<(MemoryPlan, u64)>,
    /// Its worker's process.
    pub worker_pid: Option<u32>,
    /// How often in a row its worker did not come up.
    pub load_failures: u32,
    /// Whose store on this machine held its bytes, if they did not come from the controller.
    pub origin: Option<&'static str>,
    /// The first file of the variant that its worker has, since it was loaded.
    pub weights: Option<Sha256Digest>,
    /// Check prompts that it answered as approved, since it was loaded.
    pub checks_passed: Option<u32>,
}

/// What survives a restart besides identity, lease and verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Kept {
    /// What the controller assigned last.
    pub assigned: Vec<BundleRef>,
    /// What came in by archives since the controller last said what it wants here.
    pub imported: Vec<BundleRef>,
    /// The baseline it asked for last.
    pub baseline: Option<BaselineRef>,
    /// Why the fleet no longer has us.
    pub revoked: Option<String>,
    /// Whether the user paused.
    pub paused: bool,
    /// Newest signed time ever seen.
    pub latest_seen: Timestamp,
    /// Bundles whose terms a person was shown.
    pub terms_shown: Vec<BundleRef>,
    /// Of each name, the version that served last.
    pub served_last: Vec<BundleRef>,
}

/// What the daemon knows.
#[derive(Debug, Default)]
pub struct Memory {
    /// Who we are.
    pub identity: Option<Identity>,
    /// The signed documents in force.
    pub trust: Option<Arc<TrustView>>,
    /// Something the admin must hear of; serving goes on from the old set.
    pub alarm: Option<Failure>,
    /// The controller's history of this node does not continue what the node was shown.
    pub chain_alarm: Option<Failure>,
    /// Damage that nothing may be built on.
    pub broken: Option<Failure>,
    /// The lease, verified.
    pub lease: Option<HeldLease>,
    /// The last verdict.
    pub verdict: Option<LastVerdict>,
    /// Since when checks have their answers.
    pub history: History,
    /// Recalls taken in.
    pub recalls: Vec<Recall>,
    /// What survives a restart.
    pub kept: Kept,
    /// What the owner agreed to since enrollment.
    pub agreed: BTreeSet<Item>,
    /// When the blobs here were last verified whole.
    pub checked: Checked,
    /// How fast variants were here.
    pub measured: Measured,
    /// What models may take here.
    pub capacity: Option<Capacity>,
    /// Level of the processor back end that the last worker took; empty before the first.
    pub cpu: String,
    /// Where the store is.
    pub paths: Option<Paths>,
    /// The policy that was accepted last.
    pub accepted: Option<Acceptance>,
    /// Bundles here.
    pub bundles: BTreeMap<BundleRef, BundleProgress>,
    /// The gateway's process.
    pub gateway_pid: Option<u32>,
    /// What the gateway proved.
    pub gateway_proof: Option<Proof>,
    /// What a worker proved last.
    pub worker_proof: Option<Proof>,
    /// SHA-256 of the worker executable that was started last.
    pub runtime: Option<Sha256Digest>,
    /// Use since the last evidence.
    pub counters: Counters,
    /// Facts of the last evidence with their traces.
    pub local_facts: Vec<Fact>,
    /// `connected`, `polling` or `offline`, with a reason.
    pub connection: String,
    /// When evidence was last answered.
    pub attested_at: Option<Timestamp>,
    /// Receipts to be sent: bundle, failure code, load time in milliseconds.
    pub receipts: Vec<(BundleRef, Option<Code>, u64)>,
}

/// The daemon's tasks share this.
pub struct Shared {
    memory: Mutex<Memory>,
    /// The trust store; updates take it for as long as they last.
    pub trust_store: tokio::sync::Mutex<Option<TrustStore>>,
    /// Where everything is kept.
    pub paths: Paths,
    /// Held while an archive comes in: one at a time.
    pub importing: tokio::sync::Mutex<()>,
    /// Held while the machine is looked at: a look that hangs is not joined by others.
    pub observing: Arc<tokio::sync::Mutex<()>>,
    /// What is sent is recorded here.
    pub recorder: Recorder,
    changes: watch::Sender<u64>,
    /// Evidence is wanted now.
    pub attest: Notify,
    /// What is assigned or approved changed.
    pub fetch: Notify,
    /// The owner left the fleet: whatever is being said to the controller ends.
    pub left: Notify,
}

impl Shared {
    /// Takes in what is on disk. Damage does not stop the daemon: it stops serving, and says why.
    #[must_use]
    pub fn open(paths: Paths, recorder: Recorder) -> Self {
        let mut memory =
            Memory { connection: "offline".to_owned(), paths: Some(paths.clone()), ..Memory::default() };
        let mut store = None;
        if let Err(failure) = restore(&paths, &mut memory, &mut store) {
            tracing::error!(code = %failure.code(), detail = failure.message(), "state cannot be used");
            memory.broken = Some(failure);
        }
        Self {
            memory: Mutex::new(memory),
            trust_store: tokio::sync::Mutex::new(store),
            importing: tokio::sync::Mutex::new(()),
            observing: Arc::default(),
            paths,
            recorder,
            changes: watch::Sender::new(0),
            attest: Notify::new(),
            fetch: Notify::new(),
            left: Notify::new(),
        }
    }

    /// The memory, for a moment.
    pub fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells every task that something changed.
    pub fn changed(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Hears of changes.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Changes what survives a restart, durably.
    ///
    /// # Errors
    /// [`StateError`]; the change is in force until the daemon ends.
    pub fn keep(&self, change: impl FnOnce(&mut Kept)) -> Result<(), StateError> {
        let kept = {
            let mut memory = self.memory();
            change(&mut memory.kept);
            memory.kept.clone()
        };
        let written = write_json(&self.paths.state_file("standing.json"), &kept);
        self.changed();
        written
    }
}

fn restore(paths: &Paths, memory: &mut Memory, store: &mut Option<TrustStore>) -> Result<(), Failure> {
    let failed = |e: StateError| Failure::caused(e.code(), &e);
    memory.kept = read_json(&paths.state_file("standing.json")).map_err(failed)?.unwrap_or_default();
    memory.identity = identity::load(paths).map_err(failed)?;
    let Some(identity) = &memory.identity else { return Ok(()) };
    memory.agreed = consent::load(paths, identity).map_err(failed)?;
    memory.accepted = acceptance::load(paths, identity).map_err(failed)?;
    memory.recalls = recalls::load(paths).map_err(failed)?;
    memory.checked = Checked::load(paths);
    memory.measured = Measured::load(paths);
    memory.history = history::load(paths).map_err(failed)?;
    memory.verdict = history::load_verdict(paths).map_err(failed)?;
    let opened = TrustStore::open(&paths.trust(), &paths.floors());
    let opened = opened.map_err(|e| Failure::caused(e.code(), &e))?;
    memory.kept.latest_seen = memory.kept.latest_seen.max(opened.floors().signed_at);
    memory.trust = opened.view();
    *store = Some(opened);
    let held = lease::load(paths, &clock::boot_id(), clock::now(), clock::boottime_ms()).map_err(failed)?;
    if let Some(held) = held {
        memory.accept_lease(held);
    }
    Ok(())
}

impl Memory {
    /// Takes over a lease if a lease key of the signed fleet document made it. A forged one changes nothing.
    pub fn accept_lease(&mut self, held: HeldLease) -> bool {
        let Some(trust) = &self.trust else { return false };
        let issued_at = held.lease.issued_at;
        let verified = verify_listed(&held.envelope, Domain::Lease, &trust.fleet.lease_keys, issued_at);
        let says: Option<Lease> = serde_json::from_slice(&held.envelope.payload).ok();
        if verified.is_err() || says.as_ref() != Some(&held.lease) {
            return false;
        }
        self.kept.latest_seen = self.kept.latest_seen.max(issued_at);
        self.lease = Some(held);
        true
    }

    /// Takes over a new set of signed documents. A lease whose key is no longer listed ends here.
    pub fn accept_trust(&mut self, view: Arc<TrustView>) {
        self.kept.latest_seen = self.kept.latest_seen.max(view.signed_at);
        self.trust = Some(view);
        if let Some(held) = self.lease.take()
            && !self.accept_lease(held)
        {
            tracing::warn!("the lease's key is no longer listed in the fleet document");
        }
    }

    /// The pins of the controller's CA: the invite's and those of the signed fleet document.
    #[must_use]
    pub fn pins(&self) -> Vec<Sha256Digest> {
        let mut pins: Vec<Sha256Digest> =
            self.trust.iter().flat_map(|trust| trust.fleet.ca_pins.iter().copied()).collect();
        if pins.is_empty() {
            // The signed document outranks the invite as soon as there is one.
            pins.extend(self.identity.iter().map(|identity| identity.enrollment.ca_pin));
        }
        pins
    }

    /// The group this node belongs to: where it enrolled, or where the signed fleet document moved it. What the
    /// controller says of it changes nothing.
    #[must_use]
    pub fn group(&self) -> Option<&GroupName> {
        let enrolled = &self.identity.as_ref()?.enrollment;
        Some(match &self.trust {
            Some(trust) => trust.fleet.group_of(enrolled.node, &enrolled.group),
            None => &enrolled.group,
        })
    }

    /// The baseline this node is held to.
    #[must_use]
    pub fn baseline(&self) -> Option<&Baseline> {
        baseline_of(self.trust.as_deref()?, self.group()?, self)
    }

    /// Why a worker with this digest may not be started, if so. It is asked at every start and while serving.
    #[must_use]
    pub fn runtime_refusal(&self, worker: Option<&Sha256Digest>) -> Option<Failure> {
        let trust = self.trust.as_ref();
        let is_obeyed = |recall: &&Recall| trust.is_none_or(|trust| trust.obeys(recall));
        let stops = |recall: &&Recall| worker.is_some_and(|worker| recall.stops_runtime(worker));
        if let Some(recall) = self.recalls.iter().filter(is_obeyed).find(stops) {
            return Some(Failure::new(Code::Recalled, recall.reason.as_str()));
        }
        let refused = trust?.check_runtime(worker, self.baseline()).err()?;
        Some(Failure::new(Code::RuntimeUnapproved, refused.to_string()))
    }

    /// How a lease falls below the group's signed policy, if it does: the controller's word is then not the fleet's.
    fn below_floor(&self, policy: Option<&GroupPolicy>) -> Option<String> {
        let (asked, policy) = (&self.lease.as_ref()?.lease.baseline, policy?);
        match self.trust.as_ref()?.baselines.get(asked) {
            None => Some(format!("the lease is under {asked}, which no publisher signed")),
            Some(baseline) if !policy.accepts(baseline) => Some(format!(
                "the lease is under {asked} of tier {}; the group's signed policy asks for {} or newer of tier {}",
                baseline.tier, policy.baseline, policy.tier
            )),
            Some(_) => None,
        }
    }

    /// Whether to serve now.
    #[must_use]
    pub fn serving(&self, now: Timestamp, boottime_ms: u64) -> Serving {
        let policy =
            self.trust.as_ref().zip(self.group()).and_then(|(trust, group)| trust.fleet.groups.get(group));
        let block = self.verdict.as_ref().and_then(|last| last.verdict.first_block());
        let blocked_by = block.map(|check| format!("{} on {}: {}", check.check, check.subject, check.reason));
        let runtime_refused = self.runtime_refusal(self.runtime.as_ref());
        let below_floor = self.below_floor(policy);
        let not_accepted = super::acceptance::refusal(self);
        decide(&Standing {
            node: self.identity.as_ref().map(|id| (id.enrollment.node, id.key.key_id())),
            revoked: self.kept.revoked.as_deref(),
            paused: self.kept.paused,
            broken: self.broken.as_ref(),
            metadata_expires_at: self.trust.as_ref().map(|trust| trust.expires_at),
            has_policy: policy.is_some(),
            blocked_by: blocked_by.as_deref(),
            runtime_refused: runtime_refused.as_ref(),
            runtime: self.runtime.as_ref(),
            gateway_proof: self.gateway_proof.as_ref(),
            not_accepted: not_accepted.as_ref(),
            below_floor: below_floor.as_deref(),
            lease: self.lease.as_ref(),
            latest_seen: self.kept.latest_seen,
            now,
            boottime_ms,
        })
    }
}
