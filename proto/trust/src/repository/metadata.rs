//! Composing and signing each role's metadata (TUF 4.3 to 4.6).

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU64;

use croft_domain::digest::Sha256Digest;
use croft_domain::time::Timestamp;
use serde::Serialize;
use tough::TargetName;
use tough::schema::key::Key;
use tough::schema::{
    Hashes, Metafile, Role, RoleKeys, Root, Signature, Signed, Snapshot, Target, Targets,
    Timestamp as TimestampRole,
};

use super::roles::tuf_key;
use super::{FreshnessKeys, Made, RepositoryError, Roles, RootKeys, TargetsKeys};
use crate::digest::sha256;
use crate::sign::Signer;

const SPEC_VERSION: &str = "1.0.0";

/// The field of `timestamp.json` that says when it was signed, in seconds since the Unix epoch. TUF has no such field;
/// it allows more (TUF 4.1), and the signature covers it.
pub(crate) const SIGNED_AT: &str = "croft_signed_at";

type MadeResult<T> = Result<Made<T>, RepositoryError>;

pub(super) fn root(
    old: Option<&Root>,
    roles: &Roles,
    keys: &RootKeys<impl Signer>,
    expires: Timestamp,
) -> MadeResult<Root> {
    let mut listed = HashMap::new();
    let mut by_role = HashMap::new();
    for (role, holders) in roles.each()? {
        let mut keyids = Vec::new();
        for point in &holders.points {
            let key = tuf_key(point);
            let id = key_id(&key);
            listed.insert(id.clone(), key);
            keyids.push(id);
        }
        let threshold = nonzero(holders.threshold);
        by_role.insert(role, RoleKeys { keyids, threshold, _extra: HashMap::new() });
    }
    let new = Root {
        spec_version: SPEC_VERSION.to_owned(),
        consistent_snapshot: true,
        version: nonzero(old.map_or(1, |old| old.version.get().saturating_add(1))),
        expires: time(expires)?,
        keys: listed,
        roles: by_role,
        _extra: HashMap::new(),
    };
    // Continuity: a threshold of the keys that clients already trust must sign as well (TUF 5.3.4).
    let roots: Vec<&Root> = std::iter::once(&new).chain(old).collect();
    let signed = sign(new.clone(), &roots, "root", &keys.0)?;
    Ok(made(signed))
}

pub(super) fn targets<'a>(
    root: &Root,
    listed: impl Iterator<Item = (&'a str, Sha256Digest, u64)>,
    version: u64,
    keys: &TargetsKeys<impl Signer>,
    expires: Timestamp,
) -> MadeResult<Targets> {
    finish(unsigned_targets(listed, version, expires)?, root, "targets", &keys.0)
}

pub(super) fn unsigned_targets<'a>(
    listed: impl Iterator<Item = (&'a str, Sha256Digest, u64)>,
    version: u64,
    expires: Timestamp,
) -> Result<Targets, RepositoryError> {
    let mut targets = HashMap::new();
    for (name, digest, length) in listed {
        let name = TargetName::new(name).map_err(|_| RepositoryError::TargetName(name.to_owned()))?;
        let target =
            Target { length, hashes: hashes(&digest), custom: HashMap::new(), _extra: HashMap::new() };
        targets.insert(name, target);
    }
    Ok(Targets {
        spec_version: SPEC_VERSION.to_owned(),
        version: nonzero(version),
        expires: time(expires)?,
        targets,
        delegations: None,
        _extra: HashMap::new(),
    })
}

/// Signatures over `role` by those of `keys` that `root` lists for it, each once.
pub(super) fn signatures<T: Role>(
    role: &T,
    root: &Root,
    keys: &[impl Signer],
) -> Result<Vec<Signature>, RepositoryError> {
    let canonical = role.canonical_form().expect("metadata has only texts, numbers and maps with text keys");
    let ids: Vec<_> = keys.iter().map(|key| key_id(&tuf_key(&key.point()))).collect();
    let listed = |id: &_| root.roles.get(&T::TYPE).is_some_and(|holders| holders.keyids.contains(id));
    let mine: BTreeMap<_, _> = ids.iter().zip(keys).filter(|(id, _)| listed(*id)).collect();
    let mut made = Vec::new();
    for (id, key) in mine {
        let sig = key.sign_message(&canonical).map_err(RepositoryError::Key)?;
        made.push(Signature { keyid: id.clone(), sig: sig.into() });
    }
    Ok(made)
}

pub(super) fn snapshot(
    root: &Root,
    targets: &Made<Targets>,
    version: u64,
    keys: &FreshnessKeys<impl Signer>,
    expires: Timestamp,
) -> MadeResult<Snapshot> {
    let mut role = Snapshot::new(SPEC_VERSION.to_owned(), nonzero(version), time(expires)?);
    role.meta.insert("targets.json".to_owned(), metafile(targets));
    finish(role, root, "snapshot", &keys.0)
}

pub(super) fn timestamp(
    root: &Root,
    snapshot: &Made<Snapshot>,
    version: u64,
    keys: &FreshnessKeys<impl Signer>,
    signed_at: Timestamp,
    expires: Timestamp,
) -> MadeResult<TimestampRole> {
    let mut role = TimestampRole::new(SPEC_VERSION.to_owned(), nonzero(version), time(expires)?);
    role.meta.insert("snapshot.json".to_owned(), metafile(snapshot));
    role._extra.insert(SIGNED_AT.to_owned(), signed_at.0.into());
    finish(role, root, "timestamp", &keys.0)
}

pub(super) fn made<T: Serialize>(role: Signed<T>) -> Made<T> {
    let mut bytes = serde_json::to_vec_pretty(&role).expect("metadata has only texts, numbers and text keys");
    bytes.push(b'\n');
    Made { role, bytes }
}

fn finish<T: Role + Serialize>(
    role: T,
    root: &Root,
    name: &'static str,
    keys: &[impl Signer],
) -> MadeResult<T> {
    let signed = sign(role, &[root], name, keys)?;
    Ok(made(signed))
}

/// Signs `role` with those of `keys` that any of `roots` lists for it, and demands every root's threshold.
fn sign<T: Role>(
    role: T,
    roots: &[&Root],
    name: &'static str,
    keys: &[impl Signer],
) -> Result<Signed<T>, RepositoryError> {
    let canonical = role.canonical_form().expect("metadata has only texts, numbers and maps with text keys");
    let ids: Vec<_> = keys.iter().map(|key| key_id(&tuf_key(&key.point()))).collect();
    let mut signing = BTreeMap::new();
    for root in roots {
        let Some(holders) = root.roles.get(&T::TYPE) else {
            return Err(RepositoryError::Roles { role: name, reason: "is not listed in the root" });
        };
        let mine: BTreeMap<_, _> =
            ids.iter().zip(keys).filter(|(id, _)| holders.keyids.contains(id)).collect();
        if (mine.len() as u64) < holders.threshold.get() {
            let (threshold, given) = (holders.threshold.get(), mine.len() as u64);
            return Err(RepositoryError::KeysMissing { role: name, threshold, given });
        }
        signing.extend(mine);
    }
    let mut signatures = Vec::new();
    for (id, key) in signing {
        let sig = key.sign_message(&canonical).map_err(RepositoryError::Key)?;
        signatures.push(Signature { keyid: id.clone(), sig: sig.into() });
    }
    Ok(Signed { signed: role, signatures })
}

fn key_id(key: &Key) -> tough::schema::decoded::Decoded<tough::schema::decoded::Hex> {
    key.key_id().expect("a key has only texts")
}

fn metafile<T: Role>(made: &Made<T>) -> Metafile {
    let hashes = Some(hashes(&sha256(&made.bytes)));
    let version = made.role.signed.version();
    Metafile { length: Some(made.bytes.len() as u64), hashes, version, _extra: HashMap::new() }
}

fn hashes(digest: &Sha256Digest) -> Hashes {
    Hashes { sha256: digest.0.to_vec().into(), _extra: HashMap::new() }
}

fn nonzero(version: u64) -> NonZeroU64 {
    NonZeroU64::new(version).unwrap_or(NonZeroU64::MIN)
}

fn time(at: Timestamp) -> Result<jiff::Timestamp, RepositoryError> {
    i64::try_from(at.0)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .ok_or(RepositoryError::Time(at))
}
