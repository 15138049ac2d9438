//! What travels between the machines of a fleet's key holders: the roots, the targets metadata with the signatures it
//! has so far, its documents, and the seal of the freshness key where there is one.
//!
//! Whoever takes one over believes nothing of it: roots must continue the own chain, each signature must hold, each
//! document must have its listed digest, and the caller is told every change before anything is signed.

use std::collections::BTreeMap;
use std::path::Path;

use croft_domain::digest::Sha256Digest;
use serde::{Deserialize, Serialize};
use tough::schema::{Root, Signed, Snapshot, Targets, Timestamp};

use super::ceremony::{Progress, holds, merge, unverified};
use super::{Made, Repository, RepositoryError};
use crate::digest::sha256;
use crate::disk::{create_private_dir, write_durable};
use crate::limits::{HANDOVER_LEN_MAX, ROOT_UPDATES_MAX, ROOTS_STORED_MAX};

/// What a handover would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A target that was not there.
    Added(String),
    /// A target with other bytes.
    Changed(String),
    /// A target that goes away.
    Removed(String),
    /// New root metadata.
    Root(u64),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Handover {
    schema: u32,
    roots: BTreeMap<u64, String>,
    targets: String,
    documents: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seal: Option<Seal>,
}

/// Snapshot and timestamp over the targets.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seal {
    snapshot: String,
    timestamp: String,
}

pub(super) fn refused(reason: &'static str) -> RepositoryError {
    RepositoryError::Handover(reason)
}

impl Repository {
    /// What another publisher needs to add a signature, or to learn of the ones that are there.
    ///
    /// # Errors
    /// When nothing is signed, or a document cannot be read.
    pub fn handover(&self) -> Result<Vec<u8>, RepositoryError> {
        let pending = self.read_pending()?;
        let made = pending.as_ref().or(self.targets.as_ref());
        let made = made.ok_or(RepositoryError::Order("nothing is signed yet"))?;
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(|_| refused("a document is not text"));
        let mut documents = BTreeMap::new();
        for (name, entry) in listed(&made.role.signed)? {
            documents.insert(name.clone(), text(self.read_target(&name, &entry)?)?);
        }
        let roots = self
            .roots
            .iter()
            .map(|(version, bytes)| Ok((*version, text(bytes.clone())?)))
            .collect::<Result<_, RepositoryError>>()?;
        let sealed = self.snapshot.as_ref().zip(self.timestamp.as_ref());
        let seal = sealed
            .filter(|_| pending.is_none() && self.is_sealed())
            .map(|(snapshot, timestamp)| {
                let (snapshot, timestamp) = (text(snapshot.bytes.clone())?, text(timestamp.bytes.clone())?);
                Ok::<_, RepositoryError>(Seal { snapshot, timestamp })
            })
            .transpose()?;
        let targets = text(made.bytes.clone())?;
        let handover = Handover { schema: 1, roots, targets, documents, seal };
        let bytes = serde_json::to_vec(&handover).expect("texts and numbers only");
        if bytes.len() as u64 > HANDOVER_LEN_MAX {
            return Err(RepositoryError::Limit("a handover has at most 64 MiB"));
        }
        Ok(bytes)
    }

    /// Takes a handover: `accept` is shown every change and says whether it may be taken. Nothing changes on a no, or on
    /// any doubt.
    ///
    /// # Errors
    /// [`RepositoryError::Handover`] or [`RepositoryError::Unverified`] says what is wrong with it.
    pub fn adopt<E: From<RepositoryError>>(
        &mut self,
        bytes: &[u8],
        accept: impl FnOnce(&[Change], &BTreeMap<String, String>) -> Result<(), E>,
    ) -> Result<Progress, E> {
        let offer = self.judge(bytes)?;
        accept(&offer.changes, &offer.documents)?;
        Ok(self.take(offer)?)
    }

    /// Starts a repository in `dir` from a handover that enough publishers have signed, on the machine of a further key
    /// holder. `root_sha256` is the digest of the fleet's first root, which its founder reads out.
    ///
    /// # Errors
    /// [`RepositoryError::Handover`] for another fleet's or one that is not signed by enough,
    /// [`RepositoryError::Exists`] when there is a repository already.
    pub fn join(dir: &Path, bytes: &[u8], root_sha256: Sha256Digest) -> Result<Self, RepositoryError> {
        if dir.join("metadata/1.root.json").exists() {
            return Err(RepositoryError::Exists(dir.to_owned()));
        }
        let handover = parse(bytes)?;
        let first = handover.roots.get(&1).ok_or_else(|| refused("it lacks the first root"))?;
        if sha256(first.as_bytes()) != root_sha256 {
            return Err(refused("its first root is not the one whose digest was given"));
        }
        if handover.roots.len() > ROOTS_STORED_MAX {
            return Err(RepositoryError::Limit("1024 roots"));
        }
        let mut root = continue_chain(None, 1, first.as_bytes())?.signed;
        for (version, text) in handover.roots.iter().skip(1) {
            root = continue_chain(Some(&root), *version, text.as_bytes())?.signed;
        }
        let targets: Signed<Targets> =
            serde_json::from_str(&handover.targets).map_err(|_| refused("its targets cannot be read"))?;
        root.verify_role(&targets).map_err(unverified("targets"))?;
        for folder in [dir.to_owned(), dir.join("metadata"), dir.join("targets")] {
            create_private_dir(&folder)?;
        }
        // Later roots first: without the first one a folder that a crash left is no repository, and this is repeated.
        for (version, text) in handover.roots.iter().rev() {
            let path = dir.join(format!("metadata/{version}.root.json"));
            write_durable(&path, text.as_bytes(), 0o644)?;
        }
        let mut joined = Self::open(dir)?;
        joined.adopt(bytes, |_, _| Ok::<_, RepositoryError>(()))?;
        Ok(joined)
    }

    fn judge(&self, bytes: &[u8]) -> Result<Offer, RepositoryError> {
        let handover = parse(bytes)?;
        let mut changes = Vec::new();
        let mut root = self.root.role.signed.clone();
        let mut roots = BTreeMap::new();
        for (version, text) in &handover.roots {
            match self.roots.get(version) {
                Some(own) if own == text.as_bytes() => {}
                Some(_) => return Err(refused("its roots are not this fleet's")),
                None if roots.len() as u64 >= ROOT_UPDATES_MAX => {
                    return Err(RepositoryError::Limit("64 new roots at once"));
                }
                None => {
                    root = continue_chain(Some(&root), *version, text.as_bytes())?.signed;
                    roots.insert(*version, text.clone().into_bytes());
                    changes.push(Change::Root(*version));
                }
            }
        }
        if handover.roots.keys().next_back().copied() != Some(root.version.get()) {
            return Err(refused("it knows an older root than this machine"));
        }
        let targets: Signed<Targets> =
            serde_json::from_str(&handover.targets).map_err(|_| refused("its targets cannot be read"))?;
        let own = self.versions().targets;
        let offered = targets.signed.version.get();
        let is_ours = self.targets.as_ref().is_some_and(|made| made.role.signed == targets.signed);
        // Nothing is signed here on the first day of a machine that joins; then any version may be the first.
        if !(offered == super::next(own) || is_ours || own == 0) {
            return Err(refused("its targets are not the version after this machine's"));
        }
        if !targets.signatures.iter().any(|signature| holds(&root, &targets.signed, signature)) {
            return Err(refused("no publisher of this fleet has signed it"));
        }
        let entries = listed(&targets.signed)?;
        if entries.keys().ne(handover.documents.keys()) {
            return Err(refused("its documents are not those that it lists"));
        }
        for (name, entry) in &entries {
            let text = &handover.documents[name];
            if sha256(text.as_bytes()) != entry.sha256 || text.len() as u64 != entry.len_bytes {
                return Err(refused("a document is not the one that it lists"));
            }
            match self.working.get(name) {
                None => changes.push(Change::Added(name.clone())),
                Some(own) if own.sha256 != entry.sha256 => changes.push(Change::Changed(name.clone())),
                Some(_) => {}
            }
        }
        let removed = self.working.keys().filter(|name| !entries.contains_key(*name));
        changes.extend(removed.map(|name| Change::Removed(name.clone())));
        let seal = handover.seal.map(|seal| judge_seal(&root, &handover.targets, seal)).transpose()?;
        Ok(Offer { roots, targets, text: handover.targets, documents: handover.documents, seal, changes })
    }

    fn take(&mut self, offer: Offer) -> Result<Progress, RepositoryError> {
        let Offer { roots, mut targets, text, documents, seal, changes: _ } = offer;
        for (version, bytes) in roots {
            write_durable(&self.metadata_path(&format!("{version}.root.json")), &bytes, 0o644)?;
            let role = serde_json::from_slice(&bytes).map_err(|_| refused("a root cannot be read"))?;
            self.root = Made { role, bytes: bytes.clone() };
            self.roots.insert(version, bytes);
        }
        for (name, text) in &documents {
            self.set_target(name, text.as_bytes())?;
        }
        let mut working = self.working.clone();
        working.retain(|name, _| documents.contains_key(name));
        self.save_working(working)?;
        let mine = self.read_pending()?.filter(|made| made.role.signed == targets.signed);
        let signed = self.targets.as_ref().filter(|made| made.role.signed == targets.signed);
        let known = mine.iter().chain(signed).flat_map(|made| made.role.signatures.clone()).collect();
        let came_with = targets.signatures.len();
        merge(&mut targets, known);
        // A seal lists a digest: it holds for the text that came, and not for the same targets written anew.
        let exact = seal.is_some() || targets.signatures.len() == came_with;
        let progress = self.keep_targets(targets, exact.then_some(text))?;
        if let Some((snapshot, timestamp)) = seal.filter(|(_, timestamp)| {
            progress.is_complete() && timestamp.role.signed.version.get() > self.versions().timestamp
        }) {
            write_durable(&self.metadata_path("snapshot.json"), &snapshot.bytes, 0o644)?;
            write_durable(&self.metadata_path("timestamp.json"), &timestamp.bytes, 0o644)?;
            (self.snapshot, self.timestamp) = (Some(snapshot), Some(timestamp));
        }
        Ok(progress)
    }
}

/// A handover that holds.
struct Offer {
    seal: Option<(Made<Snapshot>, Made<Timestamp>)>,
    roots: BTreeMap<u64, Vec<u8>>,
    targets: Signed<Targets>,
    /// Its exact bytes.
    text: String,
    documents: BTreeMap<String, String>,
    changes: Vec<Change>,
}

fn parse(bytes: &[u8]) -> Result<Handover, RepositoryError> {
    if bytes.len() as u64 > HANDOVER_LEN_MAX {
        return Err(RepositoryError::Limit("a handover has at most 64 MiB"));
    }
    let handover: Handover = serde_json::from_slice(bytes).map_err(|_| refused("it is not a handover"))?;
    if handover.schema == 1 { Ok(handover) } else { Err(refused("it is of an unknown schema")) }
}

/// A seal counts if the freshness key of `root` made both parts, over these targets.
fn judge_seal(
    root: &Root,
    targets: &str,
    seal: Seal,
) -> Result<(Made<Snapshot>, Made<Timestamp>), RepositoryError> {
    let unreadable = |_| refused("its seal cannot be read");
    let snapshot: Signed<Snapshot> = serde_json::from_str(&seal.snapshot).map_err(unreadable)?;
    let timestamp: Signed<Timestamp> = serde_json::from_str(&seal.timestamp).map_err(unreadable)?;
    root.verify_role(&snapshot).map_err(unverified("snapshot"))?;
    root.verify_role(&timestamp).map_err(unverified("timestamp"))?;
    let listed = snapshot.signed.meta.get("targets.json").and_then(|file| file.hashes.as_ref());
    if listed.is_none_or(|hashes| hashes.sha256[..] != sha256(targets.as_bytes()).0) {
        return Err(refused("its seal is over other targets"));
    }
    Ok((
        Made { role: snapshot, bytes: seal.snapshot.into_bytes() },
        Made { role: timestamp, bytes: seal.timestamp.into_bytes() },
    ))
}

/// Verifies a root after `before`: signed by a threshold of the keys before it and of its own (TUF 5.3.4).
pub(super) fn continue_chain(
    before: Option<&Root>,
    version: u64,
    bytes: &[u8],
) -> Result<Signed<Root>, RepositoryError> {
    let root: Signed<Root> = serde_json::from_slice(bytes).map_err(|_| refused("a root cannot be read"))?;
    let follows = before.map_or(version, |before| before.version.get() + 1);
    if root.signed.version.get() != version || follows != version {
        return Err(refused("the chain of roots has a gap"));
    }
    for judge in before.into_iter().chain([&root.signed]) {
        judge.verify_role(&root).map_err(unverified("root"))?;
    }
    Ok(root)
}

pub(super) fn listed(targets: &Targets) -> Result<BTreeMap<String, super::Entry>, RepositoryError> {
    let entry = |(name, target): (&tough::TargetName, &tough::schema::Target)| {
        let digest = <[u8; 32]>::try_from(&target.hashes.sha256[..]);
        let digest = digest.map_err(|_| refused("a listed hash is not SHA-256"))?;
        let name = name.raw().to_owned();
        if !super::is_target_name(&name) {
            return Err(RepositoryError::TargetName(name));
        }
        Ok((name, super::Entry { sha256: Sha256Digest(digest), len_bytes: target.length }))
    };
    if targets.delegations.is_some() {
        return Err(refused("delegations are not used"));
    }
    targets.targets.iter().map(entry).collect()
}
