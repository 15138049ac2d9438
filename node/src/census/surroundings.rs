//! What a tool was started with and set to, as far as rules ask: a few variables of its environment and one key of its
//! settings. Of an environment only the names below are looked at, and its bytes are wiped: others hold secrets.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use croft_domain::census::Known;
use serde_json::Value;
use zeroize::Zeroizing;

use super::rules::{Cloud, Store};

/// The variables that may be looked at.
pub(super) const VARIABLES: [&str; 4] = ["OLLAMA_MODELS", "OLLAMA_NO_CLOUD", "HF_HUB_CACHE", "HF_HOME"];

/// Longest environment that is read, in bytes.
const ENVIRONMENT_LEN_MAX: u64 = 256 * 1024;

/// Largest settings file that is read, in bytes.
const SETTINGS_LEN_MAX: u64 = 64 * 1024;

/// Where things lie on the machine that is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places<'a> {
    /// `/`, but for tests.
    pub(super) root: &'a Path,
    /// The home folder that counts; none if it is not known or may not be read.
    pub(super) home: Option<&'a Path>,
}

impl Places<'_> {
    /// A rule's path on this machine.
    pub(super) fn resolve(&self, path: &str) -> Option<PathBuf> {
        match path.strip_prefix("~/") {
            Some(below) => self.home.map(|home| home.join(below)),
            None => Some(self.root.join(path.trim_start_matches('/'))),
        }
    }

    /// Where a store is: what the tool's processes were told, else the rule's place.
    pub(super) fn store(&self, store: &Store, environments: &[Environment]) -> Vec<PathBuf> {
        let told: Vec<PathBuf> = store
            .environment
            .iter()
            .flat_map(|name| environments.iter().filter_map(|environment| environment.get(name)))
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
            .collect();
        let own = self.resolve(&store.path).into_iter();
        let mut all: Vec<PathBuf> = own.chain(told).collect();
        all.sort();
        all.dedup();
        all
    }

    /// Whether a tool can hand prompts on. Only what says no is a no.
    pub(super) fn cloud(&self, cloud: &Cloud, environments: &[Environment]) -> Known {
        let is_off = |environment: &Environment| {
            environment
                .get(&cloud.off_by_environment)
                .is_some_and(|value| !matches!(value, "" | "0" | "false"))
        };
        if !environments.is_empty() && environments.iter().all(is_off) {
            return Known::No;
        }
        let mut settings = cloud.off_by_settings.iter().map(|path| self.setting(path, &cloud.off_by_key));
        let said: Vec<Option<bool>> = settings.by_ref().flatten().collect();
        if !said.is_empty() && said.iter().all(|off| *off == Some(true)) {
            return Known::No;
        }
        if self.home.is_none() || environments.iter().any(|environment| environment.0.is_none()) {
            return Known::Unknown;
        }
        Known::Yes
    }

    /// None: there is no such file. Inner none: it does not say.
    fn setting(&self, path: &str, key: &str) -> Option<Option<bool>> {
        let file = super::stores::open(&self.resolve(path)?)?;
        let mut bytes = Vec::new();
        file.take(SETTINGS_LEN_MAX).read_to_end(&mut bytes).ok()?;
        let settings: Result<Value, _> = serde_json::from_slice(&bytes);
        Some(settings.ok().and_then(|settings| settings.get(key)?.as_bool()))
    }
}

/// The allowed part of one process's environment; none if it may not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Environment(Option<Vec<(&'static str, String)>>);

impl Environment {
    pub(super) fn of(proc: &Path, pid: u32) -> Self {
        let Ok(file) = File::open(proc.join(pid.to_string()).join("environ")) else { return Self(None) };
        // Room for all of it at once: growing would leave copies behind that nobody wipes.
        let room = usize::try_from(ENVIRONMENT_LEN_MAX).unwrap_or(usize::MAX);
        let mut bytes = Zeroizing::new(Vec::with_capacity(room));
        if file.take(ENVIRONMENT_LEN_MAX).read_to_end(&mut bytes).is_err() {
            return Self(None);
        }
        Self(Some(allowed(&bytes)))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.as_ref()?.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }
}

fn allowed(bytes: &[u8]) -> Vec<(&'static str, String)> {
    let pairs = bytes.split(|byte| *byte == 0).filter_map(|entry| {
        let at = entry.iter().position(|byte| *byte == b'=')?;
        let name = VARIABLES.into_iter().find(|name| name.as_bytes() == &entry[..at])?;
        Some((name, String::from_utf8_lossy(&entry[at + 1..]).into_owned()))
    });
    pairs.collect()
}

/// Whether a folder may be listed.
pub(super) fn is_readable(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p6_of_an_environment_only_named_variables_are_kept() {
        let bytes = b"AWS_SECRET_ACCESS_KEY=hunter2\0OLLAMA_MODELS=/m\0OLLAMA_MODELS_X=/n\0OLLAMA_HOST=x\0";
        assert_eq!(allowed(bytes), [("OLLAMA_MODELS", "/m".to_owned())]);
        assert_eq!(allowed(b""), []);
    }

    #[test]
    fn p5_prompts_can_be_handed_on_unless_something_says_no() {
        let home = tempfile::tempdir().expect("a folder");
        let cloud = Cloud {
            off_by_environment: "OLLAMA_NO_CLOUD".to_owned(),
            off_by_settings: vec!["~/.ollama/server.json".to_owned()],
            off_by_key: "disable_ollama_cloud".to_owned(),
            remote: None,
        };
        let places = Places { root: Path::new("/nonexistent"), home: Some(home.path()) };
        let process = |value: &str| Environment(Some(vec![("OLLAMA_NO_CLOUD", value.to_owned())]));
        let silent = Environment(Some(Vec::new()));
        assert_eq!(places.cloud(&cloud, &[]), Known::Yes);
        assert_eq!(places.cloud(&cloud, &[process("1")]), Known::No);
        assert_eq!(places.cloud(&cloud, &[process("0")]), Known::Yes);
        assert_eq!(places.cloud(&cloud, &[process("1"), silent.clone()]), Known::Yes);
        assert_eq!(places.cloud(&cloud, &[Environment(None)]), Known::Unknown);
        fs::create_dir(home.path().join(".ollama")).expect("a folder");
        let file = home.path().join(".ollama/server.json");
        for (text, expected) in [
            (r#"{"disable_ollama_cloud":true}"#, Known::No),
            (r#"{"disable_ollama_cloud":false}"#, Known::Yes),
            (r#"{"disable_ollama_cloud":"true"}"#, Known::Yes),
            ("{", Known::Yes),
        ] {
            fs::write(&file, text).expect("a file");
            assert_eq!(places.cloud(&cloud, std::slice::from_ref(&silent)), expected, "{text}");
        }
        assert_eq!(Places { home: None, ..places }.cloud(&cloud, &[]), Known::Unknown);
    }
}
