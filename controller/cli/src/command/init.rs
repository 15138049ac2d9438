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
use croft_trust::sign::{POINT_LEN, SigningKey};
use serde::{Deserialize, Serialize};
use tonic::transport::Channel;
use zeroize::Zeroizing;

use crate::args::Init;
use crate::client::{admin_key, connect, connect_unknown, point, refused, signer, unusable};
use crate::clock;
use crate::command::key_card;
use crate::error::CtlError;
use crate::fleet_dir::{FleetDir, KeyName, Settings, read, write};
use crate::limits::{DOCUMENT_LEN_MAX, FRESHNESS_TTL_S, ONLINE_KEY_TTL_S, ROOT_TTL_S};
use crate::output::{print_data, say};
use crate::workbench::{WAIVERS_TARGET, floors, publish, refresh, repository, set_fleet, sign_targets};

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
    check_threshold(arguments)?;
    dir.check_empty()?;
    // The line is open before there are keys: a controller that is not there must not leave half a fleet behind.
    let enrollment = connect_unknown(&bootstrap.controller, bootstrap.ca_pin).await?;
    dir.prepare()?;
    let lock = dir.lock()?;
    make_keys(dir, &roots(arguments), passphrase(dir, arguments)?.as_ref())?;
    let answer = take_over(dir, &bootstrap, arguments, enrollment).await?;
    write(&dir.chain(), answer.certificate_chain_pem.as_bytes(), 0o600)?;
    let now = clock::now();
    let fleet =
        compose(dir, &bootstrap, &answer, (arguments.licenses.clone(), arguments.sources.clone()), now)?;
    dir.clear_unfinished_repository()?;
    let repository = sign_first(dir, &fleet, arguments.threshold, now)?;
    dir.save_settings(&Settings {
        controller: bootstrap.controller,
        ca_pin: bootstrap.ca_pin,
        fleet: bootstrap.fleet,
    })?;
    dir.finish()?;
    print_data(&key_card::write(dir, arguments.threshold, now))?;
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

fn check_threshold(arguments: &Init) -> Result<(), CtlError> {
    if arguments.threshold <= arguments.root_keys.max(1) {
        return Ok(());
    }
    Err(CtlError::Input {
        what: "--threshold".to_owned(),
        expected: format!("at most the number of root keys, {}", arguments.root_keys.max(1)),
    })
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
    let csr_der = croft_link::csr::request(admin_key(dir)?.pkcs8()).map_err(|e| CtlError::Key {
        operation: "use",
        path: dir.key(KeyName::Admin),
        source: Box::new(e),
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

/// The passphrase for all keys that `init` makes. Without a terminal and without a passphrase they are not encrypted,
/// which is said: a harness has nobody to ask, and a person must know.
fn passphrase(dir: &FleetDir, arguments: &Init) -> Result<Option<Zeroizing<String>>, CtlError> {
    if arguments.no_passphrase {
        return Ok(None);
    }
    let passphrase = dir.passphrases().for_new_keys().map_err(unusable("make", dir, KeyName::Root))?;
    if passphrase.is_none() {
        say(
            "warning: no terminal and no passphrase: the keys are not encrypted; give --passphrase-file or CROFTCTL_PASSPHRASE",
        );
    }
    Ok(passphrase)
}

/// The root keys that `init` is asked for.
fn roots(arguments: &Init) -> Vec<KeyName> {
    match arguments.root_keys {
        0 | 1 => vec![KeyName::Root],
        several => (1..=several).map(KeyName::RootOf).collect(),
    }
}

/// Makes the keys that are not there yet, each readable by its owner only.
///
/// # Errors
/// The folder cannot be written.
pub fn make_keys(
    dir: &FleetDir,
    roots: &[KeyName],
    passphrase: Option<&Zeroizing<String>>,
) -> Result<(), CtlError> {
    let passphrase = passphrase.map(|text| text.as_str());
    for name in roots.iter().copied().chain(KeyName::OTHERS) {
        if dir.key(name).exists() {
            continue;
        }
        SigningKey::generate()
            .and_then(|key| dir.keys().save(name.name(), &key, passphrase))
            .map_err(unusable("make", dir, name))?;
    }
    Ok(())
}

fn compose(
    dir: &FleetDir,
    bootstrap: &Bootstrap,
    answer: &Answer,
    (licenses, sources): (Vec<String>, Vec<String>),
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
        recall_keys: vec![KeyEntry {
            point: hex::encode(needed_point(dir, KeyName::Recall)?),
            not_before: from,
            not_after: until,
        }],
        reviewer_keys: Vec::new(),
        groups: BTreeMap::new(),
        licenses,
        sources,
        baselines: BTreeMap::new(),
        vetting: croft_domain::vetting::VettingExceptions::default(),
        moves: BTreeMap::new(),
    };
    if fleet.lease_keys.is_empty() {
        return Err(unusable("it names no lease key"));
    }
    fleet.validate().map_err(|e| unusable(&e.to_string()))?;
    Ok(fleet)
}

/// The public point of a key that must be on this machine.
fn needed_point(dir: &FleetDir, name: KeyName) -> Result<[u8; POINT_LEN], CtlError> {
    point(dir, name)?.ok_or_else(|| CtlError::NotFound {
        what: format!("key {}", dir.key(name).display()),
        hint: "bring it back from its backup for this command".to_owned(),
    })
}

/// The repository with its first metadata, everything signed; `threshold` of the root keys must sign every later root.
///
/// # Errors
/// A key cannot be used, or the disk refuses.
pub fn sign_first(
    dir: &FleetDir,
    fleet: &Fleet,
    threshold: u8,
    now: Timestamp,
) -> Result<Repository, CtlError> {
    let (mut points, mut keys) = (Vec::new(), Vec::new());
    for name in dir.root_keys() {
        points.push(needed_point(dir, name)?);
        keys.push(signer(dir, name)?);
    }
    let one = |name| Ok::<_, CtlError>(RoleHolders { points: vec![needed_point(dir, name)?], threshold: 1 });
    let roles = Roles {
        root: RoleHolders { points, threshold: threshold.into() },
        targets: one(KeyName::Targets)?,
        freshness: one(KeyName::Freshness)?,
    };
    let keys = RootKeys(keys);
    let mut made = Repository::create(&dir.repository(), &roles, &keys, now.plus(ROOT_TTL_S))
        .map_err(repository("make the repository"))?;
    set_fleet(&mut made, fleet)?;
    made.set_target(WAIVERS_TARGET, b"[]").map_err(repository("add waivers.json"))?;
    sign_targets(&mut made, dir, now)?;
    refresh(&mut made, dir, now, FRESHNESS_TTL_S)?;
    floors::begin(dir, &made, now)?;
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn folder() -> (tempfile::TempDir, FleetDir) {
        let temp = tempfile::tempdir().expect("a folder");
        let dir = FleetDir::locate(Some(temp.path().join("fleet"))).expect("a fleet folder");
        dir.prepare().expect("a new folder");
        make_keys(&dir, &[KeyName::Root], None).expect("keys");
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
        let point = hex::encode(needed_point(dir, KeyName::Admin).expect("a key"));
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
        for name in KeyName::OTHERS.into_iter().chain([KeyName::Root]) {
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
        let error = signer(&dir, KeyName::Targets).expect_err("refused");
        assert!(matches!(error, CtlError::Key { .. }) && error.hint().contains("chmod 600"), "{error}");
    }

    #[test]
    fn p3_a_controller_with_another_ca_than_bootstrap_says_is_refused() {
        let (_temp, dir) = folder();
        let now = Timestamp(1_795_219_200);
        let mut lie = answer(&dir);
        lie.ca_pins = vec![Sha256Digest([9; 32]).to_string()];
        assert!(matches!(
            compose(&dir, &bootstrap(), &lie, (Vec::new(), Vec::new()), now),
            Err(CtlError::Answer { .. })
        ));
    }

    #[test]
    fn the_first_set_is_signed_and_can_be_opened() {
        let (_temp, dir) = folder();
        let now = Timestamp(1_795_219_200);
        let fleet =
            compose(&dir, &bootstrap(), &answer(&dir), (Vec::new(), Vec::new()), now).expect("a fleet");
        sign_first(&dir, &fleet, 1, now).expect("signed");
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
        let before = needed_point(&dir, KeyName::Root).expect("a key");
        std::fs::remove_file(dir.key(KeyName::Admin)).expect("removed");
        std::fs::create_dir_all(dir.repository().join("metadata")).expect("made");
        dir.prepare().expect("it may go on");
        make_keys(&dir, &[KeyName::Root], None).expect("keys");
        dir.clear_unfinished_repository().expect("cleared");
        let fleet = compose(&dir, &bootstrap(), &answer(&dir), (Vec::new(), Vec::new()), clock::now())
            .expect("a fleet");
        sign_first(&dir, &fleet, 1, clock::now()).expect("signed");
        assert_eq!(needed_point(&dir, KeyName::Root).expect("a key"), before);
        dir.finish().expect("finished");
        assert!(matches!(dir.prepare(), Err(CtlError::FleetExists { .. })));
    }
}
