//! Leases across an air gap: evidence goes out as a file that a person carries, and the lease that answers it comes in.
//!
//! Nothing is believed that would not be believed online: the lease counts under a key of the signed fleet document, for
//! this node, its key and its worker, and the node's own appraisal of what it exported must not block.

use std::net::SocketAddr;

use croft_domain::airgap::EXPORT_NONCE_PREFIX;
use croft_domain::appraise::{Subject, appraise, history_of};
use croft_domain::code::Code;
use croft_domain::evidence::Evidence;
use croft_domain::lease::Lease;
use croft_domain::signed::{Domain, Envelope};
use croft_domain::time::Timestamp;
use croft_domain::verdict::Verdict;
use croft_trust::carried::{EvidenceFile, EvidenceKind, LeaseFile};
use croft_trust::digest::sha256;

use super::decide::code_of;
use super::evidence::{Occasion, compose, own_facts};
use super::memory::{Memory, Shared};
use super::senses::{Senses, observe};
use crate::clock;
use crate::failure::Failure;
use crate::state::files::StateError;
use crate::state::history::LastVerdict;
use crate::state::identity::Identity;
use crate::state::lease::HeldLease;
use crate::state::{counter, exported, history, lease};

fn kept(error: &StateError) -> Failure {
    Failure::caused(error.code(), error)
}

fn identity_of(shared: &Shared) -> Result<Identity, Failure> {
    let memory = shared.memory();
    if let Some(broken) = &memory.broken {
        return Err(broken.clone());
    }
    let missing = || Failure::new(Code::NotEnrolled, "this machine is not enrolled");
    memory.identity.clone().ok_or_else(missing)
}

/// Composes and signs evidence as a file. Only the lease that answers the last such file is taken.
///
/// # Errors
/// `E-NOT-ENROLLED`, or if it cannot be recorded: what cannot be shown to the owner is not handed out.
pub async fn export(shared: &Shared, senses: &Senses, listen: SocketAddr) -> Result<Vec<u8>, Failure> {
    let identity = identity_of(shared)?;
    let observed = observe(shared, senses, listen, &identity).await;
    let counter = counter::next(&shared.paths).map_err(|e| kept(&e))?;
    let internal = |e: &dyn std::error::Error| Failure::new(Code::Internal, e.to_string());
    let mut nonce = hex::decode(EXPORT_NONCE_PREFIX).map_err(|e| internal(&e))?;
    let mut own = [0; 16];
    getrandom::fill(&mut own).map_err(|e| Failure::new(Code::Internal, e.to_string()))?;
    nonce.extend(own);
    let attestation_key = identity.attestation_key().await.map_err(|e| kept(&e))?;
    let evidence = {
        let mut memory = shared.memory();
        memory.local_facts = own_facts(&memory, listen);
        memory.local_facts.extend(observed.facts.iter().cloned());
        let occasion = Occasion {
            identity: &identity,
            nonce: &nonce,
            chain_head: memory.verdict.as_ref().and_then(|last| last.chain_head),
            counter,
            boot_id: clock::boot_id(),
            attestation_key,
            listen,
            mode: shared.paths.mode,
            now: clock::now(),
        };
        compose(&memory, observed, &occasion)
    };
    let payload = serde_json::to_vec(evidence.evidence()).map_err(|e| internal(&e))?;
    let reason = "you exported it, to be carried to a desk that issues leases";
    shared.recorder.record("Export", reason, payload.clone()).map_err(|e| kept(&e))?;
    let envelope = identity.key.sign(Domain::Evidence, payload).map_err(|e| kept(&e))?;
    exported::save(&shared.paths, &envelope).map_err(|e| kept(&e))?;
    let file = EvidenceFile {
        kind: EvidenceKind::Evidence,
        evidence: envelope.into(),
        certificate_chain_pem: identity.chain_pem.clone(),
    };
    serde_json::to_vec_pretty(&file).map_err(|e| internal(&e))
}

/// Takes in a lease that was carried here, and says until when it counts.
///
/// # Errors
/// A failure with its code; the lease in force stays.
pub fn import(shared: &Shared, bytes: &[u8]) -> Result<Timestamp, Failure> {
    let identity = identity_of(shared)?;
    let (envelope, granted) = read(bytes)?;
    let stale = |text: &str| Failure::new(Code::EvidenceStale, text);
    let asked = exported::load(&shared.paths).map_err(|e| kept(&e))?;
    let asked = asked.ok_or_else(|| stale("this machine waits for no lease: run croft evidence export"))?;
    if granted.evidence != sha256(&asked.payload) {
        return Err(stale("it answers other evidence than was last exported here"));
    }
    let mut memory = shared.memory();
    // A clock that was set back must not bring an ended lease back.
    let now = clock::now().max(memory.kept.latest_seen);
    let (node, node_key) = (identity.enrollment.node, identity.key.key_id());
    granted
        .check(node, &node_key, now, memory.kept.latest_seen)
        .and_then(|()| granted.check_runtime(memory.runtime.as_ref()))
        .map_err(|e| Failure::new(code_of(&e), e.to_string()))?;
    let verdict = own_verdict(&memory, &granted, &asked, now)?;
    if let Some(check) = verdict.first_block() {
        let text = format!("{} on {}: {}", check.check, check.subject, check.reason);
        return Err(Failure::new(Code::NotCompliant, text));
    }
    let held = HeldLease::new(envelope, granted, now, clock::boottime_ms());
    let until = held.lease.expires_at;
    if !memory.accept_lease(held.clone()) {
        return Err(Failure::new(Code::TrustForged, "no lease key of the fleet document signed it"));
    }
    memory.history = history_of(&verdict);
    let chain_head = memory.verdict.as_ref().and_then(|last| last.chain_head);
    let last = LastVerdict { verdict, chain_head };
    memory.verdict = Some(last.clone());
    let clocks = memory.history.clone();
    drop(memory);
    lease::save(&shared.paths, &held, &clock::boot_id())
        .and_then(|()| history::save(&shared.paths, &clocks))
        .and_then(|()| history::save_verdict(&shared.paths, &last))
        .and_then(|()| shared.keep(|_| {}))
        .map_err(|e| kept(&e))?;
    Ok(until)
}

fn read(bytes: &[u8]) -> Result<(Envelope, Lease), Failure> {
    let no = |e: &dyn std::error::Error| Failure::new(Code::Input, format!("this is no lease file: {e}"));
    let file: LeaseFile = serde_json::from_slice(bytes).map_err(|e| no(&e))?;
    let envelope = Envelope::try_from(file.lease).map_err(|e| no(&e))?;
    let lease = serde_json::from_slice(&envelope.payload).map_err(|e| no(&e))?;
    Ok((envelope, lease))
}

/// This node's own judgment of what it exported, by the baseline that the lease names.
fn own_verdict(
    memory: &Memory,
    granted: &Lease,
    asked: &Envelope,
    now: Timestamp,
) -> Result<Verdict, Failure> {
    let unapproved = || {
        let text = format!("the group's signed policy here does not know baseline {}", granted.baseline);
        Failure::new(Code::Unapproved, text)
    };
    let (trust, group) = memory.trust.as_ref().zip(memory.group()).ok_or_else(unapproved)?;
    let policy = trust.fleet.groups.get(group).ok_or_else(unapproved)?;
    let baseline = trust.baselines.get(&granted.baseline).filter(|baseline| policy.accepts(baseline));
    let baseline = baseline.ok_or_else(unapproved)?;
    let evidence: Evidence =
        serde_json::from_slice(&asked.payload).map_err(|e| Failure::caused(Code::StateCorrupt, &e))?;
    let subject = Subject::self_reported(group);
    Ok(appraise(baseline, &trust.waivers, &evidence, &memory.history, &subject, now))
}
