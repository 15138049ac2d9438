//! Signing on the workbench: alone when one publisher suffices, step by step when it takes several.
//!
//! The freshness key vouches for nothing by itself: before it signs, everything here is verified as a node would, and
//! held against the floors, which lie apart from the repository so that an old copy of it is noticed.

use std::collections::BTreeMap;
use std::path::Path;

use croft_domain::bundle::Manifest;
use croft_domain::digest::Sha256Digest;
use croft_domain::time::Timestamp;
use croft_proto::grpc::SealRequest;
use croft_trust::digest::sha256;
use croft_trust::oms::{self, Resource};
use croft_trust::repository::{Progress, Roles, RootKeys, TargetsKeys};
use croft_trust::sign::Signer;
use croft_trust::store::Floors;

use super::{Workbench, floors, read_fleet, refresh, repository};
use crate::client::{connect_freshness, point, refused, signer};
use crate::draft::manifest_bytes;
use crate::error::CtlError;
use crate::fleet_dir::{KeyName, write};
use crate::limits::{FRESHNESS_TTL_S, ROOT_TTL_S, TARGETS_TTL_S};
use crate::output::say;

impl Workbench {
    /// Signs the targets with this machine's key and, when that suffices, the short-lived metadata over them. Else what
    /// is signed so far waits in `handover.json` for the others.
    ///
    /// # Errors
    /// A key cannot be used, or the disk refuses.
    pub fn sign(&mut self, now: Timestamp) -> Result<(), CtlError> {
        let keys = TargetsKeys(vec![signer(&self.dir, KeyName::Targets)?]);
        let progress = self
            .repository
            .sign_targets_partly(&keys, now.plus(TARGETS_TTL_S))
            .map_err(repository("sign the targets"))?;
        self.go_on(&progress, now)
    }

    /// Signs after [`Self::change_fleet`], unless nothing changed and it would take other publishers to sign nothing: the
    /// last step of a command that waited for them is done by repeating it.
    ///
    /// # Errors
    /// As [`Self::sign`].
    pub fn sign_change(&mut self, is_change: bool, now: Timestamp) -> Result<(), CtlError> {
        if is_change || self.roles()?.targets.threshold == 1 { self.sign(now) } else { Ok(()) }
    }

    /// Whether the freshness key on this machine is the one that the root lists.
    fn holds_freshness(&self) -> Result<bool, CtlError> {
        let own = point(&self.dir, KeyName::Freshness)?;
        let listed = self.roles()?.freshness.points;
        Ok(own.is_some_and(|own| listed.contains(&own)))
    }

    /// After a signature: the next step that can be done here, or whom to ask for it.
    fn go_on(&mut self, progress: &Progress, now: Timestamp) -> Result<(), CtlError> {
        if progress.is_complete() && !self.repository.is_sealed() && self.holds_freshness()? {
            return self.refresh(now, FRESHNESS_TTL_S);
        }
        let path = self.dir.handover();
        self.save_handover(&path)?;
        let (have, need) = (progress.signed_by.len(), progress.threshold);
        say(&format!("{have} of {need} publishers have signed version {}", progress.version));
        say(&if progress.is_complete() {
            match self.repository.is_sealed() {
                true => "sealed; next: croftctl trust publish".to_owned(),
                false => {
                    format!(
                        "next, on the freshness host: croftctl trust refresh --handover {}",
                        path.display()
                    )
                }
            }
        } else {
            format!("next, another publisher: croftctl trust adopt {} --sign", path.display())
        });
        Ok(())
    }

    /// Signs the short-lived metadata only, good for `lifetime_s` seconds, if all that it vouches for holds.
    ///
    /// # Errors
    /// Something does not verify or is below the floors, the freshness key cannot be used, or the disk refuses.
    pub fn refresh(&mut self, now: Timestamp, lifetime_s: u64) -> Result<(), CtlError> {
        self.repository.verify().map_err(repository("verify what would be signed"))?;
        let mut floors = floors::load(&self.dir)?;
        let found = floors::of(&self.repository, now)?;
        floors::check(&floors, &found)?;
        refresh(&mut self.repository, &self.dir, now, lifetime_s)?;
        floors.raise(&Floors { versions: self.repository.versions(), ..found });
        floors::save(&self.dir, &floors)
    }

    /// Writes what is signed to a file for another machine.
    ///
    /// # Errors
    /// Nothing is signed, or the disk refuses.
    pub fn save_handover(&self, path: &Path) -> Result<(), CtlError> {
        let handover = self.repository.handover().map_err(repository("write the handover"))?;
        write(path, &handover, 0o600)
    }

    /// Brings snapshot and timestamp to the controller without a certificate: their signatures are the proof, and they
    /// change nothing but how long the published set is good for.
    ///
    /// # Errors
    /// [`CtlError::NotPublished`], with the cause.
    pub async fn bring_seal(&self) -> Result<(), CtlError> {
        self.check_publishable()?;
        let not_published = |error| CtlError::NotPublished { source: Box::new(error) };
        let (snapshot, timestamp) = self
            .repository
            .seal()
            .map(|(snapshot, timestamp)| (snapshot.to_vec(), timestamp.to_vec()))
            .unwrap_or_default();
        let mut controller = connect_freshness(&self.dir).await.map_err(not_published)?;
        let answer = controller.seal(SealRequest { snapshot, timestamp }).await;
        let version = answer.map_err(refused("seal")).map_err(not_published)?.into_inner().timestamp_version;
        say(&format!("the controller took the seal, timestamp {version}"));
        Ok(())
    }

    /// Digest of the first root's exact bytes, which says which fleet this is.
    pub fn first_root(&self) -> Sha256Digest {
        sha256(self.repository.first_root_bytes())
    }

    /// Refuses to publish what too few have signed, or what the freshness key has not seen.
    ///
    /// # Errors
    /// [`CtlError::Unapproved`] says whose signature is missing.
    pub fn check_publishable(&self) -> Result<(), CtlError> {
        let path = self.dir.handover();
        if let Some(progress) = self.repository.pending().map_err(repository("read what is pending"))? {
            return Err(CtlError::Unapproved {
                message: format!(
                    "{} of {} publishers have signed version {}",
                    progress.signed_by.len(),
                    progress.threshold,
                    progress.version
                ),
                hint: format!(
                    "another publisher adds theirs: croftctl trust adopt {} --sign",
                    path.display()
                ),
            });
        }
        if self.repository.is_sealed() {
            return Ok(());
        }
        Err(CtlError::Unapproved {
            message: "the freshness key has not signed the newest targets".to_owned(),
            hint: format!("on the freshness host: croftctl trust refresh --handover {}", path.display()),
        })
    }

    /// Puts an OMS signature beside a bundle's manifest, for people who check it without Croft.
    ///
    /// # Errors
    /// The key cannot be used, or the disk refuses.
    pub fn set_oms(&mut self, manifest: &Manifest) -> Result<(), CtlError> {
        let key = signer(&self.dir, KeyName::Targets)?;
        let model = format!("{}-{}", manifest.name, manifest.version);
        let resources = oms_resources(manifest)?;
        let bytes = oms::sign(&*key, &model, &resources).map_err(repository("sign for OMS"))?;
        let name = format!("oms.{}.{}.json", manifest.name, manifest.version);
        self.repository.set_target(&name, &bytes).map_err(repository("add the OMS signature"))
    }

    /// Takes another publisher's handover, if `accept` agrees to its changes; signs as well if `sign`.
    ///
    /// # Errors
    /// It does not hold, `accept` refuses, or a key cannot be used.
    pub fn adopt(
        &mut self,
        bytes: &[u8],
        sign: bool,
        now: Timestamp,
        accept: impl FnOnce(&[croft_trust::repository::Change], &BTreeMap<String, String>) -> Result<(), CtlError>,
    ) -> Result<(), CtlError> {
        let progress = self.repository.adopt(bytes, accept)?;
        self.fleet = read_fleet(&self.repository)?;
        if sign && !progress.is_complete() {
            return self.sign(now);
        }
        self.go_on(&progress, now)
    }

    /// The roles, as the newest root lists them.
    ///
    /// # Errors
    /// The root is not one that croftctl made.
    pub fn roles(&self) -> Result<Roles, CtlError> {
        self.repository.roles().map_err(repository("read the roles"))
    }

    /// Signatures that wait for others, and those in force.
    ///
    /// # Errors
    /// The repository is damaged.
    pub fn progress(&self) -> Result<(Option<Progress>, Option<Progress>), CtlError> {
        let read = repository("read the signatures");
        Ok((self.repository.pending().map_err(&read)?, self.repository.signed_by().map_err(&read)?))
    }

    /// Signs the next root with every root key on this machine and `more`, then all that hangs on it.
    ///
    /// # Errors
    /// Too few root keys are here, or the disk refuses.
    pub fn rotate_root(
        &mut self,
        roles: &Roles,
        more: Vec<Box<dyn Signer>>,
        now: Timestamp,
    ) -> Result<(), CtlError> {
        let mut keys = more;
        for name in self.dir.root_keys() {
            keys.push(signer(&self.dir, name)?);
        }
        self.repository
            .rotate_root(roles, &RootKeys(keys), now.plus(ROOT_TTL_S))
            .map_err(repository("sign the next root"))?;
        say(&format!("root {} is signed", self.repository.versions().root));
        Ok(())
    }
}

/// What the OMS signature of a bundle covers: `docs/decisions/0004-oms-beside-the-manifest.md` gives the names.
fn oms_resources(manifest: &Manifest) -> Result<Vec<Resource>, CtlError> {
    let mut resources = vec![
        Resource { name: "manifest.json".to_owned(), sha256: sha256(&manifest_bytes(manifest)?) },
        Resource { name: "template.jinja".to_owned(), sha256: manifest.template.sha256 },
    ];
    for variant in manifest.every_variant() {
        let count = variant.files.len();
        let stem = match manifest.variants.is_empty() {
            true => "weights".to_owned(),
            false => format!("weights-{}", variant.name()),
        };
        for (at, file) in variant.files.iter().enumerate() {
            let name = match count {
                1 => format!("{stem}.gguf"),
                _ => format!("{stem}-{:05}-of-{count:05}.gguf", at + 1),
            };
            resources.push(Resource { name, sha256: file.sha256 });
        }
    }
    Ok(resources)
}

impl From<croft_trust::repository::RepositoryError> for CtlError {
    fn from(error: croft_trust::repository::RepositoryError) -> Self {
        repository("take over the handover")(error)
    }
}
