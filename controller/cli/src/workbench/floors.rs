//! The highest that this machine has ever signed or taken over, apart from the repository, so that an old copy of it is
//! noticed. Written when a fleet is founded or joined; from then on its absence is an alarm and no fresh start.

use std::collections::BTreeMap;

use croft_domain::bundle::Manifest;
use croft_domain::fleet::Fleet;
use croft_domain::id::BundleName;
use croft_domain::time::Timestamp;
use croft_trust::limits::FLOORS_LEN_MAX;
use croft_trust::repository::Repository;
use croft_trust::store::Floors;

use super::{FLEET_TARGET, repository};
use crate::error::CtlError;
use crate::fleet_dir::{FleetDir, read, write};

/// The floors of this machine.
///
/// # Errors
/// They are gone or damaged.
pub fn load(dir: &FleetDir) -> Result<Floors, CtlError> {
    let path = dir.floors();
    if !path.exists() {
        return Err(CtlError::FleetIncomplete { path: dir.root().to_owned(), lacks: "floors.json" });
    }
    serde_json::from_slice(&read(&path, FLOORS_LEN_MAX)?)
        .map_err(|e| CtlError::FileParse { path, source: Box::new(e) })
}

/// The first floors of a fleet that was founded or joined here. Those of an earlier time, if any, still hold.
///
/// # Errors
/// What was joined is below them, or the disk refuses.
pub fn begin(dir: &FleetDir, signed: &Repository, now: Timestamp) -> Result<(), CtlError> {
    let mut floors = if dir.floors().exists() { load(dir)? } else { Floors::default() };
    let found = of(signed, now)?;
    check(&floors, &found)?;
    floors.raise(&found);
    save(dir, &floors)
}

/// Refuses what is below the floors.
///
/// # Errors
/// [`CtlError::Refusing`] names what is.
pub fn check(floors: &Floors, found: &Floors) -> Result<(), CtlError> {
    let refusing = |source| CtlError::Refusing { source };
    floors.check_not_below(&found.versions).map_err(refusing)?;
    floors.check_epochs(found.fleet_epoch, &found.bundle_epochs).map_err(refusing)
}

/// Keeps the floors.
///
/// # Errors
/// The disk refuses.
pub fn save(dir: &FleetDir, floors: &Floors) -> Result<(), CtlError> {
    let bytes =
        serde_json::to_vec_pretty(floors).map_err(|e| CtlError::AnswerWrite { source: Box::new(e) })?;
    write(&dir.floors(), &bytes, 0o600)
}

/// Versions and epochs of what is signed, whatever else lies on the workbench.
///
/// # Errors
/// The repository is damaged.
pub fn of(signed: &Repository, now: Timestamp) -> Result<Floors, CtlError> {
    let mut floors = Floors { versions: signed.versions(), signed_at: now, ..Floors::default() };
    for (served, bytes) in signed.target_files().map_err(repository("read the targets"))? {
        // A target is served as HEX.NAME.
        let name = served.split_once('.').map_or(served.as_str(), |(_, name)| name);
        if name == FLEET_TARGET {
            let fleet: Fleet = serde_json::from_slice(&bytes).map_err(repository("understand fleet.json"))?;
            floors.fleet_epoch = fleet.epoch;
        } else if name.starts_with("bundle.") {
            let manifest: Manifest =
                serde_json::from_slice(&bytes).map_err(repository("understand a manifest"))?;
            raise(&mut floors.bundle_epochs, manifest.name, manifest.epoch);
        }
    }
    Ok(floors)
}

/// A bundle's floor is the highest epoch among its versions.
fn raise(epochs: &mut BTreeMap<BundleName, u32>, name: BundleName, epoch: u32) {
    let floor = epochs.entry(name).or_default();
    *floor = (*floor).max(epoch);
}
