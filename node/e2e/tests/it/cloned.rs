//! A disk that was copied or put back: whoever has the files has the key, so what shows it is that the past happens twice.

use std::path::Path;
use std::process::Command;

use croft_e2e::{Workstation, wait};

use crate::Village;

fn copy(from: &Path, to: &Path) {
    if to.exists() {
        std::fs::remove_dir_all(to).expect("a free place");
    }
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp runs");
    assert!(copied.success());
}

fn links(village: &Village) -> u64 {
    let audit = village.fleet.ctl_json(&["audit", "verify"]).expect("an honest history");
    audit[0]["links"].as_u64().expect("a number")
}

fn notice(village: &Village) -> String {
    let nodes = village.fleet.ctl_json(&["get", "nodes"]).expect("nodes");
    nodes[0]["notice"].as_str().expect("a text").to_owned()
}

fn wait_for_link(village: &Village, before: u64) {
    let more = || if links(village) > before { Ok(()) } else { Err("no new link".to_owned()) };
    wait::until("another link", 60, more).expect("another link");
}

fn wait_for_notice(village: &Village) {
    let noticed = || if notice(village).is_empty() { Err("nothing noticed".to_owned()) } else { Ok(()) };
    wait::until("the controller notices it", 60, noticed).expect("a notice");
}

#[test]
fn p7_a_copied_disk_and_a_restored_one_are_noticed_shown_and_taken_back_by_hand() {
    let mut village = Village::serving();
    village.workstation.stop().expect("a stopped daemon");
    let state = village.workstation.state();
    let older = village.folder.path().join("older");
    copy(&state, &older);
    let mut second = Workstation::new(&village.folder.path().join("copy")).expect("a second machine");
    copy(&state, &second.state());
    second.configure("").expect("a port of its own");
    let before = links(&village);
    village.workstation.start().expect("the original runs");
    wait_for_link(&village, before);
    assert_eq!(notice(&village), "", "an honest restart is nothing to notice");

    second.start().expect("the copy runs beside it");
    wait_for_notice(&village);
    assert!(second.log().contains("E-NODE-CLONED"), "{}", second.log());
    let list = village.fleet.ctl(&["get", "nodes"]).expect("nodes");
    assert!(list.stdout.contains("RESTORED OR COPIED"), "{list:?}");
    let id = village.node_id();
    let described = village.fleet.ctl(&["describe", "node", &id]).expect("a description");
    for part in ["NOTICED", "restored from an older one, or runs on two machines", "croftctl node evict"] {
        assert!(described.stdout.contains(part), "{part}: {described:?}");
    }
    village.fleet.ctl(&["report", "create"]).expect("a report");
    let report = village.fleet.ctl(&["report", "show"]).expect("a report");
    assert!(report.stdout.contains("runs on two machines"), "{report:?}");
    second.stop().expect("the copy ends");

    village.fleet.ctl(&["node", "restore", &id, "--reason", "the copy was wiped"]).expect("taken back");
    assert_eq!(notice(&village), "");
    village.workstation.stop().expect("a stopped daemon");
    copy(&older, &state);
    village.workstation.start().expect("the restored machine runs");
    wait_for_notice(&village);
    let log = village.fleet.ctl(&["audit", "log"]).expect("a log");
    assert_eq!(log.stdout.matches("node.notice").count(), 2, "{log:?}");
}

#[test]
fn p5_owner_and_admin_read_the_same_tree() {
    let village = Village::serving();
    let owner = village.workstation.croft(&["why"]).expect("a verdict").stdout;
    let admin = village.fleet.ctl(&["describe", "node", &village.node_id()]).expect("a node").stdout;
    let tree = |text: &str| -> Vec<String> {
        // Seconds pass between the two, so only exact times are compared; traces stay on the machine.
        let exact = |line: &str| match line.split_once(" (2") {
            Some((start, time)) => format!("{} ({time}", start.split("   ").next().unwrap_or_default()),
            None => line.to_owned(),
        };
        let mut lines = text.lines().skip_while(|line| !line.starts_with("judged "));
        let judged = lines.next().unwrap_or_default();
        assert!(judged.contains(" by starter@1, evidence self-reported"), "{text}");
        lines.filter(|line| !line.contains("   trace   ")).map(exact).collect()
    };
    let (owner, admin) = (tree(&owner), tree(&admin));
    assert!(owner.len() > 10, "{owner:?}");
    assert_eq!(owner, admin);
}
