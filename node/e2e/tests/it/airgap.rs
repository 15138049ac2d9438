//! Air gaps: one file brings what the controller would have sent, under the very same checks.

use std::fs;
use std::io::Read;
use std::path::PathBuf;

use croft_domain::digest::Sha256Digest;
use croft_domain::time::Timestamp;
use croft_e2e::api::Api;
use croft_e2e::{Fleet, wait};
use croft_trust::archive::{Documents, Incoming, Outgoing};
use croft_trust::digest::sha256;
use croft_trust::store::{ExpectedRoot, Floors, MemorySource, TrustStore};
use croft_trust::tar;

use crate::{Village, assert_refused};

fn export(fleet: &Fleet, name: &str, arguments: &[&str]) -> PathBuf {
    let out = fleet.folder.join(name);
    let text = out.display().to_string();
    let all = [&["bundle", "export", "--out", &text], arguments].concat();
    fleet.ctl(&all).expect("an archive");
    out
}

fn newer_model() -> PathBuf {
    croft_e2e::binaries::repository().join("playbooks/starter-model/croft-starter-f16.gguf")
}

/// Takes the archive apart, changes it, and writes it again.
fn rewritten(
    archive: &std::path::Path,
    change: impl FnOnce(&mut Documents, &mut Vec<(Sha256Digest, Vec<u8>)>),
) -> Vec<u8> {
    let bytes = fs::read(archive).expect("the archive");
    let (mut incoming, mut documents) = Incoming::open(bytes.as_slice()).expect("an archive");
    let mut blobs = Vec::new();
    while let Some((digest, _)) = incoming.next_blob().expect("a blob") {
        let mut content = Vec::new();
        incoming.read_to_end(&mut content).expect("its bytes");
        blobs.push((digest, content));
    }
    change(&mut documents, &mut blobs);
    let mut outgoing = Outgoing::begin(Vec::new(), &documents).expect("begun");
    for (digest, content) in blobs {
        outgoing.blob(digest, content.len() as u64, &mut content.as_slice()).expect("written");
    }
    outgoing.finish().expect("finished")
}

impl Village {
    /// Imports these bytes, which must be refused with this code, and leave nothing behind.
    fn refuses(&self, what: &str, bytes: &[u8], code: &str) {
        let before = self.seen();
        let file = self.folder.path().join("bad.croft");
        fs::write(&file, bytes).expect("written");
        let output = self.workstation.try_croft(&["import", &file.display().to_string()]);
        let output = output.expect("croft runs");
        assert_refused(&output, code);
        assert_eq!(before, self.seen(), "{what} left something behind");
    }

    /// What an import could have changed: metadata, blobs, quarantine, wishes.
    fn seen(&self) -> Vec<(PathBuf, Sha256Digest)> {
        let state = self.workstation.state();
        let mut seen = Vec::new();
        let mut folders =
            vec![state.join("trust"), state.join("floors"), state.join("store"), state.join("recalls")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
                if entry.path().is_dir() {
                    folders.push(entry.path());
                } else {
                    let bytes = fs::read(entry.path()).unwrap_or_default();
                    seen.push((entry.path(), sha256(&bytes)));
                }
            }
        }
        seen.sort();
        seen
    }

    fn import(&self, file: &std::path::Path) -> croft_e2e::process::Output {
        self.workstation.croft(&["import", &file.display().to_string()]).expect("an import")
    }
}

#[test]
fn a_node_whose_controller_is_gone_imports_a_newer_bundle_and_serves_it() {
    let mut village = Village::serving();
    village.fleet.publish_bundle("starter", 2, &newer_model()).expect("a newer bundle");
    // Assigned and leased, but its bytes never reach the node: the disk of the controller loses them first.
    let digest = sha256(&fs::read(newer_model()).expect("the model")).hex();
    let mut folders = vec![village.fleet.controller_state()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder").filter_map(Result::ok) {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path if path.to_string_lossy().contains(&digest) => fs::remove_file(path).expect("removed"),
                _ => {}
            }
        }
    }
    village.fleet.ctl(&["assign", "bundle", "starter@2", "--group", "dev"]).expect("assigned");
    wait::until("the node misses the bytes", 30, || {
        let models = village.workstation.models().map_err(|e| e.to_string())?.to_string();
        if models.contains("starter@2") && models.contains("E-BLOB-MISSING") { Ok(()) } else { Err(models) }
    })
    .expect("a wish that cannot be met");
    village.fleet.stop_controller().expect("a stopped controller");

    let archive = export(&village.fleet, "newer.croft", &["starter@2"]);
    let said = village.import(&archive);
    assert!(said.stdout.contains("starter@2: installed"), "{said:?}");
    wait::until("the newer bundle is loaded", 60, || {
        let models = village.workstation.models().map_err(|e| e.to_string())?;
        let is_loaded = models["models"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|model| model["bundle"] == "starter@2" && model["state"] == "loaded");
        if is_loaded { Ok(()) } else { Err(models.to_string()) }
    })
    .expect("loaded");
    let key = village.workstation.api_key().expect("a key");
    let answer = Api::new(&village.workstation.gateway(), Some(&key)).ask("hello").expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
    // Once more changes nothing and is no failure.
    let again = village.import(&archive);
    assert!(again.stdout.contains("starter@2: was here already"), "{again:?}");
}

#[test]
fn p3_an_archive_gets_in_by_no_weaker_way() {
    let mut village = Village::serving();
    // The node learns of the newer bundle by the file alone.
    village.workstation.stop().expect("a stopped daemon");
    village.fleet.publish_bundle("starter", 2, &newer_model()).expect("a newer bundle");
    village.fleet.stop_controller().expect("a stopped controller");
    village.workstation.start().expect("a running daemon");
    village.workstation.wait_until_serving(60).expect("serving offline");
    let archive = export(&village.fleet, "newer.croft", &["starter@2"]);
    let good = fs::read(&archive).expect("the archive");

    let flipped = rewritten(&archive, |_, blobs| {
        let middle = blobs[0].1.len() / 2;
        blobs[0].1[middle] ^= 1;
    });
    village.refuses("a flipped byte", &flipped, "E-BLOB-CORRUPT");
    let short = rewritten(&archive, |_, blobs| {
        blobs[0].1.pop();
    });
    village.refuses("another length", &short, "E-ARCHIVE-REFUSED");
    let empty = rewritten(&archive, |_, blobs| blobs.clear());
    // Nothing is asked of a network here: what the file lacks is missing.
    village.refuses("missing bytes", &empty, "E-ARCHIVE-REFUSED");
    let stranger = rewritten(&archive, |_, blobs| {
        let bytes = b"not asked for".to_vec();
        blobs.push((sha256(&bytes), bytes));
        blobs.sort();
    });
    village.refuses("a stranger's bytes", &stranger, "E-ARCHIVE-REFUSED");
    for len in [0, 100, 2000, good.len() / 2, good.len() - 1] {
        village.refuses("a cut file", &good[..len], "E-ARCHIVE-REFUSED");
    }
    village.refuses("extra bytes", &[good.as_slice(), b"x"].concat(), "E-ARCHIVE-REFUSED");
    village.refuses("no archive", b"GGUF\0\0\0", "E-ARCHIVE-REFUSED");

    let edited = rewritten(&archive, |documents, _| {
        let manifest = documents.trust.iter_mut().find(|(name, _)| name.contains(".bundle.starter.2"));
        let (_, bytes) = manifest.expect("the manifest");
        *bytes = String::from_utf8_lossy(bytes).replace("Apache-2.0", "Apache-3.0").into_bytes();
    });
    village.refuses("an edited manifest", &edited, "E-TRUST-FORGED");
    let forged = rewritten(&archive, |documents, _| {
        let recall = croft_domain::recall::Recall {
            id: croft_domain::id::RecallId([5; 16]),
            target: croft_domain::recall::RecallTarget::Bundle("starter@1".parse().expect("a reference")),
            reason: "because".to_owned(),
            issued_at: Timestamp(5),
        };
        let payload = serde_json::to_vec(&recall).expect("a recall");
        let key = croft_trust::sign::SigningKey::generate().expect("a key");
        let envelope = key.sign(croft_domain::signed::Domain::Recall, payload);
        documents.recalls.insert(recall.id, envelope);
    });
    village.refuses("a forged recall", &forged, "E-TRUST-FORGED");

    let mut names: Vec<u8> = Vec::new();
    let mut writer = tar::Writer::new(&mut names);
    writer.file("../../state/identity/key", 1, &mut b"x".as_slice()).expect("written");
    writer.finish().expect("finished");
    village.refuses("a name that climbs", &names, "E-ARCHIVE-REFUSED");
    // The node is what it was, and the good file still gets in.
    let said = village.import(&archive);
    assert!(said.stdout.contains("starter@2: installed"), "{said:?}");
}

#[test]
fn p3_an_older_set_and_another_fleets_are_refused() {
    let mut village = Village::serving();
    let old = fs::read(export(&village.fleet, "old.croft", &["starter@1"])).expect("the archive");
    village.fleet.ctl(&["trust", "refresh"]).expect("newer metadata");
    village.fleet.stop_controller().expect("a stopped controller");
    let newer = export(&village.fleet, "newer.croft", &["--documents-only"]);
    village.import(&newer);
    village.refuses("an older set", &old, "E-TRUST-ROLLBACK");

    let other = Fleet::start(&village.folder.path().join("other")).expect("another fleet");
    other.publish_starter(croft_e2e::controller::REPORTING_BASELINE).expect("its bundle");
    let foreign = export(&other, "foreign.croft", &["starter@1"]);
    village.refuses("another fleet's", &fs::read(&foreign).expect("the archive"), "E-ARCHIVE-REFUSED");
    // A header that lies about the fleet changes nothing: the keys are others.
    let ours =
        Incoming::open(fs::read(&newer).expect("the archive").as_slice()).expect("read").1.header.fleet;
    let lying = rewritten(&foreign, |documents, _| documents.header.fleet = ours);
    village.refuses("another fleet's in disguise", &lying, "E-TRUST-FORGED");
}

#[test]
fn p2_a_recall_travels_with_the_archive() {
    let mut village = Village::serving();
    // The node hears nothing of it but by the file.
    village.workstation.stop().expect("a stopped daemon");
    village.fleet.ctl(&["recall", "starter@1", "--reason", "poisoned"]).expect("a recall");
    village.fleet.stop_controller().expect("a stopped controller");
    village.workstation.start().expect("a running daemon");
    village.workstation.wait_until_serving(60).expect("serving offline");
    let archive = export(&village.fleet, "news.croft", &["--documents-only", "--offline"]);
    let said = village.import(&archive);
    assert!(said.stdout.contains("1 new recall is obeyed"), "{said:?}");
    wait::until("the model is recalled", 20, || {
        let models = village.workstation.models().map_err(|e| e.to_string())?.to_string();
        if models.contains("E-RECALLED") && models.contains("poisoned") { Ok(()) } else { Err(models) }
    })
    .expect("recalled");
    let output = village
        .fleet
        .try_ctl(&["bundle", "export", "starter@1", "--out", "/dev/null"])
        .expect("croftctl runs");
    assert_refused(&output, "E-UNAPPROVED");
}

#[test]
fn a_mirror_of_the_archive_keeps_every_signature() {
    let village = Village::new();
    let archive = export(&village.fleet, "one.croft", &["starter@1"]);
    let twice = export(&village.fleet, "two.croft", &["--group", "dev"]);
    assert_eq!(
        fs::read(&archive).expect("the archive"),
        fs::read(&twice).expect("the archive"),
        "the same contents are the same bytes"
    );
    // Any tar program unpacks it into what a web server serves under the controller's paths.
    let root = village.folder.path().join("mirror");
    fs::create_dir(&root).expect("a folder");
    let unpacked = std::process::Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(&root).status();
    assert!(unpacked.expect("tar runs").success());
    let trust = root.join("trust");
    let first = fs::read(trust.join("1.root.json")).expect("the root");
    let expected = ExpectedRoot { sha256: sha256(&first) };
    let (dir, floors) =
        (village.folder.path().join("client"), village.folder.path().join("floors/trust.json"));
    let mut store =
        TrustStore::bootstrap(&dir, &floors, &first, &expected, Floors::default()).expect("a store");
    let files = fs::read_dir(&trust).expect("files").filter_map(Result::ok);
    let named = files.map(|file| (file.file_name().to_string_lossy().into_owned(), fs::read(file.path())));
    let mirror = MemorySource(named.map(|(name, bytes)| (name, bytes.expect("a file"))).collect());
    let now = std::time::UNIX_EPOCH.elapsed().expect("a clock").as_secs();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let view = runtime.block_on(store.update(&mirror, Timestamp(now))).expect("it verifies");
    let starter = &view.bundles[&"starter@1".parse().expect("a reference")].manifest;
    let bytes = fs::read(root.join("blobs/sha256").join(starter.files[0].sha256.hex())).expect("the blob");
    assert_eq!(sha256(&bytes), starter.files[0].sha256);
    // The OMS signature and the bill of materials are among the signed documents.
    for kind in [".oms.starter.1", ".bom.starter.1.json"] {
        assert!(mirror.0.keys().any(|name| name.contains(kind)), "{kind}: {:?}", mirror.0.keys());
    }
}
