//! The admin's workbench: the repository, the fleet document in it, and the two signatures that end every change.
//!
//! One workbench is open at a time. Keys are loaded for one signature and dropped. Whatever is signed here is on disk
//! before it is published, so a failed publication is repeated by `trust refresh`.

pub mod floors;
mod signing;

use std::collections::BTreeMap;
use std::fs::File;

use croft_domain::baseline::Baseline;
use croft_domain::bundle::Manifest;
use croft_domain::evidence::TrustSeen;
use croft_domain::fleet::Fleet;
use croft_domain::id::{BaselineName, BaselineRef, BundleName, BundleRef, PolicyRef, RuntimeRef};
use croft_domain::recall::Unrecall;
use croft_domain::runtime::Runtime;
use croft_domain::time::Timestamp;
use croft_domain::waiver::Waiver;
use croft_proto::grpc::{PublishTrustRequest, TrustFile};
use croft_trust::repository::{FreshnessKeys, Repository, TargetsKeys};

use crate::client::{Admin, refused, signer};
use crate::draft::manifest_bytes;
use crate::error::{Cause, CtlError};
use crate::fleet_dir::{FleetDir, KeyName};
use crate::limits::TARGETS_TTL_S;
use crate::output::say;

/// Name of the fleet document among the targets.
pub const FLEET_TARGET: &str = "fleet.json";

/// Name of the waivers among the targets.
pub const WAIVERS_TARGET: &str = "waivers.json";

/// Name of the recalls that were taken back among the targets.
pub const UNRECALLED_TARGET: &str = "unrecalled.json";

/// A failure of the repository, for `map_err`.
pub fn repository<E: Into<Cause>>(operation: &'static str) -> impl Fn(E) -> CtlError {
    move |error| CtlError::Repository { operation, source: error.into() }
}

/// The open workbench.
pub struct Workbench {
    dir: FleetDir,
    repository: Repository,
    fleet: Fleet,
    _lock: File,
}

impl Workbench {
    /// Opens the fleet in `dir` for this process alone.
    ///
    /// # Errors
    /// There is no fleet, its repository is damaged, or another croftctl is at work.
    pub fn open(dir: &FleetDir) -> Result<Self, CtlError> {
        dir.settings()?;
        let lock = dir.lock()?;
        let mut repository =
            Repository::open(&dir.repository()).map_err(self::repository("open the repository"))?;
        repository.forget_unsigned().map_err(self::repository("drop what was never signed"))?;
        let fleet = read_fleet(&repository)?;
        Ok(Self { dir: dir.clone(), repository, fleet, _lock: lock })
    }

    /// The fleet document as it will be signed next.
    pub const fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// Versions of the signed metadata.
    pub fn versions(&self) -> TrustSeen {
        self.repository.versions()
    }

    /// The exact bytes of the newest root.
    pub fn root_bytes(&self) -> &[u8] {
        self.repository.root_bytes()
    }

    /// The metadata as it is served.
    pub fn metadata_files(&self) -> Vec<(String, Vec<u8>)> {
        self.repository.metadata_files()
    }

    /// Metadata and targets under the names in which they are served.
    ///
    /// # Errors
    /// The repository is damaged.
    pub fn files(&self) -> Result<BTreeMap<String, Vec<u8>>, CtlError> {
        let targets = self.repository.target_files().map_err(repository("read the targets"))?;
        Ok(self.repository.metadata_files().into_iter().chain(targets).collect())
    }

    /// Changes the fleet document, and says whether that changed anything. Its epoch rises with every change.
    ///
    /// # Errors
    /// The change breaks a rule of the document, or the disk refuses.
    pub fn change_fleet(&mut self, change: impl FnOnce(&mut Fleet)) -> Result<bool, CtlError> {
        let mut fleet = self.fleet.clone();
        change(&mut fleet);
        if fleet == self.fleet {
            return Ok(false);
        }
        fleet.epoch = self.fleet.epoch + 1;
        set_fleet(&mut self.repository, &fleet)?;
        self.fleet = fleet;
        Ok(true)
    }

    /// An approved bundle.
    ///
    /// # Errors
    /// The repository is damaged.
    pub fn bundle(&self, bundle: &BundleRef) -> Result<Option<Manifest>, CtlError> {
        self.read(&format!("bundle.{}.{}.json", bundle.name, bundle.version))
    }

    /// A signed baseline.
    ///
    /// # Errors
    /// The repository is damaged.
    pub fn baseline(&self, baseline: &BaselineRef) -> Result<Option<Baseline>, CtlError> {
        self.read(&format!("baseline.{}.{}.json", baseline.name, baseline.version))
    }

    /// Versions of an approved bundle, in no order.
    pub fn bundle_versions(&self, name: &BundleName) -> Vec<u32> {
        self.versions_of("bundle", name.as_str())
    }

    /// Versions of a signed baseline, in no order.
    pub fn baseline_versions(&self, name: &BaselineName) -> Vec<u32> {
        self.versions_of("baseline", name.as_str())
    }

    fn versions_of(&self, kind: &str, name: &str) -> Vec<u32> {
        let version = |target: &str| {
            let rest = target.strip_prefix(kind)?.strip_prefix('.')?.strip_prefix(name)?;
            rest.strip_prefix('.')?.strip_suffix(".json")?.parse().ok()
        };
        self.repository.target_names().filter_map(version).collect()
    }

    fn read<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<Option<T>, CtlError> {
        let bytes = self.repository.target(name).map_err(repository("read a target"))?;
        bytes
            .map(|bytes| serde_json::from_slice(&bytes).map_err(repository("understand a target")))
            .transpose()
    }

    /// Puts a manifest among the targets.
    ///
    /// # Errors
    /// It is too large, or the disk refuses.
    pub fn set_bundle(&mut self, manifest: &Manifest) -> Result<(), CtlError> {
        let name = format!("bundle.{}.{}.json", manifest.name, manifest.version);
        self.repository.set_target(&name, &manifest_bytes(manifest)?).map_err(repository("add the manifest"))
    }

    /// Puts a bundle's bill of materials among the targets.
    ///
    /// # Errors
    /// It is too large, or the disk refuses.
    pub fn set_bom(&mut self, bundle: &BundleRef, bytes: &[u8]) -> Result<(), CtlError> {
        let name = format!("bom.{}.{}.json", bundle.name, bundle.version);
        self.repository.set_target(&name, bytes).map_err(repository("add the bill of materials"))
    }

    /// A bundle's bill of materials, its exact bytes.
    ///
    /// # Errors
    /// The repository is damaged.
    pub fn bom(&self, bundle: &BundleRef) -> Result<Option<Vec<u8>>, CtlError> {
        let name = format!("bom.{}.{}.json", bundle.name, bundle.version);
        self.repository.target(&name).map_err(repository("read a target"))
    }

    /// A signed runtime.
    ///
    /// # Errors
    /// The repository is damaged.
    pub fn runtime(&self, runtime: &RuntimeRef) -> Result<Option<Runtime>, CtlError> {
        self.read(&format!("runtime.{}.{}.json", runtime.name, runtime.version))
    }

    /// Puts a runtime among the targets.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn set_runtime(&mut self, runtime: &Runtime) -> Result<(), CtlError> {
        let name = format!("runtime.{}.{}.json", runtime.name, runtime.version);
        let bytes = serde_json::to_vec(runtime).map_err(repository("write the runtime"))?;
        self.repository.set_target(&name, &bytes).map_err(repository("add the runtime"))
    }

    /// The signed text of a policy.
    ///
    /// # Errors
    /// The repository is damaged.
    pub fn policy(&self, policy: &PolicyRef) -> Result<Option<String>, CtlError> {
        let bytes = self.repository.target(&policy_target(policy)).map_err(repository("read a policy"))?;
        bytes.map(|bytes| String::from_utf8(bytes).map_err(repository("understand a policy"))).transpose()
    }

    /// Puts a policy's text among the targets.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn set_policy(&mut self, policy: &PolicyRef, text: &str) -> Result<(), CtlError> {
        self.repository
            .set_target(&policy_target(policy), text.as_bytes())
            .map_err(repository("add the policy"))
    }

    /// Puts a baseline among the targets.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn set_baseline(&mut self, baseline: &Baseline) -> Result<(), CtlError> {
        let name = format!("baseline.{}.{}.json", baseline.name, baseline.version);
        let bytes = serde_json::to_vec(baseline).map_err(repository("write the baseline"))?;
        self.repository.set_target(&name, &bytes).map_err(repository("add the baseline"))
    }

    /// The waivers, in force or not.
    ///
    /// # Errors
    /// The repository is damaged.
    pub fn waivers(&self) -> Result<Vec<Waiver>, CtlError> {
        Ok(self.read(WAIVERS_TARGET)?.unwrap_or_default())
    }

    /// Replaces the waivers among the targets.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn set_waivers(&mut self, waivers: &[Waiver]) -> Result<(), CtlError> {
        let bytes = serde_json::to_vec(waivers).map_err(repository("write the waivers"))?;
        self.repository.set_target(WAIVERS_TARGET, &bytes).map_err(repository("change waivers.json"))
    }

    /// The recalls that were taken back.
    ///
    /// # Errors
    /// The repository is damaged.
    pub fn unrecalled(&self) -> Result<Vec<Unrecall>, CtlError> {
        Ok(self.read(UNRECALLED_TARGET)?.unwrap_or_default())
    }

    /// Replaces the recalls that were taken back.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn set_unrecalled(&mut self, unrecalled: &[Unrecall]) -> Result<(), CtlError> {
        let bytes = serde_json::to_vec(unrecalled).map_err(repository("write unrecalled.json"))?;
        self.repository.set_target(UNRECALLED_TARGET, &bytes).map_err(repository("change unrecalled.json"))
    }

    /// Publishes what is signed. The controller verifies it as a node would and takes all of it or nothing.
    ///
    /// # Errors
    /// [`CtlError::NotPublished`], with the cause.
    pub async fn publish(&self, admin: &mut Admin) -> Result<(), CtlError> {
        self.check_publishable()?;
        let not_published = |error| CtlError::NotPublished { source: Box::new(error) };
        publish(&self.repository, admin).await.map_err(not_published)
    }

    /// Connects and publishes.
    ///
    /// # Errors
    /// [`CtlError::NotPublished`], with the cause.
    pub async fn connect_and_publish(&self) -> Result<Admin, CtlError> {
        self.check_publishable()?;
        let mut admin = crate::client::connect(&self.dir)
            .await
            .map_err(|error| CtlError::NotPublished { source: Box::new(error) })?;
        self.publish(&mut admin).await?;
        Ok(admin)
    }
}

/// The fleet document among the targets of a repository.
///
/// # Errors
/// There is none, or it breaks its own rules.
pub fn read_fleet(repository: &Repository) -> Result<Fleet, CtlError> {
    let bytes = repository
        .target(FLEET_TARGET)
        .map_err(self::repository("read fleet.json"))?
        .ok_or_else(|| self::repository("read fleet.json")("there is none"))?;
    let fleet: Fleet = serde_json::from_slice(&bytes).map_err(self::repository("understand fleet.json"))?;
    fleet.validate().map_err(self::repository("understand fleet.json"))?;
    Ok(fleet)
}

/// Puts a fleet document among the targets of a repository.
///
/// # Errors
/// It breaks its own rules, or the disk refuses.
pub fn set_fleet(repository: &mut Repository, fleet: &Fleet) -> Result<(), CtlError> {
    fleet
        .validate()
        .map_err(|e| CtlError::Input { what: e.field.to_owned(), expected: e.expected.to_owned() })?;
    let bytes = serde_json::to_vec(fleet).map_err(self::repository("write fleet.json"))?;
    repository.set_target(FLEET_TARGET, &bytes).map_err(self::repository("change fleet.json"))
}

/// Signs a repository's targets.
///
/// # Errors
/// The key cannot be used, or the disk refuses.
pub fn sign_targets(repository: &mut Repository, dir: &FleetDir, now: Timestamp) -> Result<(), CtlError> {
    let keys = TargetsKeys(vec![signer(dir, KeyName::Targets)?]);
    repository.sign_targets(&keys, now.plus(TARGETS_TTL_S)).map_err(self::repository("sign the targets"))
}

/// Signs a repository's snapshot and timestamp, good for `lifetime_s` seconds.
///
/// # Errors
/// The key cannot be used, or the disk refuses.
pub fn refresh(
    repository: &mut Repository,
    dir: &FleetDir,
    now: Timestamp,
    lifetime_s: u64,
) -> Result<(), CtlError> {
    let keys = FreshnessKeys(vec![signer(dir, KeyName::Freshness)?]);
    repository
        .refresh_at(&keys, now, now.plus(lifetime_s))
        .map_err(self::repository("sign the short-lived metadata"))
}

/// Publishes a whole repository.
///
/// # Errors
/// The controller refuses, or says that it took something else.
pub async fn publish(repository: &Repository, admin: &mut Admin) -> Result<(), CtlError> {
    let file = |(name, content): (String, Vec<u8>)| TrustFile { name, content };
    let targets = repository.target_files().map_err(self::repository("read the targets"))?;
    let request = PublishTrustRequest {
        metadata: repository.metadata_files().into_iter().map(file).collect(),
        targets: targets.into_iter().map(file).collect(),
    };
    let answer = admin.publish_trust(request).await.map_err(refused("publish"))?.into_inner();
    let ours = repository.versions().targets;
    if answer.targets_version != ours {
        return Err(CtlError::Answer {
            operation: "publish",
            message: format!("it took version {} and not {ours}", answer.targets_version),
        });
    }
    say(&format!("published as version {ours} of the fleet's targets"));
    Ok(())
}

fn policy_target(policy: &PolicyRef) -> String {
    format!("policy.{}.{}.md", policy.name, policy.version)
}

#[cfg(test)]
mod ceremony_tests;
#[cfg(test)]
mod tests;
