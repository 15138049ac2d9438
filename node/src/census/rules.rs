//! The rules of the census and how a process is matched.

use croft_domain::id::CheckName;
use serde::Deserialize;

use super::processes::Running;

/// One tool. The fields are explained in `rules.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tool {
    pub(super) name: CheckName,
    #[serde(default)]
    executables: Vec<String>,
    #[serde(default)]
    modules: Vec<String>,
    #[serde(default)]
    folders: Vec<String>,
    pub(super) ports: Vec<u16>,
    #[serde(default)]
    pub(super) port_alone: Vec<u16>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    tool: Vec<Tool>,
}

/// The rules that are built in.
pub(super) fn embedded() -> Vec<Tool> {
    let rules: Rules = toml::from_str(include_str!("rules.toml")).expect("a test reads the embedded rules");
    rules.tool
}

/// Programs that run scripts: for them the script counts, not the program.
const INTERPRETERS: [&str; 8] = ["python", "pypy", "uv", "uvx", "pipx", "node", "bash", "sh"];

/// Words of a command line after the program in which its script is looked for: `uv run --quiet vllm serve`.
const SCRIPT_WORDS_MAX: usize = 4;

impl Tool {
    /// Whether `process` is one of this tool's.
    pub(super) fn fits(&self, process: &Running) -> bool {
        let program = base_name(&process.executable);
        if self.folders.iter().any(|folder| process.executable.contains(folder.as_str())) {
            return true;
        }
        let is_named = |name: &str| self.executables.iter().any(|known| known == name);
        if is_named(program) || process.arguments.first().is_some_and(|word| is_named(base_name(word))) {
            return true;
        }
        // The kernel's name of the process is all there is to see of another account's.
        if process.executable.is_empty() && process.arguments.is_empty() {
            return is_named(&process.name);
        }
        is_interpreter(program, process) && self.is_script(process)
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
            || words()
                .take(SCRIPT_WORDS_MAX)
                .any(|word| self.executables.iter().any(|known| known == base_name(word)))
            || words()
                .take(SCRIPT_WORDS_MAX)
                .any(|word| self.folders.iter().any(|f| word.contains(f.as_str())))
    }
}

fn is_interpreter(program: &str, process: &Running) -> bool {
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
