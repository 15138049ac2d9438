//! `trust`: the fleet's metadata as it lies here, and its regular renewal. Who may sign is changed in `roles`.

use std::collections::BTreeMap;
use std::path::Path;

use croft_domain::time::Timestamp;
use croft_trust::limits::HANDOVER_LEN_MAX;
use serde::{Deserialize, Serialize};

use crate::args::{Format, Service, Trust};
use crate::clock;
use crate::command::{handover, keys, online_keys, roles};
use crate::error::CtlError;
use crate::fleet_dir::{FleetDir, KeyName, read};
use crate::limits::{FRESHNESS_TTL_S, FRESHNESS_WARNING_DAYS, ROOT_WARNING_DAYS, TARGETS_WARNING_DAYS};
use crate::output::{Column, Resource, column, print_data, print_list, say, wide};
use crate::workbench::{Workbench, repository};

/// Runs `trust`.
///
/// # Errors
/// There is no fleet, a key cannot be used, or the controller refuses.
pub async fn run(dir: &FleetDir, verb: Trust, format: Format) -> Result<(), CtlError> {
    match verb {
        Trust::Status => status(dir, format),
        Trust::Refresh { lifetime, handover } => {
            refresh(dir, lifetime.unwrap_or(FRESHNESS_TTL_S), handover.as_deref()).await
        }
        Trust::AddPublisher { key, name, threshold } => {
            roles::add_publisher(dir, &key, &name, threshold).await
        }
        Trust::RemovePublisher { publisher, threshold } => {
            roles::remove_publisher(dir, &publisher, threshold).await
        }
        Trust::RotateRoot { replace, freshness } => {
            roles::rotate_root(dir, &replace, freshness.as_deref()).await
        }
        Trust::MakeKey { role } => keys::make(dir, role),
        Trust::ChangePassphrase { key, new_passphrase_file, no_passphrase } => {
            keys::change_passphrase(dir, &key, new_passphrase_file, no_passphrase)
        }
        Trust::Export { file } => handover::export(dir, &file),
        Trust::Join { file, root, controller } => handover::join(dir, &file, root, &controller),
        Trust::Publish => Workbench::open(dir)?.connect_and_publish().await.map(|_| ()),
        Trust::Adopt { file, sign } => handover::adopt(dir, &file, sign),
        Trust::Service(Service::Print) => service(dir),
    }
}

fn status(dir: &FleetDir, format: Format) -> Result<(), CtlError> {
    let workbench = Workbench::open(dir)?;
    let listed = listed_roles(&workbench.metadata_files(), dir, clock::now())?;
    let mut all = listed.clone();
    all.extend(online_keys::roles(workbench.fleet(), dir, clock::now()));
    print_list(&all, format)?;
    let own = roles::own_points(dir)?;
    roles::lines(&workbench.roles()?, &roles::holders(dir)?, &own).iter().for_each(|line| say(line));
    let (pending, signed) = workbench.progress()?;
    let holders = roles::holders(dir)?;
    for (state, progress) in [("in force", signed), ("waiting for signatures", pending)] {
        if let Some(progress) = progress {
            say(&roles::signed_line(state, &progress, &holders, &own));
        }
    }
    keys::warnings(dir).iter().for_each(|warning| say(warning));
    all.iter().filter_map(Role::warning).for_each(|warning| say(&warning));
    if let Err(waiting) = workbench.check_publishable() {
        say(&format!("warning: not published yet: {waiting}; {}", waiting.hint()));
    }
    Ok(())
}

async fn refresh(dir: &FleetDir, lifetime: u64, handover: Option<&Path>) -> Result<(), CtlError> {
    let mut workbench = Workbench::open(dir)?;
    match handover {
        // Taking it over ends with the refresh, where the freshness key is.
        Some(file) => {
            let bytes = read(file, HANDOVER_LEN_MAX)?;
            workbench.adopt(&bytes, false, clock::now(), |changes, _| {
                handover::show(changes);
                Ok(())
            })?;
            if lifetime != FRESHNESS_TTL_S {
                workbench.refresh(clock::now(), lifetime)?;
            }
        }
        None => workbench.refresh(clock::now(), lifetime)?,
    }
    if dir.key(KeyName::Admin).exists() {
        workbench.connect_and_publish().await?;
    } else if handover.is_some() {
        // Only an admin can bring new targets to the controller; the seal goes the way that the handover came.
        let path = dir.handover();
        workbench.save_handover(&path)?;
        say(&format!(
            "sealed; next, on a publisher's machine: croftctl trust adopt {}, then croftctl trust publish",
            path.display()
        ));
    } else {
        workbench.bring_seal().await?;
    }
    let roles = listed_roles(&workbench.metadata_files(), dir, clock::now())?;
    let ends = roles.iter().filter_map(|role| Some((role.expires_at?, &role.role)));
    if let Some((at, role)) = ends.min() {
        say(&format!("good until {} ({role})", clock::written(Timestamp(at))));
    }
    Ok(())
}

/// Until when everything that is signed here counts: the end of the role that ends first.
///
/// # Errors
/// The repository is damaged.
pub fn good_until(dir: &FleetDir, workbench: &Workbench, now: Timestamp) -> Result<Timestamp, CtlError> {
    let roles = listed_roles(&workbench.metadata_files(), dir, now)?;
    Ok(roles.iter().filter_map(|role| role.expires_at).map(Timestamp).min().unwrap_or_default())
}

/// The units for a freshness host. They are printed and not installed: paths and account are the host's own.
fn service(dir: &FleetDir) -> Result<(), CtlError> {
    let executable = std::env::current_exe()
        .map_err(|source| CtlError::Process { operation: "find this executable", source })?;
    let folder = std::path::absolute(dir.root())
        .map_err(|source| CtlError::FileRead { path: dir.root().to_owned(), source })?;
    let text = include_str!("freshness.unit")
        .replace("@EXECUTABLE@", plain(&executable)?)
        .replace("@CONFIG@", plain(&folder)?);
    print_data(&text)
}

/// A path that systemd neither splits nor expands.
fn plain(path: &Path) -> Result<&str, CtlError> {
    let is_plain = |text: &&str| {
        text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.' | b'_' | b'-'))
    };
    path.to_str().filter(is_plain).ok_or_else(|| CtlError::Input {
        what: path.display().to_string(),
        expected: "a path of letters, digits and /._-".to_owned(),
    })
}

/// What all metadata begins with (TUF 4.3).
#[derive(Deserialize)]
struct Metadata {
    signed: Head,
}

#[derive(Deserialize)]
struct Head {
    version: u64,
    expires: String,
    /// Of a root only: who signs what.
    #[serde(default)]
    roles: BTreeMap<String, Signers>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Signers {
    keyids: Vec<String>,
    threshold: u64,
}

impl std::fmt::Display for Signers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let short: Vec<&str> = self.keyids.iter().map(|id| id.get(..8).unwrap_or(id)).collect();
        write!(f, "{} of {}: {}", self.threshold, short.len(), short.join(" "))
    }
}

/// One role, or one key that the fleet document lists, as `-o json` writes it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Role {
    pub(super) role: String,
    /// Of metadata only.
    pub(super) version: Option<u64>,
    /// Nothing where this machine cannot know.
    pub(super) expires_at: Option<u64>,
    pub(super) days_left: Option<u64>,
    /// How many of which keys must sign, each by the beginning of its id.
    pub(super) signed_by: String,
    /// Where it lies, if on this machine.
    pub(super) key: String,
}

impl Role {
    pub(super) fn warning(&self) -> Option<String> {
        // Key holders have to come together for a root, and people are on vacation.
        let (early, effect, cure) = match self.role.as_str() {
            "root" => (ROOT_WARNING_DAYS, "nodes stop serving when it ends", "its key holders sign it again"),
            "targets" => (
                TARGETS_WARNING_DAYS,
                "nodes stop serving when it ends",
                "sign it again: any croftctl apply or assign does",
            ),
            "snapshot" | "timestamp" => {
                (FRESHNESS_WARNING_DAYS, "nodes stop serving when it ends", "run croftctl trust refresh")
            }
            name => online_keys::warning(name),
        };
        let left = self.days_left.filter(|left| *left < early)?;
        let state = if left == 0 { "ends within a day or is over" } else { "ends soon" };
        Some(format!("warning: {} {state}; {effect}; {cure}", self.role))
    }
}

fn listed_roles(files: &[(String, Vec<u8>)], dir: &FleetDir, now: Timestamp) -> Result<Vec<Role>, CtlError> {
    let mut roles: Vec<Role> = Vec::new();
    let (mut root, mut signers) = (0, BTreeMap::new());
    for (file, bytes) in files {
        let metadata: Metadata = serde_json::from_slice(bytes).map_err(repository("understand metadata"))?;
        let Head { version, expires, roles: named } = metadata.signed;
        let at = clock::parsed(&expires).ok_or_else(|| repository("understand metadata")("no expiry"))?;
        let role = file.trim_end_matches(".json").rsplit('.').next().unwrap_or(file).to_owned();
        if role == "root" && version > root {
            (root, signers) = (version, named);
        }
        let key = match role.as_str() {
            "root" => KeyName::Root,
            "targets" => KeyName::Targets,
            _ => KeyName::Freshness,
        };
        let key = dir.key(key).display().to_string();
        let line = Role {
            role,
            version: Some(version),
            expires_at: Some(at.0),
            days_left: Some(at.since(now) / 86_400),
            signed_by: String::new(),
            key,
        };
        // Old roots stay in the set for nodes that come from them; only the newest counts.
        match roles.iter_mut().find(|other| other.role == line.role) {
            Some(other) if other.version < line.version => *other = line,
            Some(_) => {}
            None => roles.push(line),
        }
    }
    for role in &mut roles {
        role.signed_by = signers.get(&role.role).map(ToString::to_string).unwrap_or_default();
    }
    Ok(roles)
}

impl Resource for Role {
    const COLUMNS: &'static [Column] = &[
        column("ROLE"),
        column("VERSION"),
        column("EXPIRES"),
        column("DAYS LEFT"),
        column("SIGNED BY"),
        wide("KEY"),
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.role.clone(),
            self.version.map(|version| version.to_string()).unwrap_or_default(),
            self.expires_at.map(|at| clock::written(Timestamp(at))).unwrap_or_default(),
            self.days_left.map(|left| left.to_string()).unwrap_or_default(),
            self.signed_by.clone(),
            self.key.clone(),
        ]
    }

    fn name(&self) -> String {
        self.role.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::list;

    fn file(name: &str, version: u64, expires: &str) -> (String, Vec<u8>) {
        let text = format!(r#"{{"signed":{{"version":{version},"expires":"{expires}"}},"signatures":[]}}"#);
        (name.to_owned(), text.into_bytes())
    }

    #[test]
    fn roles_show_the_newest_root_and_warn_before_they_end() {
        let dir = FleetDir::locate(Some("/fleet".into())).expect("a folder");
        let now = clock::parsed("2026-11-21T00:00:00Z").expect("a time");
        let root = r#"{"signed":{"version":2,"expires":"2027-01-10T00:00:00Z","roles":{
            "root":{"keyids":["11112222333344445555","aaaabbbbccccddddeeee","99998888"],"threshold":2},
            "timestamp":{"keyids":["77776666555544443333"],"threshold":1}}},"signatures":[]}"#;
        let files = [
            file("1.root.json", 1, "2026-11-22T00:00:00Z"),
            ("2.root.json".to_owned(), root.as_bytes().to_vec()),
            file("7.targets.json", 7, "2027-11-21T00:00:00Z"),
            file("9.snapshot.json", 9, "2026-11-24T00:00:00Z"),
            file("timestamp.json", 9, "2026-11-23T12:00:00Z"),
        ];
        let roles = listed_roles(&files, &dir, now).expect("roles");
        insta::assert_snapshot!(list(&roles, Format::Wide).expect("a table"), @"
        ROLE       VERSION  EXPIRES               DAYS LEFT  SIGNED BY                           KEY
        root       2        2027-01-10T00:00:00Z  50         2 of 3: 11112222 aaaabbbb 99998888  /fleet/keys/root.pk8
        targets    7        2027-11-21T00:00:00Z  365        -                                   /fleet/keys/targets.pk8
        snapshot   9        2026-11-24T00:00:00Z  3          -                                   /fleet/keys/freshness.pk8
        timestamp  9        2026-11-23T12:00:00Z  2          1 of 1: 77776666                    /fleet/keys/freshness.pk8
        ");
        let warnings: Vec<String> = roles.iter().filter_map(Role::warning).collect();
        insta::assert_snapshot!(warnings.join("\n"), @"
        warning: root ends soon; nodes stop serving when it ends; its key holders sign it again
        warning: timestamp ends soon; nodes stop serving when it ends; run croftctl trust refresh
        ");
    }
}
