//! Keys on this machine: making one where there is none, and changing what it is encrypted with.

use std::path::PathBuf;

use croft_trust::keys::public_key_pem;
use croft_trust::sign::{KeyError, SigningKey};
use zeroize::Zeroizing;

use crate::args::NewKey;
use crate::client::unusable;
use crate::error::CtlError;
use crate::fleet_dir::{FleetDir, KeyName, create_private};
use crate::output::{print_data, say};
use crate::passphrase::Source;

/// `trust make-key`: makes a key where there is none, on a machine that may know no fleet yet.
///
/// # Errors
/// There is one already, or the folder cannot be written.
pub fn make(dir: &FleetDir, role: NewKey) -> Result<(), CtlError> {
    let name = match role {
        NewKey::Publisher => KeyName::Targets,
        NewKey::Freshness => KeyName::Freshness,
    };
    if dir.key(name).exists() {
        return Err(CtlError::Conflict {
            message: format!("{} is there already", dir.key(name).display()),
            hint: "a key is never overwritten; its public part lies beside it".to_owned(),
        });
    }
    create_private(&dir.root().join("keys"))?;
    let passphrase = dir.passphrases().for_new_keys().map_err(unusable("make", dir, name))?;
    if passphrase.is_none() {
        say("warning: no terminal and no passphrase: the key is not encrypted");
    }
    let key = SigningKey::generate().map_err(unusable("make", dir, name))?;
    dir.keys()
        .save(name.name(), &key, passphrase.as_ref().map(|text| text.as_str()))
        .map_err(unusable("make", dir, name))?;
    say(&format!("key {}, public part in {}", key.key_id(), dir.key(name).with_extension("pub").display()));
    say("next: hand the public part to whoever holds root, and compare the key id by voice");
    print_data(&public_key_pem(&key.point()))
}

/// `trust change-passphrase`: opens a key with the passphrase it has and writes it under another, in one step that a crash
/// leaves undone or done.
///
/// # Errors
/// There is no such key, its passphrase is not known, there is no new one, or the folder cannot be written.
pub fn change_passphrase(
    dir: &FleetDir,
    key: &str,
    file: Option<PathBuf>,
    no_passphrase: bool,
) -> Result<(), CtlError> {
    let name = dir.root_keys().into_iter().chain(KeyName::OTHERS).find(|name| name.name() == key);
    let name = name.filter(|name| dir.key(*name).exists()).ok_or_else(|| CtlError::NotFound {
        what: format!("key {key} in {}", dir.root().join("keys").display()),
        hint: "root, root-1 to root-9, targets, freshness, recall or admin; where it lies".to_owned(),
    })?;
    let _lock = dir.lock()?;
    let failed = unusable("change the passphrase of", dir, name);
    let opened = dir.keys().key(name.name()).map_err(&failed)?;
    let passphrase: Option<Zeroizing<String>> = match (no_passphrase, file) {
        (true, _) => None,
        (false, Some(file)) => Source::new(Some(file)).given().map_err(&failed)?,
        (false, None) => Some(Source::ask_for_new(key).map_err(&failed)?),
    };
    if !no_passphrase && passphrase.is_none() {
        return Err(failed(KeyError::Passphrase("none was given".to_owned())));
    }
    let passphrase = passphrase.as_ref().map(|text| text.as_str());
    dir.keys().save(name.name(), &opened, passphrase).map_err(&failed)?;
    say(&match passphrase {
        Some(_) => format!("key {key} now needs the new passphrase; backups of it still need the old one"),
        None => format!("warning: key {key} is no longer encrypted"),
    });
    Ok(())
}

/// What is wrong with the key files on this machine, for `trust status`.
pub fn warnings(dir: &FleetDir) -> Vec<String> {
    let names = dir.root_keys().into_iter().chain(KeyName::OTHERS);
    let present = names.filter(|name| dir.key(*name).exists());
    present
        .filter_map(|name| {
            let path = dir.key(name);
            match SigningKey::load(&path) {
                Ok(_) => Some(format!(
                    "warning: key {} is not encrypted; croftctl trust change-passphrase {}",
                    path.display(),
                    name.name()
                )),
                Err(KeyError::PassphraseMissing { .. }) => None,
                Err(error) => Some(format!("warning: key {}: {error}", path.display())),
            }
        })
        .collect()
}
