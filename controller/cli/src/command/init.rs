//! `init`: makes a fleet's keys on this machine, takes over a fresh controller, and signs the first documents.
//!
//! `fleet.toml` ends it: before, an interrupted `init` is repeated and goes on with the same keys; afterwards it is
//! refused, and nothing that is there is overwritten.

use std::collections::BTreeMap;
use std::path::Path;

use croft_domain::digest::Sha256Digest;
use croft_domain::fleet::{Fleet, KeyEntry};
use croft_domain::id::FleetId;
use croft_domain::limits::CLOCK_SKEW_MAX_S;
use croft_domain::time::Timestamp;
use croft_proto::grpc::enrollment_client::EnrollmentClient;
use croft_proto::grpc::{BootstrapAdminRequest, BootstrapAdminResponse};
use croft_trust::repository::{Repository, RoleHolders, Roles, RootKeys};
use croft_trust::sign::SigningKey;
use serde::{Deserialize, Serialize};
use tonic::transport::Channel;

use crate::args::Init;
use crate::client::{connect, connect_unknown, load_key, refused};
use crate::clock;
use crate::error::CtlError;
use crate::fleet_dir::{FleetDir, KeyName, Settings, read, write};
use crate::limits::{DOCUMENT_LEN_MAX, FRESHNESS_TTL_S, ONLINE_KEY_TTL_S, ROOT_TTL_S, TARGETS_TTL_S};
use crate::output::{print_data, say};
use crate::workbench::{WAIVERS_TARGET, publish, refresh, repository, set_fleet, sign_targets};

/// `bootstrap.json`, as `croft-controller init` writes it.
#[derive(Deserialize)]
struct Bootstrap {
    controller: String,
    ca_pin: Sha256Digest,
    token: String,
    fleet: FleetId,
    fleet_name: String,
}

/// Runs `init`.
///
/// # Errors
/// The folder holds a fleet, the bootstrap file is not one, or the controller refuses.
pub async fn run(dir: &FleetDir, arguments: &Init) -> Result<(), CtlError> {
    let bootstrap = load_bootstrap(&arguments.bootstrap)?;
    dir.check_empty()?;
    // The line is open before there are keys: a controller that is not there must not leave half a fleet behind.
    let enrollment = connect_unknown(&bootstrap.controller, bootstrap.ca_pin).await?;
    dir.prepare()?;
    let lock = dir.lock()?;
    make_keys(dir)?;
    let answer = take_over(dir, &bootstrap, arguments, enrollment).await?;
    write(&dir.chain(), answer.certificate_chain_pem.as_bytes(), 0o600)?;
    let now = clock::now();
    let fleet = compose(dir, &bootstrap, &answer, arguments.licenses.clone(), now)?;
    dir.clear_unfinished_repository()?;
    let repository = sign_first(dir, &fleet, now)?;
    dir.save_settings(&Settings {
        controller: bootstrap.controller,
        ca_pin: bootstrap.ca_pin,
        fleet: bootstrap.fleet,
    })?;
    dir.finish()?;
    print_data(&key_card(dir, now))?;
    let not_published = |error| CtlError::NotPublished { source: Box::new(error) };
    let mut admin = connect(dir).await.map_err(not_published)?;
    publish(&repository, &mut admin).await.map_err(not_published)?;
    drop(lock);
    say(&format!(
        "the fleet {} stands; {} can be removed",
        bootstrap.fleet_name,
        arguments.bootstrap.display()
    ));
    say("next: croftctl apply -f BASELINE.yaml, then croftctl assign baseline NAME@1 --group GROUP");
    Ok(())
}

/// What the controller answered to the token, kept because it answers only once.
#[derive(Serialize, Deserialize)]
struct Answer {
    fleet: FleetId,
    certificate_chain_pem: String,
    lease_key_points: Vec<String>,
    ca_pins: Vec<String>,
}

/// Spends the token, or goes on with the answer that an interrupted run got for it.
async fn take_over(
    dir: &FleetDir,
    bootstrap: &Bootstrap,
    arguments: &Init,
    mut enrollment: EnrollmentClient<Channel>,
) -> Result<Answer, CtlError> {
    let path = dir.unfinished();
    let kept: Option<Answer> = serde_json::from_slice(&read(&path, DOCUMENT_LEN_MAX)?)
        .map_err(|e| CtlError::FileParse { path: path.clone(), source: Box::new(e) })?;
    if let Some(answer) = kept.filter(|answer| answer.fleet == bootstrap.fleet) {
        return Ok(answer);
    }
    let csr_der = croft_link::csr::request(load_key(dir, KeyName::Admin)?.pkcs8()).map_err(|e| {
        CtlError::Key { operation: "use", path: dir.key(KeyName::Admin), source: Box::new(e) }
    })?;
    let token = hex::decode(&bootstrap.token)
        .map_err(|e| CtlError::FileParse { path: arguments.bootstrap.clone(), source: Box::new(e) })?;
    let request = BootstrapAdminRequest { token, csr_der, admin_name: arguments.name.clone() };
    let wire = enrollment.bootstrap_admin(request).await.map_err(refused("take over the controller"))?;
    let BootstrapAdminResponse { certificate_chain_pem, lease_key_points, ca_pins } = wire.into_inner();
    let answer = Answer { fleet: bootstrap.fleet, certificate_chain_pem, lease_key_points, ca_pins };
    let bytes = serde_json::to_vec(&answer).map_err(|e| CtlError::AnswerWrite { source: Box::new(e) })?;
    write(&path, &bytes, 0o600)?;
    Ok(answer)
}

fn load_bootstrap(path: &Path) -> Result<Bootstrap, CtlError> {
    serde_json::from_slice(&read(path, DOCUMENT_LEN_MAX)?).map_err(|e| CtlError::Document {
        place: path.display().to_string(),
        message: format!("is not what croft-controller init writes: {e}"),
    })
}

/// Makes the keys that are not there yet, each readable by its owner only.
///
/// # Errors
/// The folder cannot be written.
pub fn make_keys(dir: &FleetDir) -> Result<(), CtlError> {
    for name in KeyName::ALL {
        let path = dir.key(name);
        if path.exists() {
            continue;
        }
        SigningKey::generate().and_then(|key| key.save(&path)).map_err(|e| CtlError::Key {
            operation: "make",
            path,
            source: Box::new(e),
        })?;
    }
    Ok(())
}

fn compose(
    dir: &FleetDir,
    bootstrap: &Bootstrap,
    answer: &Answer,
    licenses: Vec<String>,
    now: Timestamp,
) -> Result<Fleet, CtlError> {
    let unusable = |message: &str| CtlError::Answer {
        operation: "take over the controller",
        message: message.to_owned(),
    };
    let pins: Result<Vec<Sha256Digest>, _> = answer.ca_pins.iter().map(|pin| pin.parse()).collect();
    let ca_pins = pins.map_err(|_| unusable("a CA pin is not a digest"))?;
    if !ca_pins.contains(&bootstrap.ca_pin) {
        return Err(unusable("its CA pins do not include the one of bootstrap.json"));
    }
    // A machine whose clock is a little behind must not find the keys not yet valid.
    let from = now.minus(CLOCK_SKEW_MAX_S);
    let until = now.plus(ONLINE_KEY_TTL_S);
    let lease = |point: &String| KeyEntry { point: point.clone(), not_before: from, not_after: until };
    let fleet = Fleet {
        schema: 1,
        id: bootstrap.fleet,
        name: bootstrap.fleet_name.clone(),
        epoch: 1,
        ca_pins,
        lease_keys: answer.lease_key_points.iter().map(lease).collect(),
        recall_keys: vec![load_key(dir, KeyName::Recall)?.entry(from, until)],
        reviewer_keys: Vec::new(),
        groups: BTreeMap::new(),
        licenses,
        baselines: BTreeMap::new(),
    };
    if fleet.lease_keys.is_empty() {
        return Err(unusable("it names no lease key"));
    }
    fleet.validate().map_err(|e| unusable(&e.to_string()))?;
    Ok(fleet)
}

/// The repository with its first metadata, everything signed.
///
/// # Errors
/// A key cannot be used, or the disk refuses.
pub fn sign_first(dir: &FleetDir, fleet: &Fleet, now: Timestamp) -> Result<Repository, CtlError> {
    let key = |name| load_key(dir, name);
    let root = key(KeyName::Root)?;
    let roles = Roles {
        root: RoleHolders::solo(&root),
        targets: RoleHolders::solo(&key(KeyName::Targets)?),
        freshness: RoleHolders::solo(&key(KeyName::Freshness)?),
    };
    let keys = RootKeys(vec![root]);
    let mut made = Repository::create(&dir.repository(), &roles, &keys, now.plus(ROOT_TTL_S))
        .map_err(repository("make the repository"))?;
    set_fleet(&mut made, fleet)?;
    made.set_target(WAIVERS_TARGET, b"[]").map_err(repository("add waivers.json"))?;
    sign_targets(&mut made, dir, now)?;
    refresh(&mut made, dir, now, FRESHNESS_TTL_S)?;
    Ok(made)
}

/// What an admin has to know about each key. One screen, to be printed or kept with the backup.
fn key_card(dir: &FleetDir, now: Timestamp) -> String {
    let day = |seconds: u64| clock::written(now.plus(seconds)).chars().take(10).collect::<String>();
    let file = |name: KeyName| dir.key(name).display().to_string();
    format!(
        "\
KEY CARD (keep a copy with the backup)
All five keys are on this machine, not encrypted, mode 0600. Holder of each: you.

root       {root}
           signs   who the other holders are; needed only to change keys
           backup  two offline copies in two places, then remove it from this machine
           ends    {root_ends}
           lost    no key can ever be replaced: every machine must enroll anew
targets    {targets}
           signs   bundles, baselines, groups
           backup  one offline copy
           ends    {targets_ends}, renewed by each apply, approve or assign
           lost    nothing new can be approved until root names another
freshness  {freshness}
           signs   that all this is current: croftctl trust refresh, once a week
           backup  not needed: root can name another
           ends    {freshness_ends}, then nodes stop serving
           lost    nodes stop serving after {freshness_days} days unless root names another
recall     {recall}
           signs   recalls
           backup  a copy with whoever must be able to stop a model at night
           ends    {online_ends}
           lost    a bad model cannot be stopped at once
admin      {admin}
           opens   the connection to the controller; signs no document
           backup  not needed
           ends    with its certificate, {chain}
           lost    croft-controller init cannot be repeated; keep the controller's own backup

One person with one machine holds every role (1 of 1): whoever takes this machine can approve anything, and no second
person sees it. To grow: move root offline today; then give targets a second holder and a threshold of 2 by a new root.
",
        root = file(KeyName::Root),
        targets = file(KeyName::Targets),
        freshness = file(KeyName::Freshness),
        recall = file(KeyName::Recall),
        admin = file(KeyName::Admin),
        chain = dir.chain().display(),
        root_ends = day(ROOT_TTL_S),
        targets_ends = day(TARGETS_TTL_S),
        freshness_ends = day(FRESHNESS_TTL_S),
        freshness_days = FRESHNESS_TTL_S / 86_400,
        online_ends = day(ONLINE_KEY_TTL_S),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn folder() -> (tempfile::TempDir, FleetDir) {
        let temp = tempfile::tempdir().expect("a folder");
        let dir = FleetDir::locate(Some(temp.path().join("fleet"))).expect("a fleet folder");
        dir.prepare().expect("a new folder");
        make_keys(&dir).expect("keys");
        (temp, dir)
    }

    fn bootstrap() -> Bootstrap {
        Bootstrap {
            controller: "https://127.0.0.1:7443".to_owned(),
            ca_pin: Sha256Digest([1; 32]),
            token: "00".to_owned(),
            fleet: FleetId([2; 16]),
            fleet_name: "test".to_owned(),
        }
    }

    fn answer(dir: &FleetDir) -> Answer {
        let point = hex::encode(load_key(dir, KeyName::Admin).expect("a key").point());
        Answer {
            fleet: FleetId([2; 16]),
            certificate_chain_pem: String::new(),
            lease_key_points: vec![point],
            ca_pins: vec![Sha256Digest([1; 32]).to_string()],
        }
    }

    #[test]
    fn p3_key_files_are_for_their_owner_alone() {
        let (_temp, dir) = folder();
        for name in KeyName::ALL {
            let mode = std::fs::metadata(dir.key(name)).expect("a key file").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name:?}");
        }
        let keys =
            std::fs::metadata(dir.drafts().with_file_name("keys")).expect("a folder").permissions().mode();
        assert_eq!(keys & 0o777, 0o700);
    }

    #[test]
    fn p3_a_key_that_others_may_read_is_not_used() {
        let (_temp, dir) = folder();
        let path = dir.key(KeyName::Targets);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("changed");
        assert!(matches!(load_key(&dir, KeyName::Targets), Err(CtlError::Key { .. })));
    }

    #[test]
    fn p3_a_controller_with_another_ca_than_bootstrap_says_is_refused() {
        let (_temp, dir) = folder();
        let now = Timestamp(1_795_219_200);
        let mut lie = answer(&dir);
        lie.ca_pins = vec![Sha256Digest([9; 32]).to_string()];
        assert!(matches!(compose(&dir, &bootstrap(), &lie, Vec::new(), now), Err(CtlError::Answer { .. })));
    }

    #[test]
    fn the_first_set_is_signed_and_can_be_opened() {
        let (_temp, dir) = folder();
        let now = Timestamp(1_795_219_200);
        let fleet = compose(&dir, &bootstrap(), &answer(&dir), Vec::new(), now).expect("a fleet");
        sign_first(&dir, &fleet, now).expect("signed");
        dir.save_settings(&Settings {
            controller: "https://127.0.0.1:7443".to_owned(),
            ca_pin: Sha256Digest([1; 32]),
            fleet: FleetId([2; 16]),
        })
        .expect("saved");
        let mut workbench = crate::workbench::Workbench::open(&dir).expect("a workbench");
        assert_eq!(workbench.fleet(), &fleet);
        workbench.change_fleet(|fleet| fleet.licenses.push("MIT".to_owned())).expect("changed");
        workbench.sign(now.plus(1)).expect("signed again");
        assert_eq!((workbench.fleet().epoch, workbench.versions().targets), (2, 2));
        workbench.change_fleet(|_| {}).expect("no change");
        assert_eq!(workbench.fleet().epoch, 2);
    }

    #[test]
    fn p9_an_interrupted_init_goes_on_with_the_same_keys() {
        let (_temp, dir) = folder();
        let before = load_key(&dir, KeyName::Root).expect("a key").key_id();
        std::fs::remove_file(dir.key(KeyName::Admin)).expect("removed");
        std::fs::create_dir_all(dir.repository().join("metadata")).expect("made");
        dir.prepare().expect("it may go on");
        make_keys(&dir).expect("keys");
        dir.clear_unfinished_repository().expect("cleared");
        let fleet = compose(&dir, &bootstrap(), &answer(&dir), Vec::new(), clock::now()).expect("a fleet");
        sign_first(&dir, &fleet, clock::now()).expect("signed");
        assert_eq!(load_key(&dir, KeyName::Root).expect("a key").key_id(), before);
        dir.finish().expect("finished");
        assert!(matches!(dir.prepare(), Err(CtlError::FleetExists { .. })));
    }

    #[test]
    fn the_key_card_names_every_key() {
        let dir = FleetDir::locate(Some("/fleet".into())).expect("a fleet folder");
        let card = key_card(&dir, Timestamp(1_795_219_200));
        for name in KeyName::ALL {
            assert!(card.contains(name.file()), "{name:?}");
        }
        assert!(
            card.contains("2026-12-05") && card.contains("2028-11-20") && card.contains("1 of 1"),
            "{card}"
        );
    }
}
