//! `node.toml`: the few things a workstation's owner may choose. Unknown keys are errors, because a misspelt guardrail
//! would otherwise be no guardrail.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use croft_domain::code::Code;
use croft_domain::memory::KvType;
use croft_link::LinkError;
use croft_link::proxy::FirstKeyShare;
use serde::Deserialize;

use crate::limits::{CONFIG_LEN_MAX, NOTIFY_ARGUMENTS_MAX, UIDS_MAX};

/// What the owner chose.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The local API.
    pub gateway: GatewayConfig,
    /// The model processes.
    pub worker: WorkerConfig,
    /// The way to the controller.
    pub network: NetworkConfig,
    /// How the owner is told.
    pub notify: NotifyConfig,
    /// The key that is this node.
    pub identity: IdentityConfig,
}

/// How the owner is told of what will end or block. Only this file can say it: no message has a place for a program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NotifyConfig {
    /// Absolute path, for example `/usr/bin/notify-send`. It runs as the daemon does: in system mode that account has no
    /// desktop, and a script must find the owner's. None: `croft status` alone says it.
    pub program: Option<PathBuf>,
    /// Arguments before the title and the sentence.
    pub arguments: Vec<String>,
}

/// The key that is this node. It counts when the machine enrolls, and not afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IdentityConfig {
    /// Where the key is made.
    pub key: KeyPlace,
    /// The TPM: its device with a resource manager, or the socket of a software TPM.
    pub tpm: PathBuf,
    /// The firmware's log of what it measured. Where it may not be read, quotes go without it.
    pub event_log: PathBuf,
}

/// Where a node's key is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyPlace {
    /// In a file.
    #[default]
    Software,
    /// In the TPM, or the machine does not enroll.
    Tpm,
    /// In the TPM if it can be used; else in a file, which `croft status` says, and only where the baseline does not
    /// demand the TPM.
    TpmOrSoftware,
}

impl Default for IdentityConfig {
    fn default() -> Self {
        Self {
            key: KeyPlace::Software,
            tpm: PathBuf::from("/dev/tpmrm0"),
            event_log: PathBuf::from("/sys/kernel/security/tpm0/binary_bios_measurements"),
        }
    }
}

/// The way to the controller.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkConfig {
    /// `http://[USER:PASSWORD@]HOST:PORT`; without it `HTTPS_PROXY` and `NO_PROXY` count. With a password in it, keep
    /// this file to yourself (mode 0600).
    pub proxy: Option<String>,
    /// Begin TLS with a message that fits a packet, for middleboxes that drop longer ones.
    pub small_first_message: bool,
}

impl std::fmt::Debug for NetworkConfig {
    // The proxy's password must not reach a log by way of `{:?}`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NetworkConfig").field("has_proxy", &self.proxy.is_some()).finish_non_exhaustive()
    }
}

impl NetworkConfig {
    /// Puts it in force for this process.
    ///
    /// # Errors
    /// If the proxy's address is none.
    pub fn settle(&self) -> Result<(), LinkError> {
        let first = if self.small_first_message { FirstKeyShare::Small } else { FirstKeyShare::PostQuantum };
        croft_link::proxy::configure(self.proxy.as_deref(), first)
    }
}

/// The local API.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GatewayConfig {
    /// Where it listens. Only loopback addresses are accepted.
    pub listen: SocketAddr,
    /// Accounts that may use it without an API key, besides the one that enrolled.
    pub uids: Vec<u32>,
    /// Web origins that may use it, exactly as browsers write them: `http://localhost:3000`. Requests of all others are
    /// refused.
    pub origins: Vec<String>,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 11535),
            uids: Vec::new(),
            origins: Vec::new(),
        }
    }
}

/// The model processes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkerConfig {
    /// Threads of one worker; 0 means as many as the machine has cores.
    pub threads: u32,
    /// Memory of all models together, in MiB; 0 means 60 % of what the machine has. More than 90 % is never taken.
    pub memory_mib: u64,
    /// Memory of one model, in MiB; 0 means as much as all together.
    pub model_memory_mib: u64,
    /// How keys and values of conversations are stored: `f16`, or `q8_0` in half the memory.
    pub kv_type: KvType,
    /// Seconds without a request after which a model is unloaded, where no client said otherwise; 0: never.
    pub idle_after_s: u64,
    /// Seconds without a sign of life after which a worker is ended and started again.
    pub hang_after_s: u64,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self {
            threads: 0,
            memory_mib: 0,
            model_memory_mib: 0,
            kv_type: KvType::F16,
            idle_after_s: 1800,
            hang_after_s: 60,
        }
    }
}

/// `node.toml` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is not what it should be.
    #[error("{path}: {detail}")]
    Parse {
        /// Which file.
        path: PathBuf,
        /// What is wrong, with its line.
        detail: String,
    },
    /// A value is out of bounds.
    #[error("{path}: {field}: expected {expected}")]
    Value {
        /// Which file.
        path: PathBuf,
        /// Which key.
        field: &'static str,
        /// What was expected.
        expected: &'static str,
    },
}

impl ConfigError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        Code::Input
    }
}

impl Config {
    /// Reads `path`; a file that is not there means the defaults, unless it was asked for by name.
    ///
    /// # Errors
    /// [`ConfigError`] names the file, the key and what was expected.
    pub fn load(path: &Path, required: bool) -> Result<Self, ConfigError> {
        let mut text = String::new();
        let read =
            std::fs::File::open(path).and_then(|file| file.take(CONFIG_LEN_MAX).read_to_string(&mut text));
        match read {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && !required => return Ok(Self::default()),
            Err(source) => return Err(ConfigError::Read { path: path.to_owned(), source }),
            Ok(_) => {}
        }
        Self::parse(&text, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text)
            .map_err(|e| ConfigError::Parse { path: path.to_owned(), detail: e.to_string() })?;
        let value = |field, expected| ConfigError::Value { path: path.to_owned(), field, expected };
        if !config.gateway.listen.ip().is_loopback() {
            return Err(value("gateway.listen", "a loopback address such as 127.0.0.1:11535"));
        }
        if config.gateway.uids.len() > UIDS_MAX {
            return Err(value("gateway.uids", "at most 64 accounts"));
        }
        let is_origin = |text: &String| {
            let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
            host.is_some_and(|host| {
                !host.is_empty() && !host.contains(['/', '*', ' ', ',']) && text.len() <= 256
            })
        };
        if config.gateway.origins.len() > UIDS_MAX || !config.gateway.origins.iter().all(is_origin) {
            return Err(value(
                "gateway.origins",
                "at most 64 of http://HOST[:PORT] or https://HOST[:PORT], none a wildcard",
            ));
        }
        if config.notify.program.as_ref().is_some_and(|program| !program.is_absolute()) {
            return Err(value("notify.program", "an absolute path, such as /usr/bin/notify-send"));
        }
        if config.notify.arguments.len() > NOTIFY_ARGUMENTS_MAX {
            return Err(value("notify.arguments", "at most 16 texts"));
        }
        if config.worker.threads > 1024 {
            return Err(value("worker.threads", "0 to 1024"));
        }
        if !(2..=3600).contains(&config.worker.hang_after_s) {
            return Err(value("worker.hang_after_s", "2 to 3600 (seconds)"));
        }
        if config.worker.idle_after_s > 31_536_000 {
            return Err(value("worker.idle_after_s", "0 to 31536000 (seconds, a year)"));
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text, Path::new("node.toml"))
    }

    #[test]
    fn an_empty_file_means_the_defaults() {
        let config = parse("").expect("defaults");
        assert_eq!(config.gateway.listen.to_string(), "127.0.0.1:11535");
        assert_eq!(config.worker.threads, 0);
    }

    #[test]
    fn unknown_keys_are_errors() {
        for bad in [
            "[worker]\nkv_type = \"q4_0\"",
            "[worker]\nhang_after_s = 1",
            "[worker]\nmemory = 1",
            "[identity]\nkey = \"none\"",
            "listen = 1",
            "[gateway]\nlisen = \"127.0.0.1:1\"",
            "[guard]\n",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn p1_the_local_api_cannot_be_configured_off_loopback() {
        for bad in ["0.0.0.0:11535", "[::]:11535", "192.0.2.1:1"] {
            assert!(parse(&format!("[gateway]\nlisten = \"{bad}\"")).is_err(), "{bad}");
        }
        for good in ["127.0.0.2:0", "[::1]:11535"] {
            assert!(parse(&format!("[gateway]\nlisten = \"{good}\"")).is_ok(), "{good}");
        }
    }
}
