//! Signing by several: one set of targets goes from hand to hand until its threshold is reached.
//!
//! What travels is a *handover*: the roots, the targets metadata with the signatures it has so far, and its documents.
//! Whoever takes one over believes nothing of it: roots must continue the own chain, each signature must hold, each
//! document must have its listed digest, and the caller is told every change before anything is signed.

use std::collections::BTreeMap;

use croft_domain::digest::Sha256Digest;
use croft_domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use tough::schema::key::Key;
use tough::schema::{Role, RoleType, Root, Signature, Signed, Targets};

use super::roles::{RoleHolders, Roles, TargetsKeys};
use super::{Made, Repository, RepositoryError, metadata};
use crate::digest::sha256;
use crate::disk::write_durable;
use crate::limits::{HANDOVER_LEN_MAX, ROOT_UPDATES_MAX};
use crate::sign::{POINT_LEN, Signer};

/// Where targets wait for their other signatures.
const PENDING: &str = "pending.targets.json";

/// How far signing by several has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Of which targets version.
    pub version: u64,
    /// Key ids (SHA-256 of the public point) whose signatures hold.
    pub signed_by: Vec<Sha256Digest>,
    /// How many are needed.
    pub threshold: u64,
}

impl Progress {
    /// Whether it is enough.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.signed_by.len() as u64 >= self.threshold
    }
}

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
}

fn refused(reason: &'static str) -> RepositoryError {
    RepositoryError::Handover(reason)
}

impl Repository {
    /// The roles as the newest root lists them.
    ///
    /// # Errors
    /// When it lists something else than P-256 keys.
    pub fn roles(&self) -> Result<Roles, RepositoryError> {
        let root = &self.root.role.signed;
        let holders = |role: RoleType| {
            let listed = root.roles.get(&role).ok_or_else(|| refused("the root does not list every role"))?;
            let point = |id| match root.keys.get(id) {
                Some(Key::Ecdsa { keyval, .. }) => <[u8; POINT_LEN]>::try_from(&keyval.public[..])
                    .map_err(|_| refused("the root lists a key that is not on P-256")),
                _ => Err(refused("the root lists a key that is not on P-256")),
            };
            let points = listed.keyids.iter().map(point).collect::<Result<_, _>>()?;
            Ok::<_, RepositoryError>(RoleHolders { points, threshold: listed.threshold.get() })
        };
        Ok(Roles {
            root: holders(RoleType::Root)?,
            targets: holders(RoleType::Targets)?,
            freshness: holders(RoleType::Timestamp)?,
        })
    }

    /// Verifies what lies here as a client would: the chain of roots, the targets' threshold, every document.
    ///
    /// # Errors
    /// [`RepositoryError::Unverified`] or [`RepositoryError::Damaged`] names what does not hold.
    pub fn verify(&self) -> Result<(), RepositoryError> {
        let mut before: Option<Root> = None;
        for (version, bytes) in &self.roots {
            before = Some(continue_chain(before.as_ref(), *version, bytes)?.signed);
        }
        let targets = self.targets.as_ref().ok_or(RepositoryError::Order("nothing is signed yet"))?;
        self.root.role.signed.verify_role(&targets.role).map_err(unverified("targets"))?;
        self.target_files().map(|_| ())
    }

    /// Drops changes that were never signed: those of a run that failed or was killed in between. Without it the next
    /// signature, for something else, would cover them unseen.
    ///
    /// # Errors
    /// When the disk refuses, or what is signed is damaged.
    pub fn forget_unsigned(&mut self) -> Result<(), RepositoryError> {
        let pending = self.read_pending()?;
        let Some(made) = pending.as_ref().or(self.targets.as_ref()) else { return Ok(()) };
        let signed = listed(&made.role.signed)?;
        if self.working == signed { Ok(()) } else { self.save_working(signed) }
    }

    /// Signs the targets with those of `keys` that the root lists, whether or not they reach the threshold. Below it
    /// they wait for other publishers, and [`Self::pending`] says so; signing goes on where another has left off.
    ///
    /// # Errors
    /// When none of the keys is a publisher's, or the disk refuses.
    pub fn sign_targets_partly(
        &mut self,
        keys: &TargetsKeys<impl Signer>,
        expires: Timestamp,
    ) -> Result<Progress, RepositoryError> {
        let root = &self.root.role.signed;
        let listed = self.working.iter().map(|(name, entry)| (name.as_str(), entry.sha256, entry.len_bytes));
        let version = super::next(self.versions().targets);
        let fresh = metadata::unsigned_targets(listed, version, expires)?;
        let mut role = match self.read_pending()? {
            // The same content: its exact signed part is kept, with its own expiry.
            Some(made)
                if made.role.signed.version == fresh.version && made.role.signed.targets == fresh.targets =>
            {
                made.role
            }
            _ => Signed { signed: fresh, signatures: Vec::new() },
        };
        let added = metadata::signatures(&role.signed, root, &keys.0)?;
        if added.is_empty() {
            let threshold = self.roles()?.targets.threshold;
            return Err(RepositoryError::KeysMissing { role: "targets", threshold, given: 0 });
        }
        merge(&mut role, added);
        self.keep_targets(role)
    }

    /// Stores targets metadata as pending or, when its threshold is reached, as signed.
    fn keep_targets(&mut self, mut role: Signed<Targets>) -> Result<Progress, RepositoryError> {
        let root = &self.root.role.signed;
        role.signatures.retain(|signature| holds(root, &role.signed, signature));
        let progress = self.progress(&role)?;
        let made = metadata::made(role);
        let pending = self.dir.join(PENDING);
        if progress.is_complete() {
            write_durable(&self.metadata_path("targets.json"), &made.bytes, 0o644)?;
            self.targets = Some(made);
            match std::fs::remove_file(&pending) {
                Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                    return Err(RepositoryError::Read { path: pending, source });
                }
                _ => {}
            }
        } else {
            write_durable(&pending, &made.bytes, 0o644)?;
        }
        Ok(progress)
    }

    fn read_pending(&self) -> Result<Option<Made<Targets>>, RepositoryError> {
        super::read_role(&self.dir.join(PENDING))
    }

    /// How far targets have come that wait for signatures; none when nothing waits.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn pending(&self) -> Result<Option<Progress>, RepositoryError> {
        self.read_pending()?.map(|made| self.progress(&made.role)).transpose()
    }

    /// Whether the snapshot lists the newest signed targets, and the root in force has let its signers sign.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        let (Some(snapshot), Some(timestamp)) = (&self.snapshot, &self.timestamp) else { return false };
        let listed = snapshot.role.signed.meta.get("targets.json").map(|file| file.version.get());
        let root = &self.root.role.signed;
        listed == Some(self.versions().targets)
            && root.verify_role(&snapshot.role).is_ok()
            && root.verify_role(&timestamp.role).is_ok()
    }

    /// Who has signed the targets that are in force.
    ///
    /// # Errors
    /// When the root is not usable.
    pub fn signed_by(&self) -> Result<Option<Progress>, RepositoryError> {
        self.targets.as_ref().map(|made| self.progress(&made.role)).transpose()
    }

    fn progress(&self, role: &Signed<Targets>) -> Result<Progress, RepositoryError> {
        let root = &self.root.role.signed;
        let mut signed_by: Vec<_> = role
            .signatures
            .iter()
            .filter(|signature| holds(root, &role.signed, signature))
            .filter_map(|signature| match root.keys.get(&signature.keyid) {
                Some(Key::Ecdsa { keyval, .. }) => Some(sha256(&keyval.public)),
                _ => None,
            })
            .collect();
        signed_by.sort_unstable_by_key(|id| id.0);
        signed_by.dedup();
        let threshold = self.roles()?.targets.threshold;
        Ok(Progress { version: role.signed.version.get(), signed_by, threshold })
    }

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
        let handover = Handover { schema: 1, roots, targets: text(made.bytes.clone())?, documents };
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

    fn judge(&self, bytes: &[u8]) -> Result<Offer, RepositoryError> {
        if bytes.len() as u64 > HANDOVER_LEN_MAX {
            return Err(RepositoryError::Limit("a handover has at most 64 MiB"));
        }
        let handover: Handover =
            serde_json::from_slice(bytes).map_err(|_| refused("it is not a handover"))?;
        if handover.schema != 1 {
            return Err(refused("it is of an unknown schema"));
        }
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
        if !(offered == super::next(own) || is_ours) {
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
        Ok(Offer { roots, targets, documents: handover.documents, changes })
    }

    fn take(&mut self, offer: Offer) -> Result<Progress, RepositoryError> {
        let Offer { roots, mut targets, documents, changes: _ } = offer;
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
        merge(&mut targets, known);
        self.keep_targets(targets)
    }
}

/// A handover that holds.
struct Offer {
    roots: BTreeMap<u64, Vec<u8>>,
    targets: Signed<Targets>,
    documents: BTreeMap<String, String>,
    changes: Vec<Change>,
}

/// Verifies a root after `before`: signed by a threshold of the keys before it and of its own (TUF 5.3.4).
fn continue_chain(
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

fn unverified(role: &'static str) -> impl Fn(tough::schema::Error) -> RepositoryError {
    move |source| RepositoryError::Unverified { role, source: Box::new(source) }
}

/// Whether this one signature holds, judged by a root whose targets role has this key alone.
fn holds(root: &Root, signed: &Targets, signature: &Signature) -> bool {
    let mut alone = root.clone();
    let Some(role) = alone.roles.get_mut(&RoleType::Targets) else { return false };
    if !role.keyids.contains(&signature.keyid) {
        return false;
    }
    role.keyids = vec![signature.keyid.clone()];
    role.threshold = std::num::NonZeroU64::MIN;
    alone.verify_role(&Signed { signed: signed.clone(), signatures: vec![signature.clone()] }).is_ok()
}

/// Adds signatures of keys that have not signed yet.
fn merge<T: Role>(role: &mut Signed<T>, more: Vec<Signature>) {
    for signature in more {
        if role.signatures.iter().all(|own| own.keyid != signature.keyid) {
            role.signatures.push(signature);
        }
    }
}

fn listed(targets: &Targets) -> Result<BTreeMap<String, super::Entry>, RepositoryError> {
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
