//! Enrolling: the fleet proves itself before this machine says anything about itself.
//!
//! The order is the point. Pinned link, root by its hash, metadata by the root, group and tier by the signed fleet
//! document; only then a key is made and the invite's secret is sent. `enrollment.json` is written last.

use croft_domain::baseline::CheckMode;
use croft_domain::code::Code;
use croft_domain::collection::{Ceiling, Item};
use croft_domain::digest::Sha256Digest;
use croft_domain::evidence::{Mode, Ownership};
use croft_domain::id::{FleetId, GroupName};
use croft_domain::invite::Invite;
use croft_domain::time::Timestamp;
use croft_domain::verdict::Assurance;
use croft_tpm::key::TpmKey;
use croft_trust::digest::sha256;
use croft_trust::sign::SigningKey;
use croft_trust::store::{ExpectedRoot, Floors, TrustSource, TrustStore, TrustView};

use super::memory::{Memory, Shared};
use crate::clock;
use crate::config::{IdentityConfig, KeyPlace};
use crate::controller_client::{Anonymous, Application, ControllerTrust};
use crate::failure::Failure;
use crate::state::files::prepare;
use crate::state::identity::{self, Enrollment};
use crate::state::node_key::{NodeKey, code_of};

/// Largest first root that is fetched, in bytes.
const ROOT_LEN_MAX: u64 = 512 * 1024;

/// Whether the person was told what is collected, and agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// Yes.
    Given,
    /// Not asked, or no.
    Missing,
}

/// What is collected, and why, in lines for a person.
#[must_use]
pub fn collected(ownership: Ownership, place: KeyPlace) -> Vec<String> {
    let mut lines = vec![
        "operating system, processor architecture and kernel release: to know which fixes this machine has"
            .to_owned(),
        "whether the disks below /, home, the model store and swap are encrypted: the fleet's baseline asks"
            .to_owned(),
        "what the gateway and the workers proved about their sandbox: that prompts cannot leave".to_owned(),
        "how many production credentials were found, never their names or values: the usage scope".to_owned(),
        "which local AI tools run, by tool name and port: the census".to_owned(),
        "which approved bundles are here, and in which state: for roll-outs and recalls".to_owned(),
        "how many requests and tokens each model answered: planning; never a prompt, an answer or a file"
            .to_owned(),
    ];
    if place != KeyPlace::Software {
        lines.push(
            "once, the TPM's endorsement key and its maker's certificate: that the key is in real hardware; the \
             controller keeps neither, only a keyed hash that means nothing elsewhere"
                .to_owned(),
        );
    }
    let agreed = Item::ALL.into_iter().filter(|item| item.ceiling(ownership) == Ceiling::Agreed);
    lines.extend(agreed.map(|item| format!("if the baseline asks for it, {}", item.meaning())));
    lines.push(match ownership {
        Ownership::Personal => {
            "no hostname, no serial number, no traces: on a personal machine they stay here".to_owned()
        }
        Ownership::DevBudget => "no hostname, no serial number".to_owned(),
    });
    lines.push("anything more waits for your yes (croft consent)".to_owned());
    lines
}

/// How this machine presents itself.
#[must_use]
pub fn application(ownership: Ownership, mode: Mode, fleet: FleetId) -> Application {
    Application {
        ownership,
        mode: match mode {
            Mode::System => "system",
            Mode::User => "user",
        },
        os: std::env::consts::OS.to_owned(),
        arch: std::env::consts::ARCH.to_owned(),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        machine: machine(fleet),
    }
}

/// This machine's hash in a fleet; none where it has no id.
#[must_use]
pub fn machine(fleet: FleetId) -> Option<Sha256Digest> {
    std::fs::read_to_string("/etc/machine-id").ok().and_then(|id| machine_of(&id, fleet))
}

/// A hash of the machine's id (machine-id(5): 128 random bits, which no application is to hand out) that differs in each
/// fleet, so that two fleets cannot tell that it is the same machine.
fn machine_of(id: &str, fleet: FleetId) -> Option<Sha256Digest> {
    let id: [u8; 16] = hex::decode(id.trim()).ok()?.try_into().ok()?;
    Some(sha256(&[b"croft/machine/v1\0", &fleet.0[..], &id[..]].concat()))
}

/// Enrolls this machine. `uid` is the account that asked.
///
/// # Errors
/// A failure with its code; the machine is then as little enrolled as before.
pub async fn enroll(
    shared: &Shared,
    invite: &Invite,
    ownership: Ownership,
    consent: Consent,
    uid: u32,
    place: &IdentityConfig,
) -> Result<(), Failure> {
    check(shared, invite, consent, clock::now())?;
    let mut store = shared.trust_store.lock().await;
    if store.is_some() {
        return Err(already());
    }
    // What an attempt that was cut off left behind.
    clean(shared)?;
    // Leaving an earlier fleet took the folders away.
    prepare(&shared.paths).map_err(|e| Failure::caused(e.code(), &e))?;
    let enrolled = attempt(shared, invite, ownership, uid, place).await;
    match enrolled {
        Ok((opened, view)) => {
            *store = Some(opened);
            drop(store);
            take_in(shared, view)?;
            tracing::info!("enrolled");
            Ok(())
        }
        Err(failure) => {
            clean(shared)?;
            Err(failure)
        }
    }
}

fn already() -> Failure {
    Failure::new(Code::AlreadyEnrolled, "this machine is enrolled already")
}

fn check(shared: &Shared, invite: &Invite, consent: Consent, now: Timestamp) -> Result<(), Failure> {
    if shared.memory().identity.is_some() {
        return Err(already());
    }
    if let Some(broken) = &shared.memory().broken {
        return Err(broken.clone());
    }
    if consent == Consent::Missing {
        return Err(Failure::new(Code::ConsentRequired, "nobody agreed to what is collected"));
    }
    if now >= invite.expires_at {
        return Err(Failure::new(Code::InviteExpired, "the invite's time is over"));
    }
    Ok(())
}

async fn attempt(
    shared: &Shared,
    invite: &Invite,
    ownership: Ownership,
    uid: u32,
    place: &IdentityConfig,
) -> Result<(TrustStore, std::sync::Arc<TrustView>), Failure> {
    let call = |e: crate::controller_client::CallError| Failure::caused(e.code(), &e);
    let state = |e: crate::state::files::StateError| Failure::caused(e.code(), &e);
    let link = Anonymous::new(&invite.controller, &[invite.ca_pin], shared.recorder.clone()).map_err(call)?;
    let source = ControllerTrust::new(link.https().map_err(call)?);
    let (store, view) = believe(shared, invite, &source).await?;
    confirm(invite, &view)?;

    let (key, tpm_refusal) = make_key(place, &view, &invite.group)?;
    identity::save_key(&shared.paths, &key).map_err(state)?;
    let application = application(ownership, shared.paths.mode, invite.fleet);
    let admission = link.enroll(invite, &key, &application).await.map_err(call)?;
    if admission.group != invite.group {
        return Err(Failure::new(Code::TrustForged, "the controller put this machine into another group"));
    }
    let unreadable =
        |e: String| Failure::new(Code::TrustForged, format!("the certificate cannot be read: {e}"));
    identity::certificate_times(&admission.chain_pem).map_err(unreadable)?;
    identity::save_chain(&shared.paths, &admission.chain_pem).map_err(state)?;
    let enrollment = Enrollment {
        node: admission.node,
        fleet: invite.fleet,
        fleet_name: invite.fleet_name.clone(),
        group: invite.group.clone(),
        ownership,
        controller: invite.controller.clone(),
        ca_pin: invite.ca_pin,
        enrolled_at: clock::now(),
        uids: vec![uid],
        tpm_refusal,
    };
    identity::commit(&shared.paths, &enrollment).map_err(state)?;
    Ok((store, view))
}

/// Makes the node's key where its owner wants it. A file takes the TPM's place only where the owner said so and the
/// baseline does not demand the TPM, and then with the reason.
fn make_key(
    place: &IdentityConfig,
    view: &TrustView,
    group: &GroupName,
) -> Result<(NodeKey, Option<String>), Failure> {
    let in_file = || SigningKey::generate().map(NodeKey::File).map_err(|e| Failure::caused(Code::Key, &e));
    if place.key == KeyPlace::Software {
        return Ok((in_file()?, None));
    }
    let failure = match TpmKey::create(&place.tpm) {
        Ok(key) => return Ok((NodeKey::Tpm(place.tpm.clone(), key), None)),
        Err(e) => Failure::caused(code_of(&e), &e),
    };
    if place.key == KeyPlace::Tpm || demands_hardware(view, group) {
        return Err(failure);
    }
    tracing::warn!(code = %failure.code(), detail = failure.message(), "no TPM, the key is a file");
    Ok((in_file()?, Some(format!("{}: {failure}", failure.code()))))
}

/// Whether the newest baseline of the group blocks, now or after its grace, without a key in a TPM.
fn demands_hardware(view: &TrustView, group: &GroupName) -> bool {
    let Some(policy) = view.fleet.groups.get(group) else { return false };
    let accepted = view.baselines.values().filter(|baseline| policy.accepts(baseline));
    let Some(baseline) = accepted.max_by_key(|baseline| baseline.version) else { return false };
    baseline.checks.iter().any(|(name, policy)| {
        let is_about =
            name.as_str() == croft_domain::hardware::CHECK || policy.assurance > Assurance::SelfReported;
        is_about && matches!(policy.mode, CheckMode::Warn | CheckMode::Block)
    })
}

/// Fetches the root that the invite names and what follows from it.
async fn believe(
    shared: &Shared,
    invite: &Invite,
    source: &ControllerTrust,
) -> Result<(TrustStore, std::sync::Arc<TrustView>), Failure> {
    let trust = |e: croft_trust::store::TrustError| Failure::caused(e.code(), &e);
    let name = format!("{}.root.json", invite.root_version);
    let root = source.fetch(&name, ROOT_LEN_MAX).await.map_err(trust)?;
    let root = root.ok_or_else(|| {
        Failure::new(
            Code::TrustForged,
            format!("the controller does not have {name}, which the invite names"),
        )
    })?;
    let mut floors = Floors { fleet_epoch: invite.epoch_floor, ..Floors::default() };
    floors.versions.targets = invite.targets_floor;
    let expected = ExpectedRoot { sha256: invite.root_sha256 };
    let (dir, floors_path) = (shared.paths.trust(), shared.paths.floors());
    let mut store = TrustStore::bootstrap(&dir, &floors_path, &root, &expected, floors).map_err(trust)?;
    let view = store.update(source, clock::now()).await.map_err(trust)?;
    Ok((store, view))
}

/// What the invite promised must be what the fleet's keys say.
fn confirm(invite: &Invite, view: &TrustView) -> Result<(), Failure> {
    let other = |what: &str| {
        Failure::new(Code::TrustForged, format!("the signed fleet document names another {what}"))
    };
    if view.fleet.id != invite.fleet {
        return Err(other("fleet"));
    }
    let Some(policy) = view.fleet.groups.get(&invite.group) else {
        return Err(Failure::new(
            Code::Unapproved,
            format!("the signed fleet document knows no group {}", invite.group),
        ));
    };
    if policy.tier != invite.tier {
        return Err(other("tier"));
    }
    if !view.fleet.ca_pins.contains(&invite.ca_pin) {
        return Err(other("certificate authority"));
    }
    Ok(())
}

/// Removes what an attempt left, keeping the record of what was sent.
fn clean(shared: &Shared) -> Result<(), Failure> {
    let mut leftovers = vec![shared.paths.identity(), shared.paths.trust()];
    leftovers.extend(shared.paths.floors().parent().map(std::path::Path::to_owned));
    for folder in leftovers {
        match std::fs::remove_dir_all(&folder) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Failure::caused(Code::StateUnwritable, &e));
            }
            _ => {}
        }
    }
    Ok(())
}

fn take_in(shared: &Shared, view: std::sync::Arc<TrustView>) -> Result<(), Failure> {
    let identity = identity::load(&shared.paths).map_err(|e| Failure::caused(e.code(), &e))?;
    {
        let mut memory = shared.memory();
        let Memory { identity: slot, .. } = &mut *memory;
        *slot = identity;
        memory.accept_trust(view);
        memory.kept.revoked = None;
    }
    shared.keep(|_| {}).map_err(|e| Failure::caused(e.code(), &e))?;
    shared.attest.notify_one();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p10_a_machine_has_another_hash_in_each_fleet_and_none_without_an_id() {
        let id = "0123456789abcdef0123456789abcdef";
        let of = |id: &str, fleet: u8| machine_of(id, FleetId([fleet; 16]));
        assert_eq!(of(id, 1), of(&format!("{id}\n"), 1));
        assert_ne!(of(id, 1), of(id, 2));
        assert_ne!(of(id, 1), of("1123456789abcdef0123456789abcdef", 1));
        assert!(of("uninitialized", 1).is_none() && of("", 1).is_none());
    }
}
