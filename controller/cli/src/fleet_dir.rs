//! The admin's folder for one fleet: what lies where, and who may read it.
//!
//! ```text
//! fleet.toml            where the controller is and which one it is
//! keys/NAME.pk8         five private keys, 0600, encrypted unless their maker chose otherwise
//! keys/NAME.pub         their public parts
//! keys/admin.chain.pem  the admin's certificate
//! repository/           signed metadata and targets (croft-trust)
//! floors.json           the highest that was ever signed here
//! handover.json         what waits for another publisher's signature
//! holders.json          what people call the holders of keys
//! leases/NODE/          what was judged here for nodes that no network reaches
//! drafts/NAME.VERSION/  what import found, until it is approved
//! recalls/ID.json       recalls that were signed here, for archives that cross an air gap
//! ```
//! Keys are read when something is signed and not before.

mod key_name;

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use croft_domain::digest::Sha256Digest;
use croft_domain::id::{BundleRef, FleetId};
use croft_trust::disk;
use croft_trust::keys::KeyFolder;
use serde::{Deserialize, Serialize};

use crate::error::CtlError;
use crate::limits::DOCUMENT_LEN_MAX;
use crate::passphrase::Source;

pub use key_name::KeyName;

/// `fleet.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where the controller answers: `https://HOST:PORT`.
    pub controller: String,
    /// SHA-256 of the SubjectPublicKeyInfo of its CA.
    pub ca_pin: Sha256Digest,
    /// Which fleet.
    pub fleet: FleetId,
}

/// The folder.
#[derive(Clone, Debug)]
pub struct FleetDir {
    root: PathBuf,
    passphrases: Source,
}

impl FleetDir {
    /// The folder that was named, or the usual one.
    ///
    /// # Errors
    /// None was named and there is no home directory.
    pub fn locate(named: Option<PathBuf>) -> Result<Self, CtlError> {
        let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let usual = || {
            let config = set("XDG_CONFIG_HOME").filter(|p| p.is_absolute());
            config.or_else(|| set("HOME").map(|home| home.join(".config"))).map(|p| p.join("croftctl"))
        };
        let here = |root| Self { root, passphrases: Source::default() };
        named.or_else(usual).map(here).ok_or_else(|| CtlError::Input {
            what: "--config".to_owned(),
            expected: "a folder, because HOME is not set".to_owned(),
        })
    }

    /// The same folder, with passphrases from `passphrases`.
    #[must_use]
    pub fn with_passphrases(self, passphrases: Source) -> Self {
        Self { passphrases, ..self }
    }

    /// Who knows the passphrases of the keys.
    pub const fn passphrases(&self) -> &Source {
        &self.passphrases
    }

    /// The keys. The one place that says that they are files.
    pub fn keys(&self) -> KeyFolder<Source> {
        KeyFolder { dir: self.root.join("keys"), passphrases: self.passphrases.clone() }
    }

    /// Where a key lies.
    pub fn key(&self, name: KeyName) -> PathBuf {
        self.root.join("keys").join(format!("{}.pk8", name.name()))
    }

    /// The root keys on this machine, by name.
    pub fn root_keys(&self) -> Vec<KeyName> {
        KeyName::roots().filter(|name| self.key(*name).exists()).collect()
    }

    /// Where the admin's certificate lies.
    pub fn chain(&self) -> PathBuf {
        self.root.join("keys").join("admin.chain.pem")
    }

    /// Where signed metadata and targets lie.
    pub fn repository(&self) -> PathBuf {
        self.root.join("repository")
    }

    /// Where signed checkpoints of the verdict chains lie.
    pub fn checkpoints(&self) -> PathBuf {
        self.root.join("checkpoints")
    }

    /// Where the ledgers of leases across air gaps lie, one folder a node.
    pub fn leases(&self) -> PathBuf {
        self.root.join("leases")
    }

    /// What another publisher needs to add a signature.
    pub fn handover(&self) -> PathBuf {
        self.root.join("handover.json")
    }

    /// The highest that this machine has ever signed, kept apart from the repository.
    pub fn floors(&self) -> PathBuf {
        self.root.join("floors.json")
    }

    /// What people call the holders of keys, for display only.
    pub fn holders(&self) -> PathBuf {
        self.root.join("holders.json")
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where recalls lie that were signed here.
    pub fn recalls(&self) -> PathBuf {
        self.root.join("recalls")
    }

    /// Where drafts lie.
    pub fn drafts(&self) -> PathBuf {
        self.root.join("drafts")
    }

    /// Where one draft lies. A parsed name has no dot, so the folder's name is unambiguous.
    pub fn draft(&self, bundle: &BundleRef) -> PathBuf {
        self.drafts().join(format!("{}.{}", bundle.name, bundle.version))
    }

    fn settings_file(&self) -> PathBuf {
        self.root.join("fleet.toml")
    }

    /// Where `init` keeps what the controller answered, until `fleet.toml` is there.
    pub fn unfinished(&self) -> PathBuf {
        self.root.join("unfinished.json")
    }

    fn has_keys(&self) -> bool {
        KeyName::OTHERS.into_iter().chain(KeyName::roots()).any(|name| self.key(name).exists())
    }

    /// Why there is no `fleet.toml`: signed metadata without it is a fleet that lost it, keys alone wait for `trust join`.
    fn missing(&self) -> CtlError {
        let path = self.root.clone();
        if self.repository().exists() && !self.unfinished().exists() {
            return CtlError::FleetIncomplete { path, lacks: "fleet.toml" };
        }
        CtlError::FleetMissing { path, has_keys: self.has_keys() }
    }

    /// Checks that there is nothing that a new fleet would overwrite. An `init` that was interrupted may go on: nothing
    /// was published before its `fleet.toml`.
    ///
    /// # Errors
    /// The folder holds a fleet, or keys of unknown origin.
    pub fn check_empty(&self) -> Result<(), CtlError> {
        let foreign = (self.has_keys() || self.repository().exists()) && !self.unfinished().exists();
        if foreign || self.settings_file().exists() {
            return Err(CtlError::FleetExists { path: self.root.clone() });
        }
        Ok(())
    }

    /// Makes the folder for a new fleet, readable by its owner only.
    ///
    /// # Errors
    /// It holds a fleet, or keys of unknown origin: a key is never overwritten.
    pub fn prepare(&self) -> Result<(), CtlError> {
        self.check_empty()?;
        for dir in [self.root.clone(), self.root.join("keys"), self.drafts()] {
            create_private(&dir)?;
        }
        if self.unfinished().exists() { Ok(()) } else { write(&self.unfinished(), b"null", 0o600) }
    }

    /// Removes what an interrupted `init` signed. Nobody has seen it.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn clear_unfinished_repository(&self) -> Result<(), CtlError> {
        let path = self.repository();
        match fs::remove_dir_all(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(CtlError::FileWrite { path, source })
            }
            _ => Ok(()),
        }
    }

    /// Forgets that `init` was under way.
    ///
    /// # Errors
    /// The note cannot be removed.
    pub fn finish(&self) -> Result<(), CtlError> {
        let path = self.unfinished();
        fs::remove_file(&path).map_err(|source| CtlError::FileWrite { path, source })
    }

    /// Takes the folder for this process until the value is dropped, so that two runs cannot sign the same version.
    ///
    /// # Errors
    /// There is no fleet, or another croftctl is at work.
    pub fn lock(&self) -> Result<File, CtlError> {
        if !self.root.is_dir() {
            return Err(self.missing());
        }
        let path = self.root.join("lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|source| CtlError::FileWrite { path: path.clone(), source })?;
        file.try_lock().map_err(|_| CtlError::Conflict {
            message: format!("another croftctl works in {}", self.root.display()),
            hint: "wait until it is done, then repeat".to_owned(),
        })?;
        Ok(file)
    }

    /// Reads `fleet.toml`.
    ///
    /// # Errors
    /// There is none, or it is damaged.
    pub fn settings(&self) -> Result<Settings, CtlError> {
        let path = self.settings_file();
        if !path.exists() {
            return Err(self.missing());
        }
        let text = read_text(&path, DOCUMENT_LEN_MAX)?;
        toml::from_str(&text).map_err(|e| CtlError::FileParse { path, source: Box::new(e) })
    }

    /// Writes `fleet.toml`. It is written last: a folder with it is complete.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save_settings(&self, settings: &Settings) -> Result<(), CtlError> {
        let path = self.settings_file();
        let text = toml::to_string_pretty(settings)
            .map_err(|e| CtlError::FileParse { path: path.clone(), source: Box::new(e) })?;
        write(&path, text.as_bytes(), 0o600)
    }
}

/// Makes a folder that only its owner can enter.
///
/// # Errors
/// It cannot be made.
pub fn create_private(path: &Path) -> Result<(), CtlError> {
    disk::create_private_dir(path).map_err(|e| CtlError::FileWrite { path: e.path, source: e.source })
}

/// Writes a file durably.
///
/// # Errors
/// It cannot be written.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), CtlError> {
    disk::write_durable(path, bytes, mode)
        .map_err(|e| CtlError::FileWrite { path: path.to_owned(), source: e.source })
}

/// Reads a file of at most `len_max` bytes.
///
/// # Errors
/// It cannot be read, or is longer.
pub fn read(path: &Path, len_max: u64) -> Result<Vec<u8>, CtlError> {
    let fail = |source| CtlError::FileRead { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(len_max + 1).read_to_end(&mut bytes)).map_err(fail)?;
    if bytes.len() as u64 > len_max {
        return Err(CtlError::Document {
            place: path.display().to_string(),
            message: format!("is longer than {len_max} bytes"),
        });
    }
    Ok(bytes)
}

/// Reads a text file of at most `len_max` bytes.
///
/// # Errors
/// It cannot be read, is longer, or is not UTF-8.
pub fn read_text(path: &Path, len_max: u64) -> Result<String, CtlError> {
    String::from_utf8(read(path, len_max)?).map_err(|_| CtlError::Document {
        place: path.display().to_string(),
        message: "is not UTF-8 text".to_owned(),
    })
}

/// The real path of a file, so that a draft still finds it from another folder.
///
/// # Errors
/// There is no such file.
pub fn real_path(path: &Path) -> Result<PathBuf, CtlError> {
    fs::canonicalize(path).map_err(|source| CtlError::FileRead { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            controller: "https://127.0.0.1:7443".to_owned(),
            ca_pin: Sha256Digest([1; 32]),
            fleet: FleetId([2; 16]),
        }
    }

    #[test]
    fn settings_round_trip_and_unknown_keys_are_errors() {
        let temp = tempfile::tempdir().expect("a folder");
        let dir = FleetDir::locate(Some(temp.path().join("fleet"))).expect("a fleet folder");
        assert!(matches!(dir.settings(), Err(CtlError::FleetMissing { .. })));
        dir.prepare().expect("a new folder");
        dir.save_settings(&settings()).expect("written");
        assert_eq!(dir.settings().expect("read"), settings());
        let path = dir.settings_file();
        let text = fs::read_to_string(&path).expect("text") + "surprise = 1\n";
        fs::write(&path, text).expect("written");
        assert!(matches!(dir.settings(), Err(CtlError::FileParse { .. })));
    }

    #[test]
    fn a_folder_with_a_fleet_or_any_key_is_never_prepared_again() {
        let temp = tempfile::tempdir().expect("a folder");
        let dir = FleetDir::locate(Some(temp.path().join("fleet"))).expect("a fleet folder");
        fs::create_dir_all(dir.root.join("keys")).expect("made");
        fs::write(dir.key(KeyName::Recall), b"key").expect("written");
        assert!(matches!(dir.prepare(), Err(CtlError::FleetExists { .. })));
        let error = dir.settings().expect_err("no fleet yet");
        assert!(error.hint().contains("trust join"), "{}", error.hint());
        fs::create_dir_all(dir.repository()).expect("made");
        let error = dir.settings().expect_err("it lost its settings");
        assert!(matches!(error, CtlError::FleetIncomplete { lacks: "fleet.toml", .. }), "{error}");
        assert_eq!(fs::read(dir.key(KeyName::Recall)).expect("the key"), b"key");
    }

    #[test]
    fn only_one_process_signs_at_a_time() {
        let temp = tempfile::tempdir().expect("a folder");
        let dir = FleetDir::locate(Some(temp.path().to_owned())).expect("a fleet folder");
        let held = dir.lock().expect("free");
        assert!(matches!(dir.lock(), Err(CtlError::Conflict { .. })));
        drop(held);
        dir.lock().expect("free again");
    }
}
