//! What is signed here, seen through a node's own store.

use std::collections::BTreeMap;

use croft_domain::digest::Sha256Digest;
use croft_domain::fleet::{Fleet, GroupPolicy};
use croft_domain::id::FleetId;
use croft_trust::digest::sha256;
use croft_trust::sign::SigningKey;
use croft_trust::store::{ExpectedRoot, Floors, MemorySource, TrustError, TrustStore};

use super::*;
use crate::command::init;
use crate::fleet_dir::Settings;
use crate::limits::FRESHNESS_TTL_S;

const NOW: Timestamp = Timestamp(1_795_219_200);

struct Bench {
    _temp: tempfile::TempDir,
    node: std::path::PathBuf,
    workbench: Workbench,
}

impl Bench {
    fn new() -> Self {
        let temp = tempfile::tempdir().expect("a folder");
        let dir = FleetDir::locate(Some(temp.path().join("fleet"))).expect("a fleet folder");
        dir.prepare().expect("a new folder");
        init::make_keys(&dir, &[KeyName::Root], None).expect("keys");
        let key = SigningKey::generate().expect("a key").entry(NOW, NOW.plus(1000));
        let fleet = Fleet {
            schema: 1,
            id: FleetId([2; 16]),
            name: "test".to_owned(),
            epoch: 1,
            ca_pins: vec![Sha256Digest([1; 32])],
            lease_keys: vec![key],
            recall_keys: Vec::new(),
            reviewer_keys: Vec::new(),
            groups: BTreeMap::new(),
            licenses: vec!["MIT".to_owned()],
            sources: Vec::new(),
            baselines: BTreeMap::new(),
            vetting: croft_domain::vetting::VettingExceptions::default(),
            moves: BTreeMap::new(),
        };
        init::sign_first(&dir, &fleet, 1, NOW).expect("signed");
        let controller = "https://127.0.0.1:7443".to_owned();
        dir.save_settings(&Settings { controller, ca_pin: Sha256Digest([1; 32]), fleet: fleet.id })
            .expect("saved");
        let workbench = Workbench::open(&dir).expect("a workbench");
        Self { node: temp.path().join("node"), workbench, _temp: temp }
    }

    fn served(&self) -> MemorySource {
        let repository = &self.workbench.repository;
        let targets = repository.target_files().expect("targets");
        MemorySource(repository.metadata_files().into_iter().chain(targets).collect())
    }

    fn store(&self) -> TrustStore {
        let root = self.workbench.root_bytes();
        let expected = ExpectedRoot { sha256: sha256(root) };
        TrustStore::bootstrap(
            &self.node.join("trust"),
            &self.node.join("floors.json"),
            root,
            &expected,
            Floors::default(),
        )
        .expect("a store")
    }
}

fn baseline(version: u32) -> Baseline {
    serde_json::from_value(serde_json::json!({
        "kind": "Baseline", "name": "standard", "version": version, "tier": 1,
        "checks": {"self-test": {"mode": "block"}}
    }))
    .expect("a baseline")
}

#[tokio::test]
async fn p3_a_node_accepts_what_is_signed_here_and_nothing_older() {
    let mut bench = Bench::new();
    let mut store = bench.store();
    let first = bench.served();
    let view = store.update(&first, NOW).await.expect("accepted");
    assert_eq!((view.fleet.epoch, view.baselines.len()), (1, 0));

    let group = "team".parse().expect("a name");
    bench.workbench.set_baseline(&baseline(1)).expect("set");
    bench
        .workbench
        .change_fleet(|fleet| {
            let policy = GroupPolicy { tier: 1, baseline: baseline(1).reference(), bundles: BTreeMap::new() };
            fleet.groups.insert(group, policy);
        })
        .expect("changed");
    bench.workbench.sign(NOW.plus(60)).expect("signed");
    let view = store.update(&bench.served(), NOW.plus(60)).await.expect("accepted");
    assert_eq!((view.fleet.epoch, view.versions.targets), (2, 2));
    assert!(view.baselines.contains_key(&baseline(1).reference()));
    assert!(matches!(store.update(&first, NOW.plus(61)).await, Err(TrustError::Rollback { .. })));
}

#[tokio::test]
async fn a_refresh_prolongs_without_a_new_version_of_the_targets() {
    let mut bench = Bench::new();
    let mut store = bench.store();
    let before = store.update(&bench.served(), NOW).await.expect("accepted");
    bench.workbench.refresh(NOW.plus(86_400), FRESHNESS_TTL_S).expect("signed");
    let after = store.update(&bench.served(), NOW.plus(86_400)).await.expect("accepted");
    assert_eq!(before.versions.targets, after.versions.targets);
    assert_eq!(after.expires_at.since(before.expires_at), 86_400);
}

#[test]
fn versions_are_found_by_whole_names() {
    let mut bench = Bench::new();
    for version in [1, 2, 10] {
        bench.workbench.set_baseline(&baseline(version)).expect("set");
    }
    let mut longer = baseline(7);
    longer.name = "standard-plus".parse().expect("a name");
    bench.workbench.set_baseline(&longer).expect("set");
    let mut versions = bench.workbench.baseline_versions(&baseline(1).name);
    versions.sort_unstable();
    assert_eq!(versions, [1, 2, 10]);
}

#[test]
fn only_one_workbench_is_open_at_a_time() {
    let bench = Bench::new();
    assert!(matches!(Workbench::open(&bench.workbench.dir), Err(CtlError::Conflict { .. })));
}
