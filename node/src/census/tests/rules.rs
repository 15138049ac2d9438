//! Every rule file: which processes are its tool's, and which are not.

use std::collections::BTreeSet;

use super::process;
use crate::census::rules::{embedded, file, owner, parse};
use crate::census::surroundings::VARIABLES;

/// For each rule, a command line of its tool, and one that only speaks of it.
const COMMANDS: &[(&str, &[&str], &[&str])] = &[
    ("ollama", &["/usr/local/bin/ollama", "serve"], &["/usr/bin/grep", "-r", "ollama"]),
    ("lm-studio", &["/home/me/.lmstudio/bin/lms", "daemon"], &["/usr/bin/vim", "lms"]),
    (
        "lmdeploy",
        &["/usr/bin/python3", "-m", "lmdeploy", "serve", "api_server"],
        &["/usr/bin/python3", "-m", "lmdeployment"],
    ),
    ("localgpt", &["/usr/bin/python3", "run_localGPT_API.py"], &["/usr/bin/cat", "run_localGPT_API.py"]),
    ("ramalama", &["/usr/bin/python3", "/usr/local/bin/ramalama", "serve"], &["/usr/bin/man", "ramalama"]),
    ("docker-model-runner", &["/opt/com.docker.llama-server", "--port", "1"], &["/usr/bin/docker", "model"]),
    (
        "llama-server",
        &["/home/me/llama.cpp/build/bin/llama-server", "-m", "x.gguf"],
        &["/usr/bin/make", "llama-server"],
    ),
    ("llamafile", &["/home/me/Qwen.llamafile", "--server"], &["/usr/bin/chmod", "+x", "Qwen.llamafile"]),
    (
        "vllm",
        &["/usr/bin/python3.12", "/home/me/.venv/bin/vllm", "serve", "m"],
        &["/usr/bin/python3", "manage.py", "--with", "a", "b", "vllm"],
    ),
    ("jan", &["/opt/Jan/Jan"], &["/usr/bin/january"]),
    ("gpt4all", &["/usr/bin/gpt4all"], &["/usr/bin/xdg-open", "gpt4all"]),
    ("koboldcpp", &["./koboldcpp"], &["/usr/bin/curl", "koboldcpp"]),
    (
        "text-generation-webui",
        &["/home/me/text-generation-webui/venv/bin/python", "server.py"],
        &["/usr/bin/python3", "server.py"],
    ),
    ("mlx-lm", &["/usr/bin/python3", "-m", "mlx_lm.server"], &["/usr/bin/python3", "-m", "mlx"]),
    (
        "open-webui",
        &["/usr/bin/python3", "/usr/bin/open-webui", "serve"],
        &["/usr/bin/python3", "-m", "open_webuis"],
    ),
    ("tabby", &["/usr/bin/tabby", "serve"], &["/usr/bin/tabbyml-notes"]),
    ("localai", &["/usr/bin/local-ai"], &["/usr/bin/local-aid"]),
    ("sglang", &["/usr/bin/python3", "-m", "sglang.launch_server"], &["/usr/bin/python3", "-m", "sg"]),
    ("text-generation-inference", &["/usr/bin/text-generation-launcher"], &["/usr/bin/text-generation"]),
    ("gpustack", &["/usr/bin/gpustack"], &["/usr/bin/gpustacks"]),
    ("paddler", &["/usr/bin/paddler"], &["/usr/bin/paddle"]),
    ("llmman", &["/usr/bin/llmman"], &["/usr/bin/man", "llmman"]),
    // No program of its own.
    ("hugging-face", &[], &["/usr/bin/huggingface-cli"]),
];

fn tool_of(command: &[&str]) -> Option<String> {
    let tools = embedded();
    owner(&tools, &process(1, 1000, command)).map(|at| tools[at].name.to_string())
}

#[test]
fn every_rule_knows_its_tool_and_not_what_only_speaks_of_it() {
    let tested: BTreeSet<&str> = COMMANDS.iter().map(|(name, _, _)| *name).collect();
    let rules: Vec<String> = embedded().iter().map(|tool| tool.name.to_string()).collect();
    assert_eq!(tested, rules.iter().map(String::as_str).collect(), "a rule has no test, or a test no rule");
    for (name, own, other) in COMMANDS {
        if !own.is_empty() {
            assert_eq!(tool_of(own).as_deref(), Some(*name), "{own:?}");
        }
        assert_eq!(tool_of(other), None, "{other:?}");
    }
}

#[test]
fn an_engine_belongs_to_the_tool_that_brought_it_along() {
    let bundled = ["/usr/local/lib/ollama/llama-server", "--model", "x", "--offline"];
    assert_eq!(tool_of(&bundled).as_deref(), Some("ollama"));
    assert_eq!(tool_of(&["/home/me/Jan/data/engines/llama-server"]).as_deref(), Some("jan"));
    assert_eq!(tool_of(&["/usr/libexec/croft/croft-worker", "--slot-fd", "3"]), None);
}

#[test]
fn rules_are_sound_and_agree_with_their_file_names() {
    let tools = embedded();
    for tool in &tools {
        assert_eq!(parse(file(tool.name.as_str())).expect("a rule").name, tool.name);
        assert!(tool.port_alone.iter().all(|port| tool.ports.contains(port)), "{}", tool.name);
        if let Some(other) = &tool.shares {
            assert!(
                tools.iter().any(|t| t.name == *other && !t.stores.is_empty()),
                "{} shares {other}",
                tool.name
            );
        }
        let stores = tool.stores.iter().filter_map(|store| store.environment.as_deref());
        let cloud = tool.cloud.iter().map(|cloud| cloud.off_by_environment.as_str());
        for name in stores.chain(cloud) {
            assert!(VARIABLES.contains(&name), "{}: {name} is no variable that may be looked at", tool.name);
        }
        let paths = tool.stores.iter().map(|store| store.path.as_str());
        assert!(
            paths.into_iter().all(|path| path.starts_with("~/") || path.starts_with('/')),
            "{}",
            tool.name
        );
        let asked = tool.answers.iter().map(|a| &a.path).chain(tool.version.iter().map(|v| &v.path));
        assert!(asked.into_iter().all(|path| path.starts_with('/')), "{}", tool.name);
    }
}

#[test]
fn a_key_that_is_not_known_is_an_error() {
    let good = "name = \"x\"\ntitle = \"X\"\n";
    assert!(parse(good).is_ok());
    for bad in [
        "executable = [\"x\"]\n",
        "[[answers]]\npath = \"/\"\nbody = \"x\"\n",
        "[[stores]]\npath = \"~/x\"\nlayout = \"files\"\ndeep = true\n",
        "[[stores]]\npath = \"~/x\"\nlayout = \"heap\"\n",
        "[cloud]\noff = true\n",
        "[version]\npath = \"/\"\n",
    ] {
        assert!(parse(&format!("{good}{bad}")).is_err(), "{bad}");
    }
    assert!(parse("title = \"X\"\n").is_err());
}
