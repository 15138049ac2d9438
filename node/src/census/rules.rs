//! The rules of the census, one TOML a tool in `census/rules/`, and how a process is matched.

use std::collections::BTreeMap;

use croft_domain::id::CheckName;
use serde::Deserialize;

use super::processes::Running;

/// One tool.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tool {
    /// Its name in evidence.
    pub(super) name: CheckName,
    /// Its name for people.
    pub(super) title: String,
    /// File names of its programs, also as scripts that an interpreter runs.
    #[serde(default)]
    executables: Vec<String>,
    /// How file names of its programs end.
    #[serde(default)]
    endings: Vec<String>,
    /// What `python -m` runs; parts after a dot belong to it.
    #[serde(default)]
    modules: Vec<String>,
    /// Parts of a program's path that only this tool's installation has. They come before names, since tools bring
    /// others' engines along.
    #[serde(default)]
    folders: Vec<String>,
    /// Where it listens unless told otherwise.
    #[serde(default)]
    pub(super) ports: Vec<u16>,
    /// Ports that are taken for this tool if nobody answers there and no process is seen, as for containers.
    #[serde(default)]
    pub(super) port_alone: Vec<u16>,
    /// Answers that only this tool gives; any of them will do.
    #[serde(default)]
    pub(super) answers: Vec<Answer>,
    /// Where it says its version.
    #[serde(default)]
    pub(super) version: Option<VersionAnswer>,
    /// Where it keeps models.
    #[serde(default)]
    pub(super) stores: Vec<Store>,
    /// The rule whose stores it uses as well.
    #[serde(default)]
    pub(super) shares: Option<CheckName>,
    /// Whether it answers under any host name once other machines can reach it.
    #[serde(default)]
    pub(super) host_check_ends_when_exposed: bool,
    /// How one sees whether it hands prompts on to a service outside. None: it has no such service.
    #[serde(default)]
    pub(super) cloud: Option<Cloud>,
}

/// One answer to `GET path`. Everything that is named must hold.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    pub(super) path: String,
    /// The body, without white space around it.
    #[serde(default)]
    pub(super) text: Option<String>,
    /// Headers and how their values begin.
    #[serde(default)]
    pub(super) header: BTreeMap<String, String>,
    /// JSON pointers (RFC 6901) that lead somewhere.
    #[serde(default)]
    pub(super) has: Vec<String>,
    /// JSON pointers and the text that stands there.
    #[serde(default)]
    pub(super) equals: BTreeMap<String, String>,
}

/// Where a version is said.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VersionAnswer {
    pub(super) path: String,
    pub(super) pointer: String,
}

/// A folder of models.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Store {
    /// Absolute, or below home with `~/`.
    pub(super) path: String,
    /// A variable of the tool's environment that names another folder.
    #[serde(default)]
    pub(super) environment: Option<String>,
    pub(super) layout: Layout,
}

/// How a store is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Layout {
    /// `manifests/HOST/NAMESPACE/MODEL/TAG` names `blobs/sha256-HEX`.
    Ollama,
    /// `models--ORG--REPO/snapshots/REVISION/FILE` links to `blobs/HEX`.
    HuggingFace,
    /// Files that are named by their digest, in any folder.
    Digests,
    /// Model files by their ending, in any folder.
    Files,
}

/// How one sees whether prompts can be handed on. Unless one of these says off, they can.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cloud {
    /// A variable that switches it off when it is set to anything but 0 or false.
    pub(super) off_by_environment: String,
    /// JSON files that switch it off together, as far as they are there.
    pub(super) off_by_settings: Vec<String>,
    /// The key in it that must be true.
    pub(super) off_by_key: String,
    /// Where it lists models that run elsewhere: one of them says that prompts are handed on, whatever is switched off.
    #[serde(default)]
    pub(super) remote: Option<RemoteModels>,
}

/// Where a tool says which of its models run elsewhere.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RemoteModels {
    pub(super) path: String,
    /// JSON pointer to the list of models.
    pub(super) list: String,
    /// The key of a model that names where it runs.
    pub(super) host: String,
}

/// Every rule file: its name and its text.
const FILES: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/rules.rs"));

/// The rules that are built in.
pub(super) fn embedded() -> Vec<Tool> {
    FILES.iter().map(|(_, text)| parse(text).expect("a test reads every embedded rule")).collect()
}

/// Reads one rule. A key that is not known is an error, never a rule that silently does not run.
pub(super) fn parse(text: &str) -> Result<Tool, toml::de::Error> {
    toml::from_str(text)
}

/// Programs that run scripts: for them the script counts, not the program.
const INTERPRETERS: [&str; 8] = ["python", "pypy", "uv", "uvx", "pipx", "node", "bash", "sh"];

/// Words of a command line after the program in which its script is looked for: `uv run --quiet vllm serve`.
const SCRIPT_WORDS_MAX: usize = 4;

/// The tool that `process` belongs to, by its place among `tools`.
pub(super) fn owner(tools: &[Tool], process: &Running) -> Option<usize> {
    let by_folder = tools.iter().position(|tool| tool.is_installed_at(process));
    by_folder.or_else(|| tools.iter().position(|tool| tool.is_named_by(process)))
}

impl Tool {
    fn is_installed_at(&self, process: &Running) -> bool {
        let is_there = |path: &str| self.folders.iter().any(|folder| path.contains(folder.as_str()));
        is_there(&process.executable)
            || is_interpreter(process)
                && process.arguments.iter().skip(1).take(SCRIPT_WORDS_MAX).any(|word| is_there(word))
    }

    fn is_named_by(&self, process: &Running) -> bool {
        let first = process.arguments.first().map_or("", |word| base_name(word));
        if self.is_program(base_name(&process.executable)) || self.is_program(first) {
            return true;
        }
        // The kernel's name of the process is all there is to see of another account's.
        if process.executable.is_empty() && process.arguments.is_empty() {
            return self.is_program(&process.name);
        }
        is_interpreter(process) && self.is_script(process)
    }

    fn is_program(&self, name: &str) -> bool {
        self.executables.iter().any(|known| known == name)
            || self.endings.iter().any(|ending| name.ends_with(ending.as_str()))
    }

    fn is_script(&self, process: &Running) -> bool {
        let words = || process.arguments.iter().skip(1);
        let is_module = |module: &str| {
            self.modules.iter().any(|known| {
                module
                    .strip_prefix(known.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            })
        };
        let module = words().skip_while(|word| *word != "-m").nth(1);
        module.is_some_and(|module| is_module(module))
            || words().take(SCRIPT_WORDS_MAX).any(|word| self.is_program(base_name(word)))
    }
}

fn is_interpreter(process: &Running) -> bool {
    let program = base_name(&process.executable);
    let first = process.arguments.first().map_or("", |word| base_name(word));
    [program, first].iter().any(|name| {
        // python3.13 is python.
        let bare = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
        INTERPRETERS.contains(&bare)
    })
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The text of a rule file, for tests that go through all of them.
#[cfg(test)]
pub(super) fn file(name: &str) -> &'static str {
    FILES.iter().find(|(file, _)| *file == name).map(|(_, text)| *text).expect("a rule file")
}
