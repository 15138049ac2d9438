//! The census over made-up processes, sockets, answers and stores, and over the machine that runs the tests.

#[path = "tests/fakes.rs"]
mod fakes;
#[path = "tests/hostile.rs"]
mod hostile;
#[path = "tests/rules.rs"]
mod rule_tests;
#[path = "tests/stores.rs"]
mod store_tests;

use std::net::{IpAddr, Ipv4Addr};

use croft_domain::census::{Finding, ModelStanding};

use super::*;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// An address that is not this machine's loopback, so that nobody is asked there.
const OUTSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

fn process(pid: u32, uid: u32, command: &[&str]) -> Running {
    Running {
        pid,
        uid: Some(uid),
        name: String::new(),
        executable: command[0].to_owned(),
        arguments: command.iter().map(|word| (*word).to_owned()).collect(),
    }
}

fn never(_: &File) -> Scan {
    panic!("nothing here is to be judged")
}

fn request<'a>(accounts: Accounts, memo: &'a Memo) -> CensusRequest<'a> {
    CensusRequest {
        accounts,
        own_ports: &[],
        root: Path::new("/nonexistent"),
        home: None,
        catalog: None,
        memo,
        judge: &never,
    }
}

fn counted(
    running: &[Running],
    listeners: &[Listener],
    request: &CensusRequest<'_>,
    sockets: &dyn Fn(u32) -> Vec<u64>,
) -> Vec<Finding> {
    count(&rules::embedded(), &Machine { running, listeners, sockets }, request).findings()
}

/// A port of loopback on which nobody listens.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

#[test]
fn ports_are_counted_by_their_socket_and_exposure_is_told() {
    let running = [process(7, 1000, &["/usr/bin/ollama", "serve"]), process(8, 1000, &["/usr/bin/tabby"])];
    let port = free_port();
    let listeners = [
        Listener { address: OUTSIDE, port: 9999, uid: 1000, inode: 70 },
        Listener { address: LOOPBACK, port, uid: 1000, inode: 80 },
        Listener { address: OUTSIDE, port: 22, uid: 0, inode: 90 },
    ];
    let sockets = |pid: u32| if pid == 7 { vec![70] } else { vec![80] };
    let found = counted(&running, &listeners, &request(Accounts::All, &Memo::default()), &sockets);
    let told: Vec<_> =
        found.iter().map(|f| (f.tool.as_str(), f.processes, f.ports.as_slice(), f.exposed)).collect();
    assert_eq!(told, [("ollama", 1, &[9999][..], true), ("tabby", 1, &[port][..], false)]);
    assert!(
        found[0].host_check_off && !found[1].host_check_off,
        "only Ollama's check ends when it is exposed"
    );
}

#[test]
fn p10_on_a_personal_machine_other_accounts_are_not_looked_at() {
    let running = [process(7, 1001, &["/usr/bin/ollama", "serve"]), process(8, 1000, &["/usr/bin/tabby"])];
    let listeners = [Listener { address: OUTSIDE, port: 11434, uid: 1001, inode: 1 }];
    let memo = Memo::default();
    let found = counted(&running, &listeners, &request(Accounts::Only(1000), &memo), &|_| Vec::new());
    assert_eq!(found.iter().map(|f| f.tool.as_str()).collect::<Vec<_>>(), ["tabby"]);
}

#[test]
fn a_known_port_counts_for_a_process_whose_sockets_cannot_be_seen() {
    let running = [process(8, 1000, &["/usr/bin/tabby"])];
    let listeners = [Listener { address: OUTSIDE, port: 8080, uid: 1000, inode: 80 }];
    let memo = Memo::default();
    let found = counted(&running, &listeners, &request(Accounts::All, &memo), &|_| Vec::new());
    assert_eq!(found[0].ports, [8080]);
}

#[test]
fn a_port_where_nobody_answers_counts_for_its_only_user_unless_it_is_our_own() {
    let listeners = [Listener { address: OUTSIDE, port: 11434, uid: 0, inode: 1 }];
    let memo = Memo::default();
    let everyone = request(Accounts::All, &memo);
    let found = |request: &CensusRequest<'_>| counted(&[], &listeners, request, &|_| Vec::new());
    assert_eq!(found(&everyone)[0].ports, [11434]);
    assert_eq!(found(&CensusRequest { own_ports: &[11434], ..everyone }), []);
}

#[test]
fn this_machine_can_be_counted_and_own_sockets_are_seen() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let all = listeners::list(Path::new("/proc/net")).expect("the kernel's list");
    let ours = all.iter().find(|l| l.port == port).expect("our listener");
    assert!(ours.is_loopback());
    assert!(processes::sockets(std::process::id()).contains(&ours.inode));
    let running = processes::list().expect("the process table");
    assert!(running.iter().any(|process| process.pid == std::process::id()));
    assert!(
        take(&CensusRequest { judge: &|_| Scan::Unknown, ..request(Accounts::All, &Memo::default()) })
            .is_ok()
    );
}

#[test]
fn p6_what_leaves_names_no_model_no_file_and_no_account() {
    let secret = "confidential-merger-model";
    let model = Model {
        name: secret.to_owned(),
        path: format!("/home/alice/{secret}").into(),
        sha256: None,
        len_bytes: 5,
        standing: Some(ModelStanding::Unknown),
        bundle: None,
        scan: Some(Scan::Refused),
    };
    let store =
        StoreFound { path: "/home/alice/x".into(), models: vec![model], remote: Vec::new(), unread: None };
    let tool = ToolFound {
        tool: "jan".parse().expect("a name"),
        title: "Jan".to_owned(),
        version: Some("1.2.3-alice".to_owned()),
        processes: 1,
        accounts: BTreeSet::from([4242]),
        ports: Vec::new(),
        host_check_off: false,
        cloud: Known::Unknown,
        has_cloud: false,
        stores: vec![store],
        shares: None,
        load: Load::default(),
    };
    let census = Census { tools: vec![tool], compared: true, home_unread: false, accelerators: Vec::new() };
    let told = serde_json::to_string(&(census.findings(), conformity(&census))).expect("json");
    for word in [secret, "alice", "4242", "1.2.3"] {
        assert!(!told.contains(word), "{told}");
    }
    assert!(told.contains(r#""unknown":1,"refused":1"#), "{told}");
    assert!(view::render(&census).contains(secret), "its owner sees it");
}

#[test]
fn p5_what_was_not_seen_whole_is_unavailable_and_not_none() {
    use croft_domain::fact::Observation;
    let seen = |census: &Census, subject: &str| {
        let facts = conformity(census);
        facts.into_iter().find(|fact| fact.subject == subject).expect("a fact").observation
    };
    let empty = Census { compared: true, ..Census::default() };
    for subject in ["exposed", "cloud", "models-unknown", "models-unsafe", "stores"] {
        assert_eq!(seen(&empty, subject), Observation::Count { count: 0 }, "{subject}");
    }
    let blind = Census { home_unread: true, ..empty.clone() };
    for subject in ["models-unapproved", "models-unknown", "models-unsafe", "stores"] {
        assert!(matches!(seen(&blind, subject), Observation::Unavailable { .. }), "{subject}");
    }
    let unlisted = Census { compared: false, ..empty };
    assert!(matches!(seen(&unlisted, "models-unknown"), Observation::Unavailable { .. }));
    let none = unavailable("no census");
    assert_eq!(none.len(), 7);
    assert!(none.iter().all(|fact| matches!(fact.observation, Observation::Unavailable { .. })));
}
