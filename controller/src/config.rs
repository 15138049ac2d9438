//! Where things are, and what was decided once: the state folder and `controller.json` in it.
//!
//! Layout: `controller.json`, `bootstrap.json` (0600, spent by the first admin), `endpoint.json` (where it listens),
//! `keys/` (0600 each), `controller.db`, `blobs/`, `trust/` and, apart from it, `floors/`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use croft_domain::code::Code;
use croft_domain::id::FleetId;
use croft_trust::disk::{DiskError, create_private_dir, write_durable};
use croft_trust::sign::{KeyError, SigningKey};
use serde::{Deserialize, Serialize};

use crate::ca::{Authority, CaError};
use crate::clock;

/// Where nodes connect unless told otherwise.
pub const LISTEN_DEFAULT: &str = "0.0.0.0:7443";

/// Where health and metrics are unless told otherwise. Plain HTTP, so loopback only.
pub const METRICS_DEFAULT: &str = "127.0.0.1:7444";

/// The state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is a controller in it already.
    #[error("{} already holds a controller", .0.display())]
    Exists(PathBuf),
    /// There is none in it.
    #[error("{} holds no controller: run croft-controller init first", .0.display())]
    Missing(PathBuf),
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A file is not what it must be.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// In what way.
        #[source]
        source: serde_json::Error,
    },
    /// Another controller works in it.
    #[error("another croft-controller runs in {}", .0.display())]
    InUse(PathBuf),
    /// It cannot be written.
    #[error("cannot write the state folder")]
    Disk(#[from] DiskError),
    /// A key cannot be made, read or written.
    #[error("cannot use a key of the controller")]
    Key(#[from] KeyError),
    /// The CA cannot be made or read.
    #[error("cannot use the CA")]
    Authority(#[from] CaError),
    /// No randomness.
    #[error("the system gives no random bytes")]
    Random,
    /// A value is wrong.
    #[error("{0}")]
    Value(String),
}

impl ConfigError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Exists(_) | Self::InUse(_) | Self::Value(_) => Code::Input,
            Self::Missing(_) => Code::NotFound,
            Self::Read { .. } | Self::Damaged { .. } => Code::StateCorrupt,
            Self::Disk(error) => error.code(),
            Self::Key(error) => error.code(),
            Self::Authority(error) => error.code(),
            Self::Random => Code::Internal,
        }
    }
}

/// What `init` decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Which fleet.
    pub fleet: FleetId,
    /// Its name.
    pub fleet_name: String,
    /// Names and addresses in the server's certificate.
    pub hosts: Vec<String>,
    /// Where to listen.
    pub listen: String,
}

/// What the first admin needs.
#[derive(Clone, Serialize, Deserialize)]
pub struct Bootstrap {
    /// Where the controller answers.
    pub controller: String,
    /// Pin of its CA, `sha256:…`.
    pub ca_pin: String,
    /// The one-time token, hexadecimal.
    pub token: String,
    /// Which fleet.
    pub fleet: String,
    /// Its name.
    pub fleet_name: String,
}

/// Where a running controller listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The fleet's port.
    pub listen: String,
    /// Health and metrics.
    pub metrics: String,
}

/// The state folder.
#[derive(Clone, Debug)]
pub struct State {
    folder: PathBuf,
}

/// What a running controller has of its folder.
pub struct Opened {
    /// What `init` decided.
    pub settings: Settings,
    /// The CA.
    pub authority: Arc<Authority>,
    /// Signs leases.
    pub lease_key: SigningKey,
    /// Key of the challenges.
    pub nonce_key: Vec<u8>,
    /// SHA-256 of the bootstrap token, while the file that holds it is there.
    pub bootstrap_sha256: Option<[u8; 32]>,
    // Held for as long as the controller runs.
    _lock: std::fs::File,
}

impl State {
    /// In `folder`.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Where it is when nobody says: `/var/lib/croft-controller` for root, else below the user's state folder.
    ///
    /// # Errors
    /// If there is no home folder to put it in.
    pub fn default_folder() -> Result<PathBuf, ConfigError> {
        use std::os::unix::fs::MetadataExt;
        if std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0) {
            return Ok(PathBuf::from("/var/lib/croft-controller"));
        }
        let base = std::env::var_os("XDG_STATE_HOME")
            .map(PathBuf::from)
            .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/state")))
            .ok_or_else(|| ConfigError::Value("name a folder with --state".to_owned()))?;
        Ok(base.join("croft-controller"))
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file for the first admin.
    #[must_use]
    pub fn bootstrap_path(&self) -> PathBuf {
        self.folder.join("bootstrap.json")
    }

    fn key(&self, name: &str) -> PathBuf {
        self.folder.join("keys").join(name)
    }

    fn settings_path(&self) -> PathBuf {
        self.folder.join("controller.json")
    }

    /// Makes a new controller: fleet id, CA, lease key, key of the challenges, bootstrap token.
    ///
    /// # Errors
    /// [`ConfigError::Exists`] if there is one; nothing is ever overwritten.
    pub fn create(&self, name: &str, hosts: &[String], listen: &str) -> Result<Bootstrap, ConfigError> {
        if self.settings_path().exists() {
            return Err(ConfigError::Exists(self.folder.clone()));
        }
        check(name, hosts, listen)?;
        create_private_dir(&self.folder)?;
        create_private_dir(&self.folder.join("keys"))?;
        let fleet = FleetId(random()?);
        let (ca_pem, ca_key) = Authority::create(name, clock::now())?;
        let authority = Authority::open(&ca_pem, &ca_key, fleet.to_string())?;
        write_durable(&self.key("ca.pk8"), &ca_key, 0o600)?;
        write_durable(&self.key("ca.pem"), ca_pem.as_bytes(), 0o644)?;
        SigningKey::generate()?.save(&self.key("lease.pk8"))?;
        write_durable(&self.key("nonce.key"), &random::<32>()?, 0o600)?;
        let port = listen.rsplit_once(':').map_or("7443", |(_, port)| port);
        let host = hosts.first().map_or("127.0.0.1", String::as_str);
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let bootstrap = Bootstrap {
            controller: format!("https://{host}:{port}"),
            ca_pin: authority.pin().to_string(),
            token: hex::encode(random::<32>()?),
            fleet: fleet.to_string(),
            fleet_name: name.to_owned(),
        };
        write_durable(&self.bootstrap_path(), &json(&bootstrap), 0o600)?;
        let mut all = hosts.to_vec();
        all.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
        all.sort();
        all.dedup();
        let settings = Settings { fleet, fleet_name: name.to_owned(), hosts: all, listen: listen.to_owned() };
        // Last: a folder without it is one that `init` may finish.
        write_durable(&self.settings_path(), &json(&settings), 0o644)?;
        Ok(bootstrap)
    }

    /// Opens an existing controller and locks it against a second one.
    ///
    /// # Errors
    /// If there is none, it is damaged, or another one runs in it.
    pub fn open(&self) -> Result<Opened, ConfigError> {
        if !self.settings_path().exists() {
            return Err(ConfigError::Missing(self.folder.clone()));
        }
        let path = self.folder.join("lock");
        let lock = std::fs::File::create(&path).map_err(|source| ConfigError::Read { path, source })?;
        lock.try_lock().map_err(|_| ConfigError::InUse(self.folder.clone()))?;
        let settings: Settings = parse(&self.settings_path())?;
        let ca_pem = String::from_utf8_lossy(&read(&self.key("ca.pem"))?).into_owned();
        let authority = Authority::open(&ca_pem, &read(&self.key("ca.pk8"))?, settings.fleet.to_string())?;
        let bootstrap = self.bootstrap_path();
        let bootstrap_sha256 = if bootstrap.exists() {
            let token = hex::decode(parse::<Bootstrap>(&bootstrap)?.token)
                .map_err(|_| ConfigError::Value("bootstrap.json: token is not hexadecimal".to_owned()))?;
            Some(croft_trust::digest::sha256(&token).0)
        } else {
            None
        };
        Ok(Opened {
            authority: Arc::new(authority),
            lease_key: SigningKey::load(&self.key("lease.pk8"))?,
            nonce_key: read(&self.key("nonce.key"))?,
            bootstrap_sha256,
            settings,
            _lock: lock,
        })
    }

    /// Says where the running controller listens.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn write_endpoint(&self, endpoint: &Endpoint) -> Result<(), ConfigError> {
        Ok(write_durable(&self.folder.join("endpoint.json"), &json(endpoint), 0o644)?)
    }
}

fn check(name: &str, hosts: &[String], listen: &str) -> Result<(), ConfigError> {
    let value = |text: &str| Err(ConfigError::Value(text.to_owned()));
    if name.is_empty() || name.len() > 256 || name.chars().any(char::is_control) {
        return value("--name: expected 1 to 256 bytes on one line");
    }
    if listen.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok()).is_none() {
        return value("--listen: expected ADDRESS:PORT");
    }
    let is_host = |host: &String| {
        !host.is_empty()
            && host.len() <= 253
            && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:".contains(&b))
    };
    if hosts.len() > 32 || !hosts.iter().all(is_host) {
        return value("--host: expected at most 32 DNS names or addresses, without port");
    }
    Ok(())
}

fn random<const N: usize>() -> Result<[u8; N], ConfigError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| ConfigError::Random)?;
    Ok(bytes)
}

fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec_pretty(value).expect("structs of strings always serialize")
}

fn read(path: &Path) -> Result<Vec<u8>, ConfigError> {
    std::fs::read(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    serde_json::from_slice(&read(path)?)
        .map_err(|source| ConfigError::Damaged { path: path.to_owned(), source })
}
