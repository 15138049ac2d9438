//! What the daemon knows, in the words of the local socket.

use croft_domain::collection::Ceiling;
use croft_domain::evidence::{Mode, Ownership};
use croft_domain::id::BundleRef;
use croft_domain::moment::relative;
use croft_domain::time::Timestamp;
use croft_domain::verdict::{CheckResult, Effect};
use croft_proto::grpc::{
    AcceptPolicyResponse, AskedLine, CollectedItem, ConsentResponse, ImportArchiveResponse, ImportedBundle,
    LocalStatusResponse, ModelProblem, ProcessInfo, WhyResponse,
};

use crate::agent::acceptance::{Demanded, demanded};
use crate::agent::consent::{overview, waits};
use crate::agent::decide::Serving;
use crate::agent::herald;
use crate::agent::import::{Imported, Outcome};
use crate::agent::memory::{BundleProgress, Memory};
use crate::agent::request::AskedModel;
use crate::clock;
use crate::config::Config;
use crate::state::identity::Identity;
use crate::state::paths::Paths;

/// One line of `croft request --list`.
#[must_use]
pub fn asked(model: AskedModel) -> AskedLine {
    let AskedModel { source, at, outcome, note, answered_at } = model;
    AskedLine {
        source,
        at: at.0,
        outcome: outcome.as_str().to_owned(),
        note,
        answered_at: answered_at.map_or(0, |at| at.0),
    }
}

/// `croft status`.
#[must_use]
pub fn status(memory: &Memory, config: &Config, paths: &Paths) -> LocalStatusResponse {
    let enrollment = memory.identity.as_ref().map(|identity| &identity.enrollment);
    let serving = memory.serving(clock::now(), clock::boottime_ms());
    let (serving_text, serving_code, serving_reason) = match &serving {
        Serving::Yes { .. } => ("serving", String::new(), String::new()),
        Serving::No(failure) => ("not-serving", failure.code().to_string(), failure.message().to_owned()),
    };
    let alarm = memory.broken.as_ref().or(memory.chain_alarm.as_ref()).or(memory.alarm.as_ref());
    LocalStatusResponse {
        enrolled: enrollment.is_some(),
        fleet_name: enrollment.map(|e| e.fleet_name.clone()).unwrap_or_default(),
        node_id: enrollment.map(|e| e.node.to_string()).unwrap_or_default(),
        group: memory.group().map(ToString::to_string).unwrap_or_default(),
        mode: match paths.mode {
            Mode::System => "system",
            Mode::User => "user",
        }
        .to_owned(),
        ownership: enrollment
            .map(|e| match e.ownership {
                Ownership::Personal => "personal",
                Ownership::DevBudget => "dev-budget",
            })
            .unwrap_or_default()
            .to_owned(),
        controller: enrollment.map(|e| e.controller.clone()).unwrap_or_default(),
        connection: memory.connection.clone(),
        lease_until: memory.lease.as_ref().map_or(0, |held| held.lease.expires_at.0),
        serving: serving_text.to_owned(),
        serving_code,
        serving_reason,
        gateway: format!("http://{}", config.gateway.listen),
        gateway_socket: paths.api_socket().display().to_string(),
        paused: memory.kept.paused,
        metadata_expires_at: memory.trust.as_ref().map_or(0, |trust| trust.expires_at.0),
        processes: processes(memory),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        certificate_until: memory.identity.as_ref().map_or(0, |identity| identity.certificate_until.0),
        consent_waiting: waits(memory).iter().map(ToString::to_string).collect(),
        damage_at: memory.checked.damage.as_ref().map_or(0, |damage| damage.at.0),
        damage: memory.checked.damage.as_ref().map(|damage| damage.message.clone()).unwrap_or_default(),
        overdue_until: herald::serving(memory)
            .and_then(|(issued, until)| herald::overdue(issued, until, clock::now()))
            .map_or(0, |until| until.0),
        warnings: warnings(memory),
        reached_at: memory.attested_at.map_or(0, |at| at.0),
        identity_key: memory.identity.as_ref().map(identity_key).unwrap_or_default(),
        assurance: memory
            .verdict
            .as_ref()
            .map(|last| last.verdict.assurance.words().to_owned())
            .unwrap_or_default(),
        alarm: alarm.map(|failure| format!("{}: {failure}", failure.code())).unwrap_or_default(),
    }
}

/// Checks that will block, soonest first.
fn warnings(memory: &Memory) -> Vec<String> {
    let now = clock::now();
    let checks = memory.verdict.iter().flat_map(|last| &last.verdict.checks);
    let mut warned: Vec<_> = checks
        .filter(|check| check.effect == Effect::Warn)
        .filter_map(|check| Some((check.blocks_at.filter(|at| *at > now)?, check)))
        .collect();
    warned.sort_by_key(|(at, _)| *at);
    let line = |(at, check): (Timestamp, &CheckResult)| {
        format!("{} on {} blocks serving {}", check.check, check.subject, relative(at, now))
    };
    warned.into_iter().map(line).collect()
}

fn identity_key(identity: &Identity) -> String {
    let refusal = identity.enrollment.tpm_refusal.as_ref();
    let refusal =
        refusal.map(|refusal| format!(", since the TPM could not be used when it was made: {refusal}"));
    identity.key.words() + &refusal.unwrap_or_default()
}

fn processes(memory: &Memory) -> Vec<ProcessInfo> {
    let mut processes = vec![ProcessInfo {
        role: "daemon".to_owned(),
        pid: std::process::id(),
        detail: "fleet connection and keys; sees no prompt".to_owned(),
    }];
    if let Some(pid) = memory.gateway_pid {
        let detail = match &memory.gateway_proof {
            Some(proof) if proof.holds() => {
                format!("confined: the kernel refused all {} attempts to break out", proof.attempts.len())
            }
            Some(proof) => format!("NOT confined: {}", proof.open()),
            None => "not proven yet".to_owned(),
        };
        processes.push(ProcessInfo { role: "gateway".to_owned(), pid, detail });
    }
    for (bundle, progress) in &memory.bundles {
        if let Some(pid) = progress.worker_pid {
            let role = format!("worker:{}", bundle.name);
            processes.push(ProcessInfo { role, pid, detail: bundle.to_string() });
        }
    }
    processes
}

/// `croft consent`.
#[must_use]
pub fn consent(memory: &Memory) -> ConsentResponse {
    let (standings, baseline) = overview(memory);
    let items = standings.into_iter().map(|standing| CollectedItem {
        name: standing.item.to_string(),
        meaning: standing.item.meaning().to_owned(),
        state: match (standing.ceiling, standing.is_asked) {
            (Ceiling::Never, _) => "never",
            (_, false) => "not-asked",
            (Ceiling::Agreed, true) => "collected",
            (Ceiling::WithConsent, true) if standing.is_agreed => "collected",
            (Ceiling::WithConsent, true) => "waiting",
        }
        .to_owned(),
    });
    let baseline = baseline.map(|baseline| baseline.to_string()).unwrap_or_default();
    ConsentResponse { baseline, items: items.collect() }
}

/// `croft accept-policy`.
#[must_use]
pub fn policy(memory: &Memory) -> AcceptPolicyResponse {
    let Some(Demanded { policy, text, accepted }) = demanded(memory) else {
        return AcceptPolicyResponse::default();
    };
    let (text, sha256) = text.map_or_else(Default::default, |(text, sha256)| (text, sha256.to_string()));
    let accepted_at = accepted.map_or(0, |accepted| accepted.at.0);
    AcceptPolicyResponse { policy: policy.to_string(), text, sha256, accepted_at }
}

/// `croft why`.
///
/// # Errors
/// Never for our own documents.
pub fn why(memory: &Memory) -> Result<WhyResponse, serde_json::Error> {
    let serving = memory.serving(clock::now(), clock::boottime_ms());
    let verdict_json = match &memory.verdict {
        Some(last) => serde_json::to_vec(&last.verdict)?,
        None => Vec::new(),
    };
    let refusal = serving.refusal();
    Ok(WhyResponse {
        verdict_json,
        serving_code: refusal.map(|failure| failure.code().to_string()).unwrap_or_default(),
        serving_reason: refusal.map(|failure| failure.message().to_owned()).unwrap_or_default(),
        local_facts_json: serde_json::to_vec(&memory.local_facts)?,
        problems: memory.bundles.iter().filter_map(problem).collect(),
    })
}

fn problem((bundle, progress): (&BundleRef, &BundleProgress)) -> Option<ModelProblem> {
    let failure = progress.problem.as_ref()?;
    Some(ModelProblem {
        bundle: bundle.to_string(),
        code: failure.code().to_string(),
        detail: failure.message().to_owned(),
    })
}

/// `croft import`.
#[must_use]
pub fn imported(imported: Imported) -> ImportArchiveResponse {
    let bundles = imported.bundles.into_iter().map(|(bundle, outcome)| {
        let (outcome, why) = match outcome {
            Outcome::Installed => ("installed", None),
            Outcome::Present => ("present", None),
            Outcome::LeftOut(failure) => ("left-out", Some(failure)),
        };
        ImportedBundle {
            bundle: bundle.to_string(),
            outcome: outcome.to_owned(),
            code: why.as_ref().map(|failure| failure.code().to_string()).unwrap_or_default(),
            detail: why.map(|failure| failure.message().to_owned()).unwrap_or_default(),
        }
    });
    ImportArchiveResponse {
        bundles: bundles.collect(),
        recalls_new: u32::try_from(imported.recalls_new).unwrap_or(u32::MAX),
        metadata_expires_at: imported.trust.expires_at.0,
    }
}
