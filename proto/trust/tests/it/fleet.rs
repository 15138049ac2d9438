//! A small real fleet: its keys, its repository and documents, for the tests to attack.

use std::collections::BTreeMap;
use std::path::PathBuf;

use croft_domain::time::Timestamp;
use croft_trust::digest::sha256;
use croft_trust::repository::{FreshnessKeys, Repository, RoleHolders, Roles, RootKeys, TargetsKeys};
use croft_trust::sign::SigningKey;
use croft_trust::store::{
    ExpectedRoot, Floors, MemorySource, TrustError, TrustSource, TrustStore, TrustView,
};
use tempfile::TempDir;

pub const DAY: u64 = 86_400;

/// When everything in these tests begins.
pub const START: Timestamp = Timestamp(1_800_000_000);

pub fn key() -> SigningKey {
    SigningKey::generate().expect("a key")
}

pub struct Publisher {
    pub dir: TempDir,
    pub root_keys: RootKeys,
    pub targets_keys: TargetsKeys,
    pub freshness_keys: FreshnessKeys,
    pub repository: Repository,
    pub first_root: Vec<u8>,
}

impl Publisher {
    /// A fleet with one bundle, one baseline and one waiver, published at [`START`].
    pub fn new() -> Self {
        let (root, targets, freshness) = (key(), key(), key());
        let roles = Roles {
            root: RoleHolders::solo(&root),
            targets: RoleHolders::solo(&targets),
            freshness: RoleHolders::solo(&freshness),
        };
        let dir = tempfile::tempdir().expect("a folder");
        let root_keys = RootKeys(vec![root]);
        let repository =
            Repository::create(dir.path(), &roles, &root_keys, START.plus(700 * DAY)).expect("created");
        let first_root = repository.root_bytes().to_vec();
        let mut publisher = Self {
            dir,
            root_keys,
            targets_keys: TargetsKeys(vec![targets]),
            freshness_keys: FreshnessKeys(vec![freshness]),
            repository,
            first_root,
        };
        publisher.set("fleet.json", &fleet(1));
        publisher.set("bundle.starter.1.json", &bundle("starter", 1, 1));
        publisher.set("baseline.standard.1.json", &baseline(1));
        publisher.set("waivers.json", WAIVERS);
        publisher.publish(START);
        publisher
    }

    pub fn roles(&self) -> Roles {
        Roles {
            root: RoleHolders::solo(&self.root_keys.0[0]),
            targets: RoleHolders::solo(&self.targets_keys.0[0]),
            freshness: RoleHolders::solo(&self.freshness_keys.0[0]),
        }
    }

    pub fn set(&mut self, name: &str, document: &str) {
        self.repository.set_target(name, document.as_bytes()).expect("set");
    }

    pub fn sign(&mut self, at: Timestamp) {
        self.repository.sign_targets(&self.targets_keys, at.plus(365 * DAY)).expect("signed");
    }

    pub fn refresh(&mut self, at: Timestamp) {
        self.repository.refresh_at(&self.freshness_keys, at, at.plus(14 * DAY)).expect("refreshed");
    }

    pub fn publish(&mut self, at: Timestamp) {
        self.sign(at);
        self.refresh(at);
    }

    pub fn served(&self) -> MemorySource {
        let mut files: BTreeMap<_, _> = self.repository.metadata_files().into_iter().collect();
        files.extend(self.repository.target_files().expect("targets"));
        MemorySource(files)
    }

    pub fn expected(&self) -> ExpectedRoot {
        ExpectedRoot { sha256: sha256(&self.first_root) }
    }
}

/// A node with its two places.
pub struct Node {
    pub dir: TempDir,
    pub store: TrustStore,
}

impl Node {
    pub fn enroll(publisher: &Publisher) -> Self {
        Self::enroll_with(publisher, Floors::default())
    }

    pub fn enroll_with(publisher: &Publisher, floors: Floors) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let (trust, place) = (dir.path().join("trust"), dir.path().join("floors/floors.json"));
        let store =
            TrustStore::bootstrap(&trust, &place, &publisher.first_root, &publisher.expected(), floors)
                .expect("bootstrapped");
        Self { dir, store }
    }

    /// An enrolled node that has taken over what is published.
    pub fn current(publisher: &Publisher) -> Self {
        let mut node = Self::enroll(publisher);
        node.update(&publisher.served(), START).expect("updated");
        node
    }

    /// An enrolled node that has taken over `source`.
    pub fn current_of(publisher: &Publisher, source: &MemorySource) -> Self {
        let mut node = Self::enroll(publisher);
        node.update(source, START).expect("updated");
        node
    }

    pub fn trust(&self) -> PathBuf {
        self.dir.path().join("trust")
    }

    pub fn set(&self) -> PathBuf {
        self.trust().join("set")
    }

    pub fn floors(&self) -> PathBuf {
        self.dir.path().join("floors/floors.json")
    }

    pub fn update(
        &mut self,
        source: &dyn TrustSource,
        now: Timestamp,
    ) -> Result<std::sync::Arc<TrustView>, TrustError> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(self.store.update(source, now))
    }

    pub fn reopen(&self) -> Result<TrustStore, TrustError> {
        TrustStore::open(&self.trust(), &self.floors())
    }

    /// Asserts that an update is refused with `code` and that nothing changed, in memory and on disk.
    pub fn refuses(&mut self, source: &dyn TrustSource, now: Timestamp, code: &str) -> TrustError {
        let before = (self.store.view(), self.store.floors().clone(), self.store.files());
        let error = self.update(source, now).expect_err("refused");
        assert_eq!(error.code().as_str(), code, "{error:?}");
        let after = (self.store.view(), self.store.floors().clone(), self.store.files());
        assert!(before == after, "the set changed although the update was refused: {error}");
        let reopened = self.reopen().expect("still whole");
        assert!(reopened.view() == before.0 && *reopened.floors() == before.1);
        error
    }
}

pub fn fleet(epoch: u64) -> String {
    let zeros = "00".repeat(32);
    format!(
        r#"{{"schema":1,"id":"000102030405060708090a0b0c0d0e0f","name":"Example","epoch":{epoch},
        "ca_pins":["sha256:{zeros}"],"lease_keys":[],"recall_keys":[],"reviewer_keys":[],
        "groups":{{"web":{{"tier":1,"baseline":{{"name":"standard","version":1}},"bundles":{{"starter":1}}}}}},
        "licenses":["Apache-2.0"]}}"#
    )
}

pub fn bundle(name: &str, version: u32, epoch: u32) -> String {
    let (zeros, source) = ("00".repeat(32), "{{ messages }}");
    let template = sha256(source.as_bytes());
    format!(
        r#"{{"schema":1,"name":"{name}","version":{version},"epoch":{epoch},"architecture":"llama",
        "files":[{{"role":"weights","sha256":"sha256:{zeros}","len_bytes":10,"chunk_len_bytes":65536,
        "chunks":["{zeros}"]}}],"template":{{"source":"{source}","sha256":"{template}"}},
        "parameters":{{"context_tokens":2048,"slots":2,"temperature":0.0}},"aliases":["chat"],
        "license":{{"id":"Apache-2.0"}},
        "provenance":{{"source":"made here","vetting_report_sha256":"sha256:{zeros}"}},"check_prompts":[]}}"#
    )
}

pub fn baseline(version: u32) -> String {
    format!(
        r#"{{"kind":"Baseline","name":"standard","version":{version},"tier":1,"checks":{{"self-test":{{"mode":"block"}}}}}}"#
    )
}

pub const WAIVERS: &str = r#"[{"id":"00000000000000000000000000000001","scope":{"group":"web"},
    "check":"disk-encryption","not_before":1,"not_after":2,"reason":"loaner"}]"#;
