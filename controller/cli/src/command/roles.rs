//! Who may sign what: publishers come and go, keys are made and replaced. Each change is a new root, signed by the root
//! keys on this machine, and reaches nobody before the targets hold under it.

use std::collections::BTreeMap;
use std::path::Path;

use croft_domain::digest::Sha256Digest;
use croft_trust::digest::sha256;
use croft_trust::keys::parse_public_key;
use croft_trust::repository::{Progress, RoleHolders, Roles};
use croft_trust::sign::{POINT_LEN, Signer, SigningKey};

use crate::args::Replaceable;
use crate::client::{point, unusable};
use crate::clock;
use crate::error::CtlError;
use crate::fleet_dir::{FleetDir, KeyName, read, read_text, write};
use crate::limits::{DOCUMENT_LEN_MAX, ONLINE_KEY_TTL_S};
use crate::output::say;
use crate::workbench::Workbench;

/// What people call the holders of keys, by key id.
pub type Holders = BTreeMap<Sha256Digest, String>;

/// `trust add-publisher`.
///
/// # Errors
/// The file is no P-256 key, it is listed already, or too few root keys are here.
pub async fn add_publisher(
    dir: &FleetDir,
    file: &Path,
    name: &str,
    threshold: Option<u64>,
) -> Result<(), CtlError> {
    let added = read_public(file)?;
    let mut workbench = Workbench::open(dir)?;
    let mut roles = workbench.roles()?;
    check_new(&roles, &added)?;
    roles.targets.points.push(added);
    set_threshold(&mut roles.targets, threshold)?;
    let mut holders = holders(dir)?;
    holders.insert(sha256(&added), name.to_owned());
    workbench.rotate_root(&roles, Vec::new(), clock::now())?;
    save_holders(dir, &holders)?;
    say(&format!("{name} may approve; {} of {} must", roles.targets.threshold, roles.targets.points.len()));
    finish(workbench).await
}

fn read_public(file: &Path) -> Result<[u8; POINT_LEN], CtlError> {
    let unusable = |e| CtlError::Key { operation: "use", path: file.to_owned(), source: Box::new(e) };
    parse_public_key(&read_text(file, DOCUMENT_LEN_MAX)?).map_err(unusable)
}

fn check_new(roles: &Roles, point: &[u8; POINT_LEN]) -> Result<(), CtlError> {
    if [&roles.root, &roles.targets, &roles.freshness].iter().all(|role| !role.points.contains(point)) {
        return Ok(());
    }
    Err(CtlError::Conflict {
        message: "this key has a role already".to_owned(),
        hint: "each role of each person has a key of its own: croftctl trust make-key".to_owned(),
    })
}

/// `trust remove-publisher`.
///
/// # Errors
/// There is no such publisher, nobody would remain, or too few root keys are here.
pub async fn remove_publisher(
    dir: &FleetDir,
    publisher: &str,
    threshold: Option<u64>,
) -> Result<(), CtlError> {
    let mut workbench = Workbench::open(dir)?;
    let mut roles = workbench.roles()?;
    let holders = holders(dir)?;
    let is_meant = |point: &[u8; POINT_LEN]| {
        let id = sha256(point);
        holders.get(&id).is_some_and(|name| name == publisher)
            || publisher.len() >= 8 && id.hex().starts_with(publisher.trim_start_matches("sha256:"))
    };
    let before = roles.targets.points.len();
    roles.targets.points.retain(|point| !is_meant(point));
    match before - roles.targets.points.len() {
        1 => {}
        0 => {
            return Err(CtlError::NotFound {
                what: format!("publisher {publisher}"),
                hint: "croftctl trust status shows names and key ids".to_owned(),
            });
        }
        _ => {
            return Err(CtlError::Input {
                what: format!("publisher {publisher}"),
                expected: "more digits of the key id: several match".to_owned(),
            });
        }
    }
    let most = roles.targets.points.len() as u64;
    set_threshold(&mut roles.targets, threshold.or(Some(workbench.roles()?.targets.threshold.min(most))))?;
    workbench.rotate_root(&roles, Vec::new(), clock::now())?;
    say(&format!("{publisher} may no longer approve; {} of {most} must", roles.targets.threshold));
    finish(workbench).await
}

fn set_threshold(holders: &mut RoleHolders, threshold: Option<u64>) -> Result<(), CtlError> {
    holders.threshold = threshold.unwrap_or(holders.threshold);
    let most = holders.points.len() as u64;
    if (1..=most).contains(&holders.threshold) {
        return Ok(());
    }
    Err(CtlError::Input {
        what: "--threshold".to_owned(),
        expected: format!("1 to the number of publishers, which is then {most}"),
    })
}

/// `trust rotate-root`.
///
/// # Errors
/// A key that is to be replaced is not here, or too few root keys are.
pub async fn rotate_root(
    dir: &FleetDir,
    replace: &[Replaceable],
    freshness: Option<&Path>,
) -> Result<(), CtlError> {
    let mut workbench = Workbench::open(dir)?;
    let mut roles = workbench.roles()?;
    let mut more: Vec<Box<dyn Signer>> = Vec::new();
    for role in replace {
        finish_replacement(dir, &roles, *role)?;
        let (name, holders) = role_of(&mut roles, *role);
        let old = point(dir, name)?;
        let listed = holders.points.iter_mut().find(|listed| Some(**listed) == old);
        let Some(listed) = listed else {
            return Err(CtlError::NotFound {
                what: format!("key of the {} role on this machine", name.name()),
                hint: "replace it where it lies, or bring it here".to_owned(),
            });
        };
        let key = SigningKey::generate().map_err(unusable("make", dir, name))?;
        let passphrase = dir.passphrases().for_new_keys().map_err(unusable("make", dir, name))?;
        let next = format!("{}.new", name.name());
        dir.keys()
            .save(&next, &key, passphrase.as_ref().map(|text| text.as_str()))
            .map_err(unusable("make", dir, name))?;
        *listed = key.point();
        if *role == Replaceable::Root {
            more.push(Box::new(key));
        }
    }
    if let Some(file) = freshness {
        let point = read_public(file)?;
        check_new(&roles, &point)?;
        roles.freshness = RoleHolders { points: vec![point], threshold: 1 };
    }
    workbench.rotate_root(&roles, more, clock::now())?;
    prolong_online_keys(&mut workbench)?;
    for role in replace {
        finish_replacement(dir, &roles, *role)?;
    }
    finish(workbench).await
}

/// Keys that the fleet document lists count as long as the root: a ceremony for it prolongs those that still count.
fn prolong_online_keys(workbench: &mut Workbench) -> Result<(), CtlError> {
    let now = clock::now();
    workbench.change_fleet(|fleet| {
        let lists = [&mut fleet.lease_keys, &mut fleet.recall_keys, &mut fleet.reviewer_keys];
        for key in lists.into_iter().flatten().filter(|key| key.not_after > now) {
            key.not_after = key.not_after.max(now.plus(ONLINE_KEY_TTL_S));
        }
    })?;
    Ok(())
}

fn role_of(roles: &mut Roles, role: Replaceable) -> (KeyName, &mut RoleHolders) {
    match role {
        Replaceable::Root => (KeyName::Root, &mut roles.root),
        Replaceable::Targets => (KeyName::Targets, &mut roles.targets),
        Replaceable::Freshness => (KeyName::Freshness, &mut roles.freshness),
    }
}

/// Puts a new key in the place of the old one, once the root lists it. The old one is kept beside it. A crash between
/// root and this is mended by the next call.
fn finish_replacement(dir: &FleetDir, roles: &Roles, role: Replaceable) -> Result<(), CtlError> {
    let mut roles = roles.clone();
    let (name, holders) = role_of(&mut roles, role);
    let folder = dir.root().join("keys");
    let file = |suffix: &str, kind: &str| folder.join(format!("{}{suffix}.{kind}", name.name()));
    if !file(".new", "pk8").exists() {
        return Ok(());
    }
    let text = read_text(&file(".new", "pub"), DOCUMENT_LEN_MAX)?;
    let new = parse_public_key(&text).map_err(unusable("use", dir, name))?;
    if !holders.points.contains(&new) {
        return Ok(());
    }
    for kind in ["pk8", "pub"] {
        for (from, to) in [("", ".old"), (".new", "")] {
            let (from, to) = (file(from, kind), file(to, kind));
            if from.exists() {
                std::fs::rename(&from, &to).map_err(|source| CtlError::FileWrite { path: to, source })?;
            }
        }
    }
    Ok(())
}

/// Signs the targets again, which the new root may judge differently, and publishes if that is enough.
async fn finish(mut workbench: Workbench) -> Result<(), CtlError> {
    workbench.sign(clock::now())?;
    // What waits for another publisher or for the freshness host is not published yet, and that was said.
    if workbench.check_publishable().is_err() {
        return Ok(());
    }
    workbench.connect_and_publish().await.map(|_| ())
}

/// What people call the holders.
///
/// # Errors
/// The file is damaged.
pub fn holders(dir: &FleetDir) -> Result<Holders, CtlError> {
    let path = dir.holders();
    if !path.exists() {
        return Ok(Holders::new());
    }
    let named: BTreeMap<String, String> = serde_json::from_slice(&read(&path, DOCUMENT_LEN_MAX)?)
        .map_err(|e| CtlError::FileParse { path: path.clone(), source: Box::new(e) })?;
    Ok(named.into_iter().filter_map(|(id, name)| Some((id.parse().ok()?, name))).collect())
}

fn save_holders(dir: &FleetDir, holders: &Holders) -> Result<(), CtlError> {
    let named: BTreeMap<String, &String> = holders.iter().map(|(id, name)| (id.to_string(), name)).collect();
    let bytes =
        serde_json::to_vec_pretty(&named).map_err(|e| CtlError::AnswerWrite { source: Box::new(e) })?;
    write(&dir.holders(), &bytes, 0o600)
}

/// The lines of `trust status` that say who signs what.
pub fn lines(roles: &Roles, holders: &Holders, own: &[(KeyName, [u8; POINT_LEN])]) -> Vec<String> {
    let who = |point: &[u8; POINT_LEN]| called(&sha256(point), holders, own);
    [("root", &roles.root), ("targets", &roles.targets), ("snapshot and timestamp", &roles.freshness)]
        .into_iter()
        .map(|(role, holders)| {
            let names: Vec<String> = holders.points.iter().map(who).collect();
            format!("{role}: {} of {} must sign: {}", holders.threshold, names.len(), names.join(", "))
        })
        .collect()
}

/// Who has signed the targets.
pub fn signed_line(
    state: &str,
    progress: &Progress,
    holders: &Holders,
    own: &[(KeyName, [u8; POINT_LEN])],
) -> String {
    let names: Vec<String> = progress.signed_by.iter().map(|id| called(id, holders, own)).collect();
    format!(
        "targets {} ({state}): {} of {} have signed: {}",
        progress.version,
        names.len(),
        progress.threshold,
        names.join(", ")
    )
}

fn called(id: &Sha256Digest, holders: &Holders, own: &[(KeyName, [u8; POINT_LEN])]) -> String {
    let name = holders.get(id).cloned();
    let here = own.iter().any(|(_, own)| sha256(own) == *id).then(|| "this machine".to_owned());
    let short: String = id.hex().chars().take(12).collect();
    format!("{} ({short})", name.or(here).unwrap_or_else(|| "somebody else".to_owned()))
}

/// The keys on this machine that roles may list.
///
/// # Errors
/// A key file is damaged.
pub fn own_points(dir: &FleetDir) -> Result<Vec<(KeyName, [u8; POINT_LEN])>, CtlError> {
    let mut own = Vec::new();
    for name in dir.root_keys().into_iter().chain([KeyName::Targets, KeyName::Freshness]) {
        if let Some(point) = point(dir, name)? {
            own.push((name, point));
        }
    }
    Ok(own)
}
