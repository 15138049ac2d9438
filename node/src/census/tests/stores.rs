//! Stores in each tool's layout: what lies in them, and what the fleet knows of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use croft_domain::census::{Catalog, CatalogFile, ModelStanding};
use croft_domain::digest::{Blake3Digest, Sha256Digest};
use tempfile::TempDir;

use super::{Machine, Memo, count, request};
use crate::census::rules::{Layout, embedded};
use crate::census::stores::look;
use crate::census::{Accounts, CensusRequest, Scan, StoreFound, judge_suspects};

const LISTED: Sha256Digest = Sha256Digest([0xaa; 32]);
const OTHER: Sha256Digest = Sha256Digest([0xbb; 32]);

fn write(root: &Path, file: &str, bytes: &[u8]) -> PathBuf {
    let path = root.join(file);
    fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
    fs::write(&path, bytes).expect("a file");
    path
}

/// Bytes that begin like a model.
fn gguf(mark: u8) -> Vec<u8> {
    let mut bytes = b"GGUF".to_vec();
    bytes.resize(100, mark);
    bytes
}

/// A fleet that lists `gguf(1)` as approved, by name `LISTED`.
fn catalog() -> Catalog {
    let bytes = gguf(1);
    let file = CatalogFile {
        bundle: "coder@3".parse().expect("a reference"),
        standing: ModelStanding::Approved,
        len_bytes: bytes.len() as u64,
        head_len_bytes: 64,
        head: Blake3Digest(*blake3::hash(&bytes[..64]).as_bytes()),
    };
    let known = CatalogFile { standing: ModelStanding::Known, ..file.clone() };
    Catalog {
        files: BTreeMap::from([
            (LISTED, file),
            (OTHER, CatalogFile { head: Blake3Digest([9; 32]), ..known }),
        ]),
    }
}

fn found(root: &Path, layout: Layout) -> StoreFound {
    look(root, layout, None, Some(&catalog()), &Memo::default()).expect("a store")
}

fn told(store: &StoreFound) -> Vec<(&str, Option<ModelStanding>)> {
    store.models.iter().map(|model| (model.name.as_str(), model.standing)).collect()
}

const APPROVED: Option<ModelStanding> = Some(ModelStanding::Approved);
const KNOWN: Option<ModelStanding> = Some(ModelStanding::Known);
const UNKNOWN: Option<ModelStanding> = Some(ModelStanding::Unknown);

fn ollama(root: &Path, name: &str, digest: &str) {
    let manifest = format!(
        r#"{{"schemaVersion":2,"layers":[{{"mediaType":"application/vnd.ollama.image.model","digest":"{digest}","size":1}},
        {{"mediaType":"application/vnd.ollama.image.license","digest":"{}","size":1}}]}}"#,
        Sha256Digest([0xcc; 32])
    );
    write(root, &format!("manifests/registry.ollama.ai/{name}"), manifest.as_bytes());
}

#[test]
fn ollama_names_its_models_by_digest() {
    let home = tempfile::tempdir().expect("a folder");
    let root = home.path();
    ollama(root, "library/qwen/7b", &LISTED.to_string());
    ollama(root, "someone/merged/latest", &OTHER.to_string());
    ollama(root, "library/gone/latest", &Sha256Digest([0xdd; 32]).to_string());
    write(root, &format!("blobs/sha256-{}", LISTED.hex()), &gguf(1));
    write(root, &format!("blobs/sha256-{}", OTHER.hex()), &gguf(2));
    write(root, &format!("blobs/sha256-{}", Sha256Digest([0xcc; 32]).hex()), b"license");
    assert_eq!(told(&found(root, Layout::Ollama)), [("qwen:7b", APPROVED), ("someone/merged:latest", KNOWN)]);
}

#[test]
fn p2_a_manifest_cannot_name_a_file_outside_of_its_store() {
    let home = tempfile::tempdir().expect("a folder");
    let root = home.path().join("models");
    fs::create_dir_all(root.join("blobs")).expect("folders");
    write(home.path(), "secret", &gguf(1));
    for digest in ["sha256:../../secret", "../../secret", "sha256-../secret"] {
        ollama(&root, "library/evil/latest", digest);
        assert_eq!(found(&root, Layout::Ollama).models, [], "{digest}");
    }
    symlink(home.path().join("secret"), root.join("blobs").join(format!("sha256-{}", LISTED.hex())))
        .expect("a link");
    ollama(&root, "library/evil/latest", &LISTED.to_string());
    assert_eq!(found(&root, Layout::Ollama).models, [], "a link is not followed");
}

#[test]
fn p5_a_digest_with_another_length_is_unknown() {
    let home = tempfile::tempdir().expect("a folder");
    ollama(home.path(), "library/lie/latest", &LISTED.to_string());
    write(home.path(), &format!("blobs/sha256-{}", LISTED.hex()), b"GGUF and something else");
    assert_eq!(told(&found(home.path(), Layout::Ollama)), [("lie:latest", UNKNOWN)]);
}

#[test]
fn the_hugging_face_cache_is_read_through_its_snapshots() {
    let home = tempfile::tempdir().expect("a folder");
    let place = home.path().join("models--Qwen--Coder-GGUF");
    write(&place, &format!("blobs/{}", LISTED.hex()), &gguf(1));
    write(&place, "blobs/0123456789012345678901234567890123456789", b"{}");
    let snapshot = place.join("snapshots/abc");
    fs::create_dir_all(&snapshot).expect("folders");
    symlink(format!("../../blobs/{}", LISTED.hex()), snapshot.join("coder.gguf")).expect("a link");
    symlink("../../blobs/0123456789012345678901234567890123456789", snapshot.join("config.json"))
        .expect("a link");
    symlink("/etc/passwd", snapshot.join("evil.gguf")).expect("a link");
    let store = found(home.path(), Layout::HuggingFace);
    assert_eq!(told(&store), [("Qwen/Coder-GGUF/coder.gguf", APPROVED)]);
    assert_eq!(store.models[0].sha256, Some(LISTED));
}

#[test]
fn stores_that_name_files_by_digest_are_read_in_any_folder() {
    let ramalama = tempfile::tempdir().expect("a folder");
    write(ramalama.path(), &format!("huggingface/Qwen/Coder/blobs/sha256-{}", LISTED.hex()), &gguf(1));
    write(ramalama.path(), "huggingface/Qwen/Coder/refs/latest.json", b"{}");
    assert_eq!(told(&found(ramalama.path(), Layout::Digests)), [("huggingface/Qwen/Coder", APPROVED)]);
    let docker = tempfile::tempdir().expect("a folder");
    write(docker.path(), &format!("blobs/sha256/{}", OTHER.hex()), &gguf(2));
    write(docker.path(), &format!("blobs/sha256/{}", Sha256Digest([1; 32]).hex()), b"{\"config\":{}}");
    write(docker.path(), "layout.json", b"{}");
    assert_eq!(told(&found(docker.path(), Layout::Digests)), [("(named by its digest only)", KNOWN)]);
}

#[test]
fn plain_files_are_known_by_length_and_first_chunk() {
    let home = tempfile::tempdir().expect("a folder");
    let root = home.path();
    write(root, "qwen/Coder-GGUF/coder.gguf", &gguf(1));
    write(root, "qwen/Coder-GGUF/same-length.gguf", &gguf(2));
    write(root, "notes.txt", &gguf(1));
    symlink(root.join("qwen/Coder-GGUF/coder.gguf"), root.join("link.gguf")).expect("a link");
    let store = found(root, Layout::Files);
    assert_eq!(
        told(&store),
        [("qwen/Coder-GGUF/coder.gguf", APPROVED), ("qwen/Coder-GGUF/same-length.gguf", UNKNOWN)]
    );
    assert_eq!(store.models[0].sha256, Some(LISTED), "the list gives it its digest");
}

#[test]
fn without_a_list_nothing_is_compared() {
    let home = tempfile::tempdir().expect("a folder");
    write(home.path(), "x.gguf", &gguf(1));
    let store = look(home.path(), Layout::Files, None, None, &Memo::default()).expect("a store");
    assert_eq!(told(&store), [("x.gguf", None)]);
}

#[test]
fn p10_on_a_personal_machine_another_accounts_store_is_not_looked_at() {
    let home = tempfile::tempdir().expect("a folder");
    write(home.path(), "x.gguf", &gguf(1));
    let own = rustix::process::getuid().as_raw();
    let look = |owner| look(home.path(), Layout::Files, Some(owner), None, &Memo::default());
    assert!(look(own).is_some());
    assert_eq!(look(own + 1), None);
}

/// Every rule with a store below home finds a model in a store that is laid out as its layout says.
#[test]
fn every_store_of_every_rule_is_found_where_the_rule_says() {
    let tools = embedded();
    let mut tested = BTreeSet::new();
    for tool in &tools {
        for store in tool.stores.iter().filter(|store| store.path.starts_with("~/")) {
            let home: TempDir = tempfile::tempdir().expect("a folder");
            let root = home.path().join(&store.path[2..]);
            match store.layout {
                Layout::Ollama => {
                    ollama(&root, "library/m/latest", &LISTED.to_string());
                    write(&root, &format!("blobs/sha256-{}", LISTED.hex()), &gguf(1));
                }
                Layout::HuggingFace => {
                    let place = root.join("models--a--b");
                    write(&place, &format!("blobs/{}", LISTED.hex()), &gguf(1));
                    fs::create_dir_all(place.join("snapshots/r")).expect("folders");
                    let link = place.join("snapshots/r/m.gguf");
                    symlink(format!("../../blobs/{}", LISTED.hex()), link).expect("a link");
                }
                Layout::Digests => {
                    write(&root, &format!("a/b/blobs/sha256-{}", LISTED.hex()), &gguf(1));
                }
                Layout::Files => {
                    write(&root, "a/m.gguf", &gguf(1));
                }
            }
            let catalog = catalog();
            let memo = Memo::default();
            let request = CensusRequest {
                home: Some(home.path()),
                catalog: Some(&catalog),
                ..request(Accounts::Only(rustix::process::getuid().as_raw()), &memo)
            };
            let machine = Machine { running: &[], listeners: &[], sockets: &|_| Vec::new() };
            let census = count(&tools, &machine, &request);
            let found: Vec<_> =
                census.findings().into_iter().map(|f| (f.tool.to_string(), f.models.approved)).collect();
            assert_eq!(found, [(tool.name.to_string(), 1)], "{}", store.path);
            tested.insert(tool.name.to_string());
        }
    }
    assert!(tested.len() >= 10, "{tested:?}");
}

#[test]
fn p5_files_that_can_carry_code_are_judged_once_and_a_few_at_a_time() {
    let home = tempfile::tempdir().expect("a folder");
    for number in 0..10 {
        write(home.path(), &format!(".local/share/nomic.ai/GPT4All/{number}.pt"), b"\x80\x04.");
    }
    write(home.path(), ".local/share/nomic.ai/GPT4All/good.gguf", &gguf(1));
    let memo = Memo::default();
    let calls = std::cell::Cell::new(0);
    let judge = |_: &std::fs::File| {
        calls.set(calls.get() + 1);
        Scan::Refused
    };
    let request = CensusRequest { home: Some(home.path()), judge: &judge, ..request(Accounts::All, &memo) };
    let machine = Machine { running: &[], listeners: &[], sockets: &|_| Vec::new() };
    let refused = || {
        let mut census = count(&embedded(), &machine, &request);
        judge_suspects(&mut census, &request);
        census.findings()[0].models.refused
    };
    assert_eq!((refused(), calls.get()), (8, 8));
    assert_eq!((refused(), calls.get()), (10, 10));
    assert_eq!((refused(), calls.get()), (10, 10), "what did not change is not judged again");
}

#[test]
fn p5_an_ollama_model_that_runs_elsewhere_is_told_whatever_the_settings_say() {
    let home = tempfile::tempdir().expect("a folder");
    let root = home.path().join(".ollama/models");
    write(home.path(), ".ollama/server.json", br#"{"disable_ollama_cloud":true}"#);
    ollama(&root, "library/qwen3/8b", &LISTED.to_string());
    let census = || {
        let machine = Machine { running: &[], listeners: &[], sockets: &|_| Vec::new() };
        let memo = Memo::default();
        count(
            &embedded(),
            &machine,
            &CensusRequest { home: Some(home.path()), ..request(Accounts::All, &memo) },
        )
    };
    write(&root, &format!("blobs/sha256-{}", LISTED.hex()), &gguf(1));
    let cloud = |census: &crate::census::Census| census.findings()[0].cloud;
    assert_eq!(cloud(&census()), croft_domain::census::Known::No);
    // What `ollama pull gpt-oss:120b-cloud` leaves: a manifest without weights, and a configuration that says where it runs.
    let manifest = format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"application/vnd.docker.container.image.v1+json","digest":"{OTHER}","size":1}},
        "layers":null}}"#
    );
    write(
        &root,
        "manifests/registry.ollama.ai/library/gpt-oss/120b-cloud",
        manifest.replace("null", "[]").as_bytes(),
    );
    let says = |host: &str| {
        let text = format!(r#"{{"model_format":"","remote_host":"{host}","remote_model":"gpt-oss:120b"}}"#);
        write(&root, &format!("blobs/sha256-{}", OTHER.hex()), text.as_bytes());
        census()
    };
    assert_eq!(cloud(&says("")), croft_domain::census::Known::No);
    let told = says("https://ollama.com:443");
    assert_eq!(cloud(&told), croft_domain::census::Known::Yes);
    let shown = crate::census::view::render(&told);
    assert!(shown.contains("RUNS ELSEWHERE       gpt-oss:120b-cloud"), "{shown}");
}
