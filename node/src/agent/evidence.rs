//! Composing evidence: everything this node claims at one time, bounded, and no more than was agreed for its ownership.

use std::net::SocketAddr;

use croft_domain::baseline::Baseline;
use croft_domain::collection::Permitted;
use croft_domain::digest::Sha256Digest;
use croft_domain::evidence::{BundleStatus, Evidence, Mode, Platform};
use croft_domain::fact::{Confidence, Fact, Observation};
use croft_domain::id::GroupName;
use croft_domain::limits::{EVIDENCE_LEN_MAX, FACTS_MAX};
use croft_domain::time::Timestamp;
use croft_trust::store::TrustView;

use super::acceptance;
use super::consent::collection_of;
use super::enroll::machine;
use super::memory::Memory;
use super::senses::Observed;
use crate::state::identity::Identity;
use crate::supervisor::proof::Proof;

/// What evidence is composed for and when, besides what the memory holds.
pub struct Occasion<'a> {
    /// Who claims it.
    pub identity: &'a Identity,
    /// What it answers: a challenge's nonce, or its own where nobody can ask.
    pub nonce: &'a [u8],
    /// Head of the chain as this node knows it: signed with the evidence, it countersigns the history so far (P7).
    pub chain_head: Option<Sha256Digest>,
    /// Its number.
    pub counter: u64,
    /// This boot.
    pub boot_id: String,
    /// The TPM's attestation key, if the node's key is in one.
    pub attestation_key: Option<Sha256Digest>,
    /// Where the gateway listens.
    pub listen: SocketAddr,
    /// How Croft is installed.
    pub mode: Mode,
    /// When.
    pub now: Timestamp,
}

/// The baseline this node is held to: the one asked for if the group's signed policy accepts it, else the newest that it
/// accepts.
#[must_use]
pub fn baseline_of<'a>(trust: &'a TrustView, group: &GroupName, memory: &Memory) -> Option<&'a Baseline> {
    let policy = trust.fleet.groups.get(group)?;
    let asked = memory.kept.baseline.as_ref().and_then(|baseline| trust.baselines.get(baseline));
    asked.filter(|baseline| policy.accepts(baseline)).or_else(|| {
        let accepted = trust.baselines.values().filter(|baseline| policy.accepts(baseline));
        accepted.max_by_key(|baseline| baseline.version)
    })
}

/// The facts that the daemon itself has: what its processes proved, and where the gateway listens.
#[must_use]
pub fn own_facts(memory: &Memory, listen: SocketAddr) -> Vec<Fact> {
    let gateway = memory.gateway_proof.as_ref();
    let worker = memory.worker_proof.as_ref();
    vec![
        proof_fact(gateway, "gateway", "the gateway has not reported yet"),
        proof_fact(worker, "worker", "no worker has tried yet to break out"),
        Fact {
            check: "api-binding".parse().expect("a constant name"),
            subject: "gateway".to_owned(),
            observation: Observation::Listen {
                port: listen.port(),
                loopback_only: listen.ip().is_loopback(),
            },
            method: "bound-by-daemon".to_owned(),
            confidence: Confidence::Table,
            trace: Vec::new(),
        },
    ]
}

fn proof_fact(proof: Option<&Proof>, subject: &str, missing: &str) -> Fact {
    proof.map_or_else(
        || Fact {
            check: "self-test".parse().expect("a constant name"),
            subject: subject.to_owned(),
            observation: Observation::Unavailable { reason: missing.to_owned() },
            method: "attempted".to_owned(),
            confidence: Confidence::None,
            trace: Vec::new(),
        },
        |proof| proof.fact(subject),
    )
}

/// Composes the document.
#[must_use]
pub fn compose(memory: &Memory, observed: Observed, occasion: &Occasion<'_>) -> Permitted {
    let enrollment = &occasion.identity.enrollment;
    let baseline = memory.baseline();
    let mut facts = own_facts(memory, occasion.listen);
    facts.extend(acceptance::fact(memory));
    facts.extend(observed.facts);
    facts.truncate(FACTS_MAX);
    let bundles = memory.bundles.iter().filter_map(|(reference, progress)| {
        Some(BundleStatus {
            bundle: reference.clone(),
            manifest_sha256: progress.manifest_sha256?,
            state: progress.state,
            code: progress.problem.as_ref().map(|failure| failure.code().to_string()),
        })
    });
    let mut usage = memory.counters.usage();
    usage.truncate(FACTS_MAX);
    let mut census = observed.census;
    census.truncate(FACTS_MAX);
    let evidence = Evidence {
        version: 1,
        node: enrollment.node,
        nonce: hex::encode(occasion.nonce),
        counter: occasion.counter,
        boot_id: occasion.boot_id.clone(),
        machine: machine(enrollment.fleet),
        chain_head: occasion.chain_head,
        taken_at: occasion.now,
        mode: occasion.mode,
        ownership: enrollment.ownership,
        platform: platform(),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        runtime_sha256: memory.runtime,
        attestation_key: occasion.attestation_key,
        baseline: baseline.map(Baseline::reference),
        trust: memory.trust.as_ref().map(|trust| trust.versions).unwrap_or_default(),
        facts,
        bundles: bundles.take(FACTS_MAX).collect(),
        recalls: memory.recalls.iter().map(|recall| recall.id).take(FACTS_MAX).collect(),
        census,
        usage,
        content: memory.counters.content(),
        collected: Vec::new(),
    };
    let len = |evidence: &Evidence| serde_json::to_vec(evidence).map_or(usize::MAX, |bytes| bytes.len());
    collection_of(memory).hold(evidence).fitting(EVIDENCE_LEN_MAX, len)
}

/// The machine in enumerated facts: no serial, no hostname.
#[must_use]
pub fn platform() -> Platform {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Platform {
        os: std::env::consts::OS.to_owned(),
        arch: std::env::consts::ARCH.to_owned(),
        kernel: kernel.trim().chars().take(64).collect(),
    }
}
