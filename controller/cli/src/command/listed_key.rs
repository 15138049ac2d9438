//! Keys that count because the fleet document lists them: made on this machine if it has none, then signed and published.

use croft_domain::fleet::{Fleet, KeyEntry};
use croft_domain::limits::CLOCK_SKEW_MAX_S;
use croft_domain::time::Timestamp;
use croft_trust::sign::{POINT_LEN, SigningKey};

use crate::client::{point, unusable};
use crate::clock::now;
use crate::error::CtlError;
use crate::fleet_dir::{FleetDir, KeyName};
use crate::limits::ONLINE_KEY_TTL_S;
use crate::workbench::Workbench;

/// Makes the key `name` if there is none, and prolongs it in `list`. Returns its point, and until when it counts.
///
/// # Errors
/// The key cannot be made, or nothing can be signed or published.
pub async fn make_listed_key(
    dir: &FleetDir,
    name: KeyName,
    list: impl Fn(&mut Fleet) -> &mut Vec<KeyEntry>,
) -> Result<([u8; POINT_LEN], Timestamp), CtlError> {
    let mut workbench = Workbench::open(dir)?;
    if point(dir, name)?.is_none() {
        let passphrase = dir.passphrases().for_new_keys().map_err(unusable("make", dir, name))?;
        SigningKey::generate()
            .and_then(|key| dir.keys().save(name.name(), &key, passphrase.as_deref().map(String::as_str)))
            .map_err(unusable("make", dir, name))?;
    }
    let made =
        point(dir, name)?.ok_or_else(|| CtlError::FleetMissing { path: dir.key(name), has_keys: false })?;
    let (at, text) = (now(), hex::encode(made));
    let until = at.plus(ONLINE_KEY_TTL_S);
    workbench.change_fleet(|fleet| {
        let keys = list(fleet);
        // Prolonged, not replaced: what it signed since it was first listed goes on counting.
        let since = keys.iter().filter(|old| old.point == text).map(|old| old.not_before).min();
        keys.retain(|old| old.point != text);
        let not_before = since.unwrap_or(at.minus(CLOCK_SKEW_MAX_S));
        keys.push(KeyEntry { point: text.clone(), not_before, not_after: until });
    })?;
    workbench.sign(at)?;
    workbench.connect_and_publish().await?;
    Ok((made, until))
}
