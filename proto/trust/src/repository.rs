//! The publisher's side of The Update Framework (TUF 1.0): a directory that holds metadata and targets and no key.
//!
//! Each role is signed on its own, because each has its own holder: root and targets offline, snapshot and timestamp
//! with the freshness key. Keys are passed in for one call and never stored here. There are no delegations, target names
//! are flat, and snapshots are consistent (TUF 6.2).
//!
//! Layout: `metadata/` has every root, and the newest of the other roles, under the names in which they are served;
//! `targets/` has `HEX.name`; `working.json` lists what the next targets metadata will hold.

mod ceremony;
mod error;
mod handover;
mod metadata;
mod roles;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use croft_domain::digest::Sha256Digest;
use croft_domain::evidence::TrustSeen;
use croft_domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use tough::schema::{Root, Signed, Snapshot, Targets, Timestamp as TimestampRole};

use crate::clock;
use crate::digest::sha256;
use crate::disk::{create_private_dir, write_durable};
use crate::limits::{SET_LEN_MAX, TARGET_NAME_LEN_MAX, TARGETS_MAX};
use crate::sign::Signer;

pub use ceremony::Progress;
pub use error::RepositoryError;
pub use handover::Change;
pub(crate) use metadata::SIGNED_AT;
pub use roles::{FreshnessKeys, RoleHolders, Roles, RootKeys, TargetsKeys};

/// What the next targets metadata will say of a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    sha256: Sha256Digest,
    len_bytes: u64,
}

/// A role as it was signed, with the exact bytes that are stored and served. They are never written twice: maps have no
/// order, and the next role lists a digest of them.
#[derive(Debug)]
struct Made<T> {
    role: Signed<T>,
    bytes: Vec<u8>,
}

/// A repository in a directory.
#[derive(Debug)]
pub struct Repository {
    dir: PathBuf,
    roots: BTreeMap<u64, Vec<u8>>,
    root: Made<Root>,
    targets: Option<Made<Targets>>,
    snapshot: Option<Made<Snapshot>>,
    timestamp: Option<Made<TimestampRole>>,
    working: BTreeMap<String, Entry>,
}

impl Repository {
    /// Starts a repository in `dir` (created if missing) with `1.root.json`, signed by `keys` and ending at `expires`.
    ///
    /// # Errors
    /// When there is one already, the keys do not reach the root role's threshold, or the disk refuses.
    pub fn create(
        dir: &Path,
        roles: &Roles,
        keys: &RootKeys<impl Signer>,
        expires: Timestamp,
    ) -> Result<Self, RepositoryError> {
        if dir.join("metadata/1.root.json").exists() {
            return Err(RepositoryError::Exists(dir.to_owned()));
        }
        for folder in [dir.to_owned(), dir.join("metadata"), dir.join("targets")] {
            create_private_dir(&folder)?;
        }
        let root = metadata::root(None, roles, keys, expires)?;
        write_durable(&dir.join("working.json"), b"{}", 0o644)?;
        // The root comes last: a crash before it leaves a folder that `create` finishes when it is called again.
        write_durable(&dir.join("metadata/1.root.json"), &root.bytes, 0o644)?;
        let roots = BTreeMap::from([(1, root.bytes.clone())]);
        let working = BTreeMap::new();
        let dir = dir.to_owned();
        Ok(Self { dir, roots, root, targets: None, snapshot: None, timestamp: None, working })
    }

    /// Opens the repository in `dir`. Signatures are verified before anything is signed over them, and by every client.
    ///
    /// # Errors
    /// When a file is missing or damaged.
    pub fn open(dir: &Path) -> Result<Self, RepositoryError> {
        let metadata = dir.join("metadata");
        let mut roots = BTreeMap::new();
        while let Some(bytes) = read_optional(&metadata.join(format!("{}.root.json", roots.len() + 1)))? {
            roots.insert(roots.len() as u64 + 1, bytes);
        }
        let Some(newest) = roots.values().next_back() else {
            let path = metadata.join("1.root.json");
            let source = std::io::ErrorKind::NotFound.into();
            return Err(RepositoryError::Read { path, source });
        };
        let role = parse(&metadata.join(format!("{}.root.json", roots.len())), newest)?;
        let root = Made { role, bytes: newest.clone() };
        let timestamp = read_role(&metadata.join("timestamp.json"))?;
        let snapshot = read_role(&metadata.join("snapshot.json"))?;
        let targets = read_role(&metadata.join("targets.json"))?;
        let working_path = dir.join("working.json");
        let working = read_optional(&working_path)?
            .map_or_else(|| Ok(BTreeMap::new()), |bytes| parse(&working_path, &bytes))?;
        Ok(Self { dir: dir.to_owned(), roots, root, targets, snapshot, timestamp, working })
    }

    /// Replaces the root by the next version, signed by `keys`: enough of the old root's keys and enough of the new
    /// one's (TUF 6.1).
    ///
    /// # Errors
    /// When a threshold is not reached or the disk refuses.
    pub fn rotate_root(
        &mut self,
        roles: &Roles,
        keys: &RootKeys<impl Signer>,
        expires: Timestamp,
    ) -> Result<(), RepositoryError> {
        let root = metadata::root(Some(&self.root.role.signed), roles, keys, expires)?;
        let version = root.role.signed.version.get();
        write_durable(&self.metadata_path(&format!("{version}.root.json")), &root.bytes, 0o644)?;
        self.roots.insert(version, root.bytes.clone());
        self.root = root;
        Ok(())
    }

    /// Adds or replaces the target `name` in what [`Self::sign_targets`] will sign.
    ///
    /// # Errors
    /// When the name is not flat, a bound is passed, or the disk refuses.
    pub fn set_target(&mut self, name: &str, bytes: &[u8]) -> Result<(), RepositoryError> {
        if !is_target_name(name) {
            return Err(RepositoryError::TargetName(name.to_owned()));
        }
        let entry = Entry { sha256: sha256(bytes), len_bytes: bytes.len() as u64 };
        if entry.len_bytes > target_len_max(name) {
            return Err(RepositoryError::Limit("a target is larger than nodes accept"));
        }
        let mut working = self.working.clone();
        working.insert(name.to_owned(), entry.clone());
        if working.len() > TARGETS_MAX
            || working.values().map(|entry| entry.len_bytes).sum::<u64>() > SET_LEN_MAX
        {
            return Err(RepositoryError::Limit("4096 targets and 256 MiB together"));
        }
        write_durable(&self.target_path(name, &entry), bytes, 0o644)?;
        self.save_working(working)
    }

    /// Takes the target `name` out of what [`Self::sign_targets`] will sign; says whether it was there.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn remove_target(&mut self, name: &str) -> Result<bool, RepositoryError> {
        let mut working = self.working.clone();
        let was_there = working.remove(name).is_some();
        if was_there {
            self.save_working(working)?;
        }
        Ok(was_there)
    }

    fn save_working(&mut self, working: BTreeMap<String, Entry>) -> Result<(), RepositoryError> {
        let bytes = serde_json::to_vec_pretty(&working).expect("texts and numbers only");
        write_durable(&self.dir.join("working.json"), &bytes, 0o644)?;
        self.working = working;
        Ok(())
    }

    /// The bytes of target `name` as they will be signed next; none if there is no such target.
    ///
    /// # Errors
    /// When they cannot be read or are not those that were set.
    pub fn target(&self, name: &str) -> Result<Option<Vec<u8>>, RepositoryError> {
        let Some(entry) = self.working.get(name) else { return Ok(None) };
        self.read_target(name, entry).map(Some)
    }

    /// Names of all targets that will be signed next, sorted.
    pub fn target_names(&self) -> impl Iterator<Item = &str> {
        self.working.keys().map(String::as_str)
    }

    /// Signs the targets as they are now, as the next version. Nodes see it after the next [`Self::refresh`].
    ///
    /// # Errors
    /// When the keys do not reach the threshold or the disk refuses.
    pub fn sign_targets(
        &mut self,
        keys: &TargetsKeys<impl Signer>,
        expires: Timestamp,
    ) -> Result<(), RepositoryError> {
        let listed = self.working.iter().map(|(name, entry)| (name.as_str(), entry.sha256, entry.len_bytes));
        let version = next(self.versions().targets);
        let targets = metadata::targets(&self.root.role.signed, listed, version, keys, expires)?;
        write_durable(&self.metadata_path("targets.json"), &targets.bytes, 0o644)?;
        self.targets = Some(targets);
        Ok(())
    }

    /// Signs a new snapshot and timestamp over the signed targets, as of now. See [`Self::refresh_at`].
    ///
    /// # Errors
    /// As [`Self::refresh_at`].
    pub fn refresh(
        &mut self,
        keys: &FreshnessKeys<impl Signer>,
        expires: Timestamp,
    ) -> Result<(), RepositoryError> {
        self.refresh_at(keys, clock::now(), expires)
    }

    /// Signs a new snapshot and timestamp over the signed targets, said to be signed at `signed_at`.
    ///
    /// The freshness key vouches for nothing that does not verify: the targets' signatures are checked first.
    ///
    /// # Errors
    /// When there are no signed targets, they do not verify, the keys do not reach the threshold or the disk refuses.
    pub fn refresh_at(
        &mut self,
        keys: &FreshnessKeys<impl Signer>,
        signed_at: Timestamp,
        expires: Timestamp,
    ) -> Result<(), RepositoryError> {
        let Some(targets) = &self.targets else {
            return Err(RepositoryError::Order("sign the targets before the first refresh"));
        };
        let root = &self.root.role.signed;
        root.verify_role(&targets.role)
            .map_err(|source| RepositoryError::Unverified { role: "targets", source: Box::new(source) })?;
        let snapshot = metadata::snapshot(root, targets, next(self.versions().snapshot), keys, expires)?;
        let version = next(self.versions().timestamp);
        let timestamp = metadata::timestamp(root, &snapshot, version, keys, signed_at, expires)?;
        write_durable(&self.metadata_path("snapshot.json"), &snapshot.bytes, 0o644)?;
        write_durable(&self.metadata_path("timestamp.json"), &timestamp.bytes, 0o644)?;
        self.snapshot = Some(snapshot);
        self.timestamp = Some(timestamp);
        Ok(())
    }

    /// All metadata under the names in which it is served: every root, and the newest of the other roles.
    #[must_use]
    pub fn metadata_files(&self) -> Vec<(String, Vec<u8>)> {
        let mut files: Vec<_> = self
            .roots
            .iter()
            .map(|(version, bytes)| (format!("{version}.root.json"), bytes.clone()))
            .collect();
        if let Some(targets) = &self.targets {
            files.push((format!("{}.targets.json", targets.role.signed.version), targets.bytes.clone()));
        }
        if let Some(snapshot) = &self.snapshot {
            files.push((format!("{}.snapshot.json", snapshot.role.signed.version), snapshot.bytes.clone()));
        }
        if let Some(timestamp) = &self.timestamp {
            files.push(("timestamp.json".to_owned(), timestamp.bytes.clone()));
        }
        files
    }

    /// All targets of the newest signed targets metadata, under the names in which they are served: `HEX.name`.
    ///
    /// # Errors
    /// When one cannot be read or is not the one that was signed.
    pub fn target_files(&self) -> Result<Vec<(String, Vec<u8>)>, RepositoryError> {
        let Some(targets) = &self.targets else { return Ok(Vec::new()) };
        let mut files = Vec::new();
        for (name, target) in &targets.role.signed.targets {
            let mut digest = [0; 32];
            if target.hashes.sha256.len() != digest.len() {
                let path = self.metadata_path("targets.json");
                return Err(RepositoryError::Damaged { path, reason: "a hash is not SHA-256".to_owned() });
            }
            digest.copy_from_slice(&target.hashes.sha256);
            let entry = Entry { sha256: Sha256Digest(digest), len_bytes: target.length };
            let bytes = self.read_target(name.raw(), &entry)?;
            files.push((served_name(name.raw(), &entry), bytes));
        }
        files.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(files)
    }

    /// The exact bytes of the newest root.
    #[must_use]
    pub fn root_bytes(&self) -> &[u8] {
        self.roots.values().next_back().expect("create and open put at least one in")
    }

    /// The exact bytes of the first root, whose digest says which fleet this is.
    #[must_use]
    pub fn first_root_bytes(&self) -> &[u8] {
        self.roots.values().next().expect("create and open put at least one in")
    }

    /// The exact bytes of snapshot and timestamp; none before the first refresh.
    #[must_use]
    pub fn seal(&self) -> Option<(&[u8], &[u8])> {
        Some((&self.snapshot.as_ref()?.bytes, &self.timestamp.as_ref()?.bytes))
    }

    /// The newest versions; zero where a role was not signed yet.
    #[must_use]
    pub fn versions(&self) -> TrustSeen {
        TrustSeen {
            root: self.root.role.signed.version.get(),
            targets: self.targets.as_ref().map_or(0, |made| made.role.signed.version.get()),
            snapshot: self.snapshot.as_ref().map_or(0, |made| made.role.signed.version.get()),
            timestamp: self.timestamp.as_ref().map_or(0, |made| made.role.signed.version.get()),
        }
    }

    fn metadata_path(&self, name: &str) -> PathBuf {
        self.dir.join("metadata").join(name)
    }

    fn target_path(&self, name: &str, entry: &Entry) -> PathBuf {
        self.dir.join("targets").join(served_name(name, entry))
    }

    fn read_target(&self, name: &str, entry: &Entry) -> Result<Vec<u8>, RepositoryError> {
        let path = self.target_path(name, entry);
        let bytes = fs::read(&path).map_err(|source| RepositoryError::Read { path: path.clone(), source })?;
        if sha256(&bytes) != entry.sha256 || bytes.len() as u64 != entry.len_bytes {
            return Err(RepositoryError::Damaged { path, reason: "its digest differs".to_owned() });
        }
        Ok(bytes)
    }
}

fn served_name(name: &str, entry: &Entry) -> String {
    format!("{}.{name}", entry.sha256.hex())
}

const fn next(version: u64) -> u64 {
    version.saturating_add(1)
}

/// Whether `name` is safe as a flat target name: one path segment that needs no escaping anywhere.
pub(crate) fn is_target_name(name: &str) -> bool {
    name.len() <= TARGET_NAME_LEN_MAX
        && name.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-'))
}

/// Largest length of the target `name`, in bytes.
pub(crate) fn target_len_max(name: &str) -> u64 {
    if name.starts_with("bundle.") {
        crate::limits::BUNDLE_TARGET_LEN_MAX
    } else {
        crate::limits::TARGET_LEN_MAX
    }
}

fn read_optional(path: &Path) -> Result<Option<Vec<u8>>, RepositoryError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(RepositoryError::Read { path: path.to_owned(), source }),
    }
}

fn read_role<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<Made<T>>, RepositoryError> {
    let Some(bytes) = read_optional(path)? else { return Ok(None) };
    Ok(Some(Made { role: parse(path, &bytes)?, bytes }))
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, RepositoryError> {
    serde_json::from_slice(bytes)
        .map_err(|error| RepositoryError::Damaged { path: path.to_owned(), reason: error.to_string() })
}
