//! Signing by several: one set of targets goes from hand to hand until its threshold is reached. What travels is a
//! handover, see [`super::handover`].

use croft_domain::digest::Sha256Digest;
use croft_domain::time::Timestamp;
use serde::Serialize;
use tough::schema::key::Key;
use tough::schema::{Role, RoleType, Root, Signature, Signed, Targets};

use super::handover::{continue_chain, listed, refused};
use super::roles::{RoleHolders, Roles, TargetsKeys};
use super::{Made, Repository, RepositoryError, metadata};
use crate::digest::sha256;
use crate::disk::write_durable;
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
        self.keep_targets(role, None)
    }

    /// Stores targets metadata as pending or, when its threshold is reached, as signed; in the words of `exact` if they
    /// say the same.
    pub(super) fn keep_targets(
        &mut self,
        mut role: Signed<Targets>,
        exact: Option<String>,
    ) -> Result<Progress, RepositoryError> {
        let root = &self.root.role.signed;
        let before = role.signatures.len();
        role.signatures.retain(|signature| holds(root, &role.signed, signature));
        let progress = self.progress(&role)?;
        let made = match exact.filter(|_| role.signatures.len() == before) {
            Some(text) => Made { role, bytes: text.into_bytes() },
            None => metadata::made(role),
        };
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

    pub(super) fn read_pending(&self) -> Result<Option<Made<Targets>>, RepositoryError> {
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
}

pub(super) fn unverified(role: &'static str) -> impl Fn(tough::schema::Error) -> RepositoryError {
    move |source| RepositoryError::Unverified { role, source: Box::new(source) }
}

/// Whether this one signature holds, judged by a root whose targets role has this key alone.
pub(super) fn holds(root: &Root, signed: &Targets, signature: &Signature) -> bool {
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
pub(super) fn merge<T: Role>(role: &mut Signed<T>, more: Vec<Signature>) {
    for signature in more {
        if role.signatures.iter().all(|own| own.keyid != signature.keyid) {
            role.signatures.push(signature);
        }
    }
}
