//! Importing from the stores of other tools, and attacks on those stores.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use croft_domain::digest::Sha256Digest;
use croft_trust::digest::sha256;
use croft_trust::tar::Writer;

use crate::import::starter;
use crate::run::Place;

const COMMON: &[&str] = &["--license", "Apache-2.0"];

fn import(place: &Place, source: &[&str]) -> (i32, String) {
    let arguments: Vec<&str> =
        ["bundle", "import", "m"].iter().chain(source).chain(COMMON).copied().collect();
    let output = place.run(&arguments);
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// What was drafted: provenance, and the digest of its one file.
fn drafted(place: &Place) -> (String, Sha256Digest) {
    let bytes = std::fs::read(place.path("fleet/drafts/m.1/manifest.json")).expect("a manifest");
    let manifest: croft_domain::bundle::Manifest = serde_json::from_slice(&bytes).expect("a manifest");
    (manifest.provenance.source, manifest.files[0].sha256)
}

fn nothing_left(place: &Place) -> bool {
    std::fs::read_dir(place.path("fleet/drafts")).map_or(true, |entries| entries.count() == 0)
}

fn put(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
    std::fs::write(path, bytes).expect("written");
}

/// An Ollama store with one model, whose layer is named `digest`.
fn ollama(place: &Place, digest: &str) {
    let manifest = format!(
        r#"{{"schemaVersion":2,"layers":[{{"mediaType":"application/vnd.ollama.image.model","digest":"{digest}","size":1}}]}}"#
    );
    let path = place.path("store/manifests/registry.ollama.ai/library/starter/latest");
    put(&path, manifest.as_bytes());
    std::fs::create_dir_all(place.path("store/blobs")).expect("made");
}

#[test]
fn a_model_comes_from_an_ollama_store() {
    let place = Place::new();
    let digest = sha256(&starter());
    ollama(&place, &digest.to_string());
    put(&place.path(&format!("store/blobs/sha256-{}", digest.hex())), &starter());
    let (code, talk) = import(&place, &["store", "--model", "starter"]);
    assert_eq!(code, 0, "{talk}");
    assert_eq!(drafted(&place), ("ollama:registry.ollama.ai/library/starter:latest".to_owned(), digest));
}

#[test]
fn p2_a_digest_that_is_a_path_is_no_digest() {
    let climbing = format!("sha256:{}", "../".repeat(21) + "x");
    let upper = format!("sha256:{}", "AB".repeat(32));
    for digest in
        ["../../etc/passwd", "sha256:../../../etc/passwd", "sha256-ab", &climbing, &upper, "", "sha256:"]
    {
        let place = Place::new();
        ollama(&place, digest);
        put(&place.path("etc/passwd"), &starter());
        let (code, talk) = import(&place, &["store", "--model", "starter"]);
        assert_eq!(code, 1, "{digest}: {talk}");
        assert!(talk.starts_with("error[E-INPUT]: ") && talk.contains("digest"), "{digest}: {talk}");
        assert!(nothing_left(&place));
    }
}

#[test]
fn p2_names_that_climb_are_refused() {
    for name in ["../../../x", "a/../b", "..", "/etc/passwd", "a:../b"] {
        let place = Place::new();
        ollama(&place, &sha256(&starter()).to_string());
        let (code, talk) = import(&place, &["store", "--model", name]);
        assert_eq!(code, 1, "{name}: {talk}");
        assert!(talk.contains("named [HOST/NAMESPACE/]MODEL[:TAG]"), "{talk}");
    }
}

#[test]
fn p2_a_blob_that_is_a_link_is_refused() {
    let place = Place::new();
    let digest = sha256(&starter());
    ollama(&place, &digest.to_string());
    let elsewhere = place.write("elsewhere.gguf", &starter());
    symlink(elsewhere, place.path(&format!("store/blobs/sha256-{}", digest.hex()))).expect("a link");
    let (code, talk) = import(&place, &["store", "--model", "starter"]);
    assert_eq!(code, 1, "{talk}");
    assert!(talk.starts_with("error[E-INPUT]: cannot read"), "{talk}");
    assert!(nothing_left(&place));
}

#[test]
fn p2_a_blob_with_other_bytes_is_refused() {
    let place = Place::new();
    let claimed = sha256(b"something else");
    ollama(&place, &claimed.to_string());
    put(&place.path(&format!("store/blobs/sha256-{}", claimed.hex())), &starter());
    let (code, talk) = import(&place, &["store", "--model", "starter"]);
    assert_eq!(code, 1, "{talk}");
    assert!(talk.contains("error[E-BLOB-CORRUPT]: "), "{talk}");
    assert!(nothing_left(&place));
}

/// An OCI layout with one layer.
fn oci(place: &Place, media_type: &str, layer: &[u8]) -> Sha256Digest {
    let blob = |bytes: &[u8]| {
        let digest = sha256(bytes);
        put(&place.path(&format!("layout/blobs/sha256/{}", digest.hex())), bytes);
        digest
    };
    let (digest, size) = (blob(layer), layer.len());
    let text = format!(r#"{{"layers":[{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}]}}"#);
    let (manifest, size) = (blob(text.as_bytes()), text.len());
    put(&place.path("layout/oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#);
    let index = format!(r#"{{"manifests":[{{"mediaType":"x","digest":"{manifest}","size":{size}}}]}}"#);
    put(&place.path("layout/index.json"), index.as_bytes());
    digest
}

#[test]
fn a_model_comes_from_an_oci_layout_raw_or_in_a_tar_layer() {
    for kind in ["application/vnd.docker.ai.gguf.v3", "application/vnd.cncf.model.weight.v1.raw"] {
        let place = Place::new();
        let digest = oci(&place, kind, &starter());
        let (code, talk) = import(&place, &["layout", "--source", "registry.example/m:1"]);
        assert_eq!(code, 0, "{kind}: {talk}");
        assert_eq!(drafted(&place), ("registry.example/m:1".to_owned(), digest));
    }
    let place = Place::new();
    oci(&place, "application/vnd.cncf.model.weight.v1.tar", &tar("deep/down/model.gguf"));
    let (code, talk) = import(&place, &["layout", "--source", "registry.example/m:1"]);
    assert_eq!(code, 0, "{talk}");
    assert_eq!(drafted(&place).1, sha256(&starter()));
    assert_eq!(std::fs::read(place.path("fleet/drafts/m.1/weights-0.gguf")).expect("unpacked"), starter());
    assert_eq!(std::fs::read_dir(place.path("fleet/drafts")).expect("list").count(), 1);
}

fn tar(name: &str) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    writer.file("README.md", 2, &mut &b"hi"[..]).expect("written");
    writer.file(name, starter().len() as u64, &mut starter().as_slice()).expect("written");
    writer.finish().expect("finished")
}

#[test]
fn p2_a_blob_of_another_length_than_its_descriptor_says_is_refused() {
    let place = Place::new();
    oci(&place, "application/vnd.cncf.model.weight.v1.raw", &starter());
    let index = std::fs::read_to_string(place.path("layout/index.json")).expect("an index");
    let other = index.replace("\"size\":", "\"size\":1");
    std::fs::write(place.path("layout/index.json"), other).expect("written");
    let (code, talk) = import(&place, &["layout", "--source", "x"]);
    assert_eq!(code, 1, "{talk}");
    assert!(talk.contains("its descriptor says 1"), "{talk}");
    assert!(nothing_left(&place));
}

#[test]
fn p2_names_in_a_tar_layer_lead_nowhere() {
    let place = Place::new();
    oci(&place, "application/vnd.cncf.model.weight.v1.tar", &tar("../../../../escaped.gguf"));
    let (code, talk) = import(&place, &["layout", "--source", "x"]);
    assert_eq!(code, 0, "{talk}");
    assert!(!place.path("escaped.gguf").exists() && !place.path("fleet/escaped.gguf").exists());
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

#[test]
fn a_model_comes_from_a_compressed_tar_layer() {
    let archive = tar("model.gguf");
    for (kind, layer) in [("tar+gzip", gzip(&archive)), ("tar+zstd", zstd(&archive))] {
        let place = Place::new();
        oci(&place, &format!("application/vnd.cncf.model.weight.v1.{kind}"), &layer);
        let (code, talk) = import(&place, &["layout", "--source", "registry.example/m:1"]);
        assert_eq!(code, 0, "{kind}: {talk}");
        assert_eq!(drafted(&place).1, sha256(&starter()));
    }
}

#[test]
fn p2_a_compressed_layer_that_lies_or_explodes_is_refused() {
    let mut writer = Writer::new(Vec::new());
    let zeros = vec![0; 64 << 20];
    writer.file("model.gguf", zeros.len() as u64, &mut zeros.as_slice()).expect("written");
    let bomb = writer.finish().expect("finished");
    let mut cut = gzip(&tar("model.gguf"));
    cut.truncate(cut.len() / 2);
    let cases = [
        ("tar+gzip", gzip(&bomb), "100 times"),
        ("tar+zstd", zstd(&bomb), "100 times"),
        ("tar+gzip", cut, "error[E-"),
        ("tar+gzip", zstd(&tar("model.gguf")), "error[E-"),
        ("tar+zstd", tar("model.gguf"), "error[E-"),
    ];
    for (kind, layer, expected) in cases {
        let place = Place::new();
        oci(&place, &format!("application/vnd.cncf.model.weight.v1.{kind}"), &layer);
        let (code, talk) = import(&place, &["layout", "--source", "x"]);
        assert_eq!(code, 1, "{kind}: {talk}");
        assert!(talk.contains(expected) && talk.contains("hint: "), "{kind}: {talk}");
        assert!(nothing_left(&place));
    }
}

#[test]
fn p2_an_unknown_layer_of_weights_is_refused() {
    for kind in ["application/vnd.cncf.model.weight.v1.tar+lz4", "application/vnd.docker.ai.mmproj"] {
        let place = Place::new();
        oci(&place, kind, &starter());
        let (code, talk) = import(&place, &["layout", "--source", "x"]);
        assert_eq!(code, 1, "{talk}");
        assert!(talk.contains("is not taken in"), "{talk}");
    }
}

#[test]
fn p9_a_full_disk_leaves_no_draft() {
    let place = Place::new();
    oci(&place, "application/vnd.cncf.model.weight.v1.tar", &tar("model.gguf"));
    // No file of this process may grow beyond half a MiB; the unpacked weights would.
    let program = assert_cmd::cargo::cargo_bin!("croftctl");
    let script = "trap '' XFSZ; ulimit -f 1024; exec \"$0\" bundle import m layout --source x --license MIT";
    let output = Command::new("sh")
        .args(["-c", script])
        .arg(program)
        .current_dir(place.path("."))
        .env("CROFTCTL_CONFIG", place.fleet())
        .output()
        .expect("croftctl runs");
    let talk = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{talk}");
    assert!(talk.contains("error[E-STATE-UNWRITABLE]: ") && talk.contains("free space"), "{talk}");
    assert!(nothing_left(&place));
}

/// A crash in the middle: the process is killed while it unpacks, so nothing of it can clean up.
#[test]
fn p9_an_import_that_is_killed_leaves_nothing_to_see_and_the_next_one_cleans_up() {
    let place = Place::new();
    let half_a_gib = 1_u64 << 29;
    let mut writer = Writer::new(Vec::new());
    writer
        .file("model.gguf", half_a_gib, &mut std::io::Read::take(std::io::repeat(0), half_a_gib))
        .expect("written");
    let large = writer.finish().expect("finished");
    oci(&place, "application/vnd.cncf.model.weight.v1.tar", &large);
    drop(large);
    let mut child = Command::new(assert_cmd::cargo::cargo_bin!("croftctl"))
        .args(["bundle", "import", "m", "layout", "--source", "x", "--license", "MIT"])
        .current_dir(place.path("."))
        .env("CROFTCTL_CONFIG", place.fleet())
        .spawn()
        .expect("croftctl runs");
    let unpacking = place.path(&format!("fleet/drafts/.unpacking-{}/weights-0.gguf", child.id()));
    while std::fs::metadata(&unpacking).map_or(0, |meta| meta.len()) == 0 {
        assert!(child.try_wait().expect("asked").is_none(), "it ended before it unpacked anything");
        std::thread::yield_now();
    }
    child.kill().expect("killed");
    child.wait().expect("gone");
    let left = std::fs::metadata(&unpacking).expect("what was left").len();
    assert!(left > 0 && left < half_a_gib, "{left} of {half_a_gib} bytes: it was not in the middle");
    let show = place.run(&["bundle", "bom", "m@1"]);
    assert!(String::from_utf8_lossy(&show.stderr).starts_with("error[E-NOT-FOUND]"), "{show:?}");
    std::fs::remove_dir_all(place.path("layout")).expect("removed");
    oci(&place, "application/vnd.cncf.model.weight.v1.tar", &tar("model.gguf"));
    let (code, talk) = import(&place, &["layout", "--source", "x"]);
    assert_eq!(code, 0, "{talk}");
    let drafts = std::fs::read_dir(place.path("fleet/drafts")).expect("drafts");
    let names: Vec<_> = drafts.map(|entry| entry.expect("an entry").file_name()).collect();
    assert_eq!(names, ["m.1"]);
}

#[test]
fn a_model_comes_from_a_hugging_face_cache() {
    let revision = "0123456789abcdef0123456789abcdef01234567";
    let digest = sha256(&starter());
    let place = Place::new();
    let repository = place.path("hub/models--org--repo");
    put(&repository.join("refs/main"), revision.as_bytes());
    put(&repository.join("blobs").join(digest.hex()), &starter());
    let snapshot = repository.join("snapshots").join(revision);
    std::fs::create_dir_all(&snapshot).expect("made");
    symlink(format!("../../blobs/{}", digest.hex()), snapshot.join("model.gguf")).expect("a link");
    let (code, talk) = import(&place, &["hub", "--model", "org/repo"]);
    assert_eq!(code, 0, "{talk}");
    assert_eq!(drafted(&place), (format!("https://huggingface.co/org/repo@{revision}"), digest));
    // A link that leads out of the cache, and one that names no digest.
    for (target, code_expected) in [(format!("/etc/{}", digest.hex()), 0), ("/etc/passwd".to_owned(), 1)] {
        std::fs::remove_file(snapshot.join("model.gguf")).expect("removed");
        symlink(&target, snapshot.join("model.gguf")).expect("a link");
        let (code, talk) = import(&place, &["hub", "--model", "org/repo"]);
        assert_eq!(code, code_expected, "{target}: {talk}");
    }
    let (code, talk) = import(&place, &["hub", "--model", "org/../repo"]);
    assert!(code == 1 && talk.contains("ORGANIZATION/REPOSITORY"), "{talk}");
}

#[test]
fn a_model_comes_from_a_folder_or_from_lm_studio() {
    let place = Place::new();
    put(&place.path("models/pub/starter/model.gguf"), &starter());
    put(&place.path("models/pub/starter/mmproj-model.gguf"), b"another kind of model");
    let (code, talk) = import(&place, &["models", "--model", "pub/starter"]);
    assert_eq!(code, 0, "{talk}");
    assert_eq!(drafted(&place).0, "lmstudio:pub/starter");
    let (code, talk) = import(&place, &["models/pub/starter", "--source", "a folder"]);
    assert_eq!(code, 0, "{talk}");
    put(&place.path("models/pub/starter/other.gguf"), &starter());
    let (code, talk) = import(&place, &["models/pub/starter", "--source", "a folder"]);
    assert!(code == 1 && talk.contains("--file: model.gguf, other.gguf"), "{talk}");
    let (code, talk) =
        import(&place, &["models/pub/starter", "--file", "other.gguf", "--source", "a folder"]);
    assert_eq!(code, 0, "{talk}");
}

#[test]
fn p2_an_incomplete_split_model_is_refused() {
    let place = Place::new();
    put(&place.path("split/m-00001-of-00002.gguf"), &starter());
    let (code, talk) = import(&place, &["split", "--source", "a folder"]);
    assert!(code == 1 && talk.contains("m-00002-of-00002.gguf"), "{talk}");
}

#[test]
fn terms_are_named_at_import() {
    let place = Place::new();
    place.write("model.gguf", &starter());
    place.write("LICENSE", b"the terms");
    let output = place.run(&[
        "bundle",
        "import",
        "m",
        "model.gguf",
        "--license",
        "LicenseRef-Community",
        "--source",
        "x",
        "--license-text",
        "LICENSE",
        "--redistribution",
        "conditional",
        "--use-restriction",
        "no weapons",
        "--accepted-by",
        "legal",
    ]);
    let talk = String::from_utf8_lossy(&output.stderr);
    assert!(talk.contains("terms:    LicenseRef-Community is not an open-source license\n"), "{talk}");
    let bytes = std::fs::read(place.path("fleet/drafts/m.1/manifest.json")).expect("a manifest");
    let manifest: croft_domain::bundle::Manifest = serde_json::from_slice(&bytes).expect("a manifest");
    assert_eq!(manifest.license.text_sha256, Some(sha256(b"the terms")));
    assert_eq!(manifest.license.terms().len(), 4);
}
