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
    assert_eq!(subjects, ["/", "store", "swap:/dev/zram0", "else"]);
    assert_eq!(found[0].observation, Observation::Disk { state: DiskState::Volatile });
    assert_eq!(found[2].observation, Observation::Disk { state: DiskState::Unknown });
    assert!(matches!(found[3].observation, Observation::Unavailable { .. }));
    assert!(!found[0].trace.is_empty());

    std::fs::write(root.path().join("proc/swaps"), "Filename\tType\n").expect("a file");
    let found = facts(&baseline(&[("disk-encryption", &["swap"])]), root.path());
    assert_eq!(
        (found[0].subject.as_str(), &found[0].observation),
        ("swap", &Observation::Flag { value: true })
    );
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
