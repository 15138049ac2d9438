//! What is collected for which baseline.

use std::collections::BTreeMap;

use croft_domain::fact::DiskState;

use super::*;

fn baseline(checks: &[(&str, &[&str])]) -> Baseline {
    let policy = |paths: &[&str]| -> CheckPolicy {
        serde_json::from_value(serde_json::json!({"mode": "block", "paths": paths})).expect("a policy")
    };
    let checks: BTreeMap<CheckName, CheckPolicy> =
        checks.iter().map(|(name, paths)| (name.parse().expect("a name"), policy(paths))).collect();
    serde_json::from_value(serde_json::json!({
        "kind": "Baseline", "name": "tier-1", "version": 1, "tier": 1, "lease_ttl_s": 3600, "checks": checks,
    }))
    .expect("a baseline")
}

fn facts(baseline: &Baseline, root: &Path) -> Vec<Fact> {
    let self_tests = [SelfTest {
        role: "gateway".to_owned(),
        attempts: vec![Attempt { name: "exec".parse().expect("a name"), errno: Some("EPERM".to_owned()) }],
        layers: vec!["seccomp".parse().expect("a name")],
    }];
    collect(&CollectRequest {
        baseline,
        root,
        store: Path::new("/var/lib/croft/store"),
        home: root,
        gateway_listen: Some("127.0.0.1:11535".parse().expect("an address")),
        self_tests: &self_tests,
    })
}

#[test]
fn p10_only_what_the_baseline_asks_for_is_looked_at() {
    let root = tempfile::tempdir().expect("a folder");
    assert_eq!(facts(&baseline(&[("unheard-of", &[])]), root.path()), []);
    let found = facts(&baseline(&[("self-test", &[]), ("api-binding", &[])]), root.path());
    let subjects: Vec<_> = found.iter().map(|f| (f.check.as_str(), f.subject.as_str())).collect();
    assert_eq!(subjects, [("api-binding", "gateway"), ("self-test", "gateway")]);
    assert!(found.iter().all(Fact::is_bounded));
}

fn patched(files: &[(&str, &str)]) -> Vec<(String, Option<bool>)> {
    let root = tempfile::tempdir().expect("a folder");
    for (file, text) in files {
        let path = root.path().join(file);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        std::fs::write(path, text).expect("a file");
    }
    let mut asked = baseline(&[("patch-level", &[])]);
    asked.patches = serde_json::from_value(serde_json::json!([
        {"os": "debian 12", "kernel": "6.1.0-28", "packages": {"openssl": "3.0.15-1~deb12u1", "gone": "9"}}
    ]))
    .expect("a list");
    let value = |fact: Fact| match fact.observation {
        Observation::Flag { value } => (fact.subject, Some(value)),
        _ => (fact.subject, None),
    };
    facts(&asked, root.path()).into_iter().map(value).collect()
}

#[test]
fn p5_the_patch_level_is_compared_here_and_what_is_not_listed_is_unknown() {
    let debian = ("etc/os-release", "NAME=x\nID=debian\nVERSION_ID=\"12\"\n");
    let new = ("proc/sys/kernel/osrelease", "6.1.0-30-amd64\n");
    let old = ("proc/sys/kernel/osrelease", "6.1.0-9-amd64\n");
    let status = |version: &str| {
        format!(
            "Package: openssl\nStatus: install ok installed\nVersion: {version}\n\n\
             Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n\
             Package: opensslx\nStatus: install ok installed\nVersion: 0\n"
        )
    };
    let (good, bad) = (status("3.0.15-1~deb12u1"), status("3.0.14-1~deb12u2"));
    let told = |subject: &str, value| (subject.to_owned(), value);
    assert_eq!(
        patched(&[debian, new, ("var/lib/dpkg/status", &good)]),
        [
            told("system", Some(true)),
            told("kernel", Some(true)),
            told("package", Some(true)),
            told("package:openssl", Some(true))
        ]
    );
    assert_eq!(
        patched(&[debian, old, ("var/lib/dpkg/status", &bad)]),
        [
            told("system", Some(true)),
            told("kernel", Some(false)),
            told("package", Some(false)),
            told("package:openssl", Some(false))
        ]
    );
    assert_eq!(
        patched(&[debian]),
        [
            told("system", Some(true)),
            told("kernel", None),
            told("package", None),
            told("package:gone", None),
            told("package:openssl", None)
        ]
    );
    let nothing = ["system", "kernel", "package"].map(|subject| told(subject, None));
    assert_eq!(patched(&[("etc/os-release", "ID=arch\n"), new]), nothing);
    assert_eq!(patched(&[]), nothing);
}

#[test]
fn disks_are_named_as_the_baseline_names_them() {
    let root = tempfile::tempdir().expect("a folder");
    std::fs::create_dir_all(root.path().join("proc/self")).expect("folders");
    std::fs::write(root.path().join("proc/self/mountinfo"), "1 0 0:9 / / rw - tmpfs none rw\n")
        .expect("a file");
    std::fs::write(root.path().join("proc/swaps"), "Filename\tType\n/dev/zram0 partition 1 0 1\n")
        .expect("a file");
    let asked = baseline(&[("disk-encryption", &["/", "store", "swap", "else"])]);
    let found = facts(&asked, root.path());
    let subjects: Vec<_> = found.iter().map(|f| f.subject.as_str()).collect();
    assert_eq!(subjects, ["/", "store", "swap", "swap:zram", "else"]);
    assert_eq!(found[0].observation, Observation::Disk { state: DiskState::Volatile });
    assert_eq!(found[2].observation, Observation::Disk { state: DiskState::Unknown });
    assert_eq!(found[3].observation, Observation::Disk { state: DiskState::Unknown });
    assert!(matches!(found[4].observation, Observation::Unavailable { .. }));
    assert!(!found[0].trace.is_empty());

    std::fs::write(root.path().join("proc/swaps"), "Filename\tType\n").expect("a file");
    let found = facts(&baseline(&[("disk-encryption", &["swap"])]), root.path());
    assert_eq!(
        (found[0].subject.as_str(), &found[0].observation),
        ("swap", &Observation::Flag { value: true })
    );
}

#[test]
fn p10_no_path_leaves_but_those_that_the_baseline_names() {
    use std::collections::BTreeSet;

    use croft_domain::collection::{Collection, Item};
    use croft_domain::evidence::{Evidence, Ownership};

    let root = tempfile::tempdir().expect("a folder");
    let write = |file: &str, text: &str| {
        let path = root.path().join(file);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        std::fs::write(path, text).expect("a file");
    };
    write(
        "proc/self/mountinfo",
        "1 0 0:9 / / rw - overlay overlay rw,upperdir=/home/alice/the\\040merger/up\n\
         2 1 0:8 / /home/alice rw - fuse.secret /home/alice/vault rw\n",
    );
    write(
        "proc/swaps",
        "Filename Type\n/home/alice/swapfile file 1 0 1\n/home/alice/more file 1 0 1\n\
         /dev/vg-alice/swap partition 1 0 1\n/dev/sda2 partition 1 0 1\n",
    );
    let asked = baseline(&[
        ("disk-encryption", &["/", "home", "store", "swap"]),
        ("endpoint", &[]),
        ("patch-level", &[]),
    ]);
    let found = facts(&asked, root.path());
    let swaps: Vec<_> = found.iter().map(|f| f.subject.as_str()).filter(|s| s.starts_with("swap")).collect();
    assert_eq!(swaps, ["swap", "swap:file", "swap:file-2", "swap:volume", "swap:partition"]);
    assert!(
        found.iter().any(|fact| fact.trace.iter().any(|line| line.contains("alice"))),
        "its owner sees it"
    );

    let everything: BTreeSet<Item> = Item::ALL.into();
    for ownership in [Ownership::Personal, Ownership::DevBudget] {
        let evidence: Evidence = serde_json::from_value(serde_json::json!({
            "version": 1, "node": "00000000000000000000000000000001", "nonce": "", "counter": 1, "boot_id": "",
            "taken_at": 0, "mode": "user", "ownership": ownership,
            "platform": {"os": "linux", "arch": "x", "kernel": "6"}, "agent_version": "0",
            "baseline": null, "trust": {"root": 0, "timestamp": 0, "snapshot": 0, "targets": 0},
            "facts": &found, "bundles": [], "recalls": [], "census": [], "usage": [],
        }))
        .expect("evidence");
        let held = Collection::permitted(ownership, &everything, &everything).hold(evidence);
        let told = serde_json::to_string(held.evidence()).expect("JSON");
        for name in ["alice", "merger", "vault"] {
            assert!(!told.contains(name), "{name}: {told}");
        }
        assert_eq!(told.contains("PATH"), ownership == Ownership::DevBudget, "{told}");
        assert_eq!(held.evidence().facts.len(), found.len(), "no fact is lost by it");
    }
}

#[test]
fn p5_documented_outputs_of_other_systems_take_the_same_way_into_facts() {
    let root = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(root.path().join("croft")).expect("a folder");
    let bitlocker = r#"[{"MountPoint":"C:","VolumeType":0,"VolumeStatus":1,"ProtectionStatus":1}]"#;
    let outputs = serde_json::json!({"system": "windows", "outputs": {
        "bitlocker": bitlocker, "page-files": r#"["C:\\pagefile.sys","D:\\pagefile.sys"]"#, "secure-boot": "True\r\n",
    }});
    std::fs::write(root.path().join("croft/outputs.json"), outputs.to_string()).expect("a file");
    let found = facts(&baseline(&[("disk-encryption", &["/", "swap"]), ("endpoint", &[])]), root.path());
    let told: Vec<_> =
        found.iter().map(|f| (f.subject.as_str(), &f.observation, f.method.as_str())).collect();
    let disk = |state| Observation::Disk { state };
    assert_eq!(told[0], ("/", &disk(DiskState::Encrypted), "bitlocker"));
    assert_eq!(told[1], ("swap", &disk(DiskState::Unknown), "bitlocker"));
    assert_eq!(told[2], ("swap:file", &disk(DiskState::Encrypted), "bitlocker"));
    assert_eq!(told[3], ("swap:file-2", &disk(DiskState::Unknown), "bitlocker"));
    assert_eq!(told[4], ("secure-boot", &Observation::Flag { value: true }, "Confirm-SecureBootUEFI"));
    assert!(found[5..].iter().all(|fact| matches!(fact.observation, Observation::Unavailable { .. })));
}

#[test]
fn p6_names_of_credentials_are_counted_and_never_told() {
    let home = tempfile::tempdir().expect("a folder");
    std::fs::write(home.path().join(".netrc"), "machine secret-prod.example.com password x\n")
        .expect("a file");
    let found = facts(&baseline(&[("production-credentials", &[])]), home.path());
    let counts: Vec<_> = found.iter().map(|f| (f.subject.as_str(), &f.observation)).collect();
    let one = Observation::Count { count: 1 };
    assert_eq!(counts, [("all", &one), ("netrc", &one)]);
    assert!(!format!("{found:?}").contains("secret-prod"));
}

#[test]
fn p5_a_home_that_cannot_be_read_is_not_an_empty_one() {
    let asked = baseline(&[("production-credentials", &[])]);
    let found = facts(&asked, Path::new("/croft-no-such-home"));
    assert!(matches!(found[0].observation, Observation::Unavailable { .. }));
}
