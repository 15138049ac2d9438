//! The census over made-up processes and sockets.

use super::*;

fn process(pid: u32, uid: u32, command: &[&str]) -> Running {
    Running {
        pid,
        uid: Some(uid),
        name: String::new(),
        executable: command[0].to_owned(),
        arguments: command.iter().map(|word| (*word).to_owned()).collect(),
    }
}

fn tool_of(command: &[&str]) -> Option<String> {
    let process = process(1, 1000, command);
    rules::embedded().iter().find(|tool| tool.fits(&process)).map(|tool| tool.name.to_string())
}

const EVERYONE: CensusRequest<'static> = CensusRequest { accounts: Accounts::All, own_ports: &[] };

#[test]
fn the_embedded_rules_are_sound() {
    let tools = rules::embedded();
    assert!(tools.len() >= 13);
    for tool in &tools {
        assert_eq!(tools.iter().filter(|other| other.name == tool.name).count(), 1, "{}", tool.name);
        assert!(tool.port_alone.iter().all(|port| tool.ports.contains(port)), "{}", tool.name);
    }
}

#[test]
fn tools_are_known_by_program_script_module_and_folder() {
    for (command, expected) in [
        (&["/usr/local/bin/ollama", "serve"][..], "ollama"),
        (&["/usr/local/lib/ollama/llama-server", "--model", "x", "--offline"], "ollama"),
        (&["/home/me/.lmstudio/bin/lms", "daemon"], "lm-studio"),
        (&["/usr/bin/python3.12", "/home/me/.venv/bin/vllm", "serve", "m"], "vllm"),
        (&["/usr/bin/python3", "-m", "vllm.entrypoints.openai.api_server"], "vllm"),
        (&["/usr/bin/python3", "-m", "lmdeploy", "serve", "api_server"], "lmdeploy"),
        (&["/usr/bin/python3", "run_localGPT_API.py"], "localgpt"),
        (&["/usr/bin/python3", "/usr/local/bin/ramalama", "serve"], "ramalama"),
        (&["/opt/com.docker.llama-server", "--port", "1"], "docker-model-runner"),
        (&["/usr/bin/tabby", "serve"], "tabby"),
        (&["/opt/Jan/Jan"], "jan"),
        (&["/usr/bin/gpt4all"], "gpt4all"),
        (&["./koboldcpp"], "koboldcpp"),
        (&["/usr/bin/python3", "/usr/bin/open-webui", "serve"], "open-webui"),
        (&["/home/me/llama.cpp/build/bin/llama-server", "-m", "x.gguf"], "llama-server"),
    ] {
        assert_eq!(tool_of(command).as_deref(), Some(expected), "{command:?}");
    }
}

#[test]
fn other_programs_that_only_speak_of_a_tool_are_not_it() {
    for command in [
        &["/usr/bin/vim", "vllm"][..],
        &["/usr/bin/grep", "-r", "ollama"],
        &["/usr/bin/python3", "-m", "vllmish"],
        &["/usr/bin/python3", "manage.py", "--with", "a", "b", "vllm"],
        &["/usr/libexec/croft/croft-worker", "--slot-fd", "3"],
        &["/usr/bin/january"],
    ] {
        assert_eq!(tool_of(command), None, "{command:?}");
    }
}

#[test]
fn ports_are_counted_by_their_socket_and_exposure_is_told() {
    let running = [process(7, 1000, &["/usr/bin/ollama", "serve"]), process(8, 1000, &["/usr/bin/tabby"])];
    let listeners = [
        Listener { port: 9999, loopback: false, uid: 1000, inode: 70 },
        Listener { port: 8080, loopback: true, uid: 1000, inode: 80 },
        Listener { port: 22, loopback: false, uid: 0, inode: 90 },
    ];
    let sockets = |pid: u32| if pid == 7 { vec![70] } else { vec![] };
    let found = count(&rules::embedded(), &running, &listeners, &EVERYONE, sockets);
    let told: Vec<_> =
        found.iter().map(|f| (f.tool.as_str(), f.processes, f.ports.as_slice(), f.exposed)).collect();
    assert_eq!(told, [("ollama", 1, &[9999][..], true), ("tabby", 1, &[8080][..], false)]);
}

#[test]
fn p10_on_a_personal_machine_other_accounts_are_not_looked_at() {
    let running = [process(7, 1001, &["/usr/bin/ollama", "serve"]), process(8, 1000, &["/usr/bin/tabby"])];
    let listeners = [Listener { port: 11434, loopback: true, uid: 1001, inode: 1 }];
    let request = CensusRequest { accounts: Accounts::Only(1000), own_ports: &[] };
    let found = count(&rules::embedded(), &running, &listeners, &request, |_| Vec::new());
    assert_eq!(found.iter().map(|f| f.tool.as_str()).collect::<Vec<_>>(), ["tabby"]);
}

#[test]
fn a_port_without_a_process_counts_unless_it_is_our_own() {
    let listeners = [Listener { port: 11434, loopback: true, uid: 0, inode: 1 }];
    let found = |request| count(&rules::embedded(), &[], &listeners, &request, |_| Vec::new());
    assert_eq!(found(EVERYONE)[0].ports, [11434]);
    assert_eq!(found(CensusRequest { own_ports: &[11434], ..EVERYONE }), []);
}

#[test]
fn this_machine_can_be_counted_and_own_sockets_are_seen() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let all = listeners::list(Path::new("/proc/net")).expect("the kernel's list");
    let ours = all.iter().find(|l| l.port == port).expect("our listener");
    assert!(ours.loopback);
    assert!(processes::sockets(std::process::id()).contains(&ours.inode));
    let running = processes::list().expect("the process table");
    assert!(running.iter().any(|process| process.pid == std::process::id()));
    assert!(take(&EVERYONE).is_ok());
}
