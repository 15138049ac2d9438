//! OMS signatures: against the public Python tool in both directions, and what only we refuse.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use croft_trust::digest::sha256;
use croft_trust::keys::public_key_pem;
use croft_trust::oms::{OmsError, Resource, check_files, sign, verify};
use croft_trust::sign::{Signer as _, SigningKey};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::fleet::key;

/// The public tool, which the setup installs.
fn tool() -> PathBuf {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/setup/venv/bin/model_signing");
    let tool = std::env::var_os("CROFT_OMS_BIN").map_or(installed, PathBuf::from);
    assert!(tool.exists(), "{} is missing; run .ci/setup.sh oms", tool.display());
    tool
}

fn run(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(tool()).args(arguments).current_dir(dir).output().expect("model_signing runs")
}

fn private_pem(key: &SigningKey) -> String {
    let text = STANDARD.encode(key.pkcs8());
    format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
}

/// A model's folder with three files, and what is in it.
fn model(dir: &Path) -> Vec<Resource> {
    fs::create_dir_all(dir.join("m/sub")).expect("made");
    let files = [("weights.gguf", "GGUF"), ("manifest.json", "{}"), ("sub/template.jinja", "{{ messages }}")];
    let write = |(name, text): (&str, &str)| {
        fs::write(dir.join("m").join(name), text).expect("written");
        Resource { name: name.to_owned(), sha256: sha256(text.as_bytes()) }
    };
    files.into_iter().map(write).collect()
}

#[test]
fn p2_oms_tool_verifies_what_we_sign() {
    let dir = tempfile::tempdir().expect("a folder");
    let files = model(dir.path());
    let signer = key();
    fs::write(dir.path().join("k.pub"), public_key_pem(&signer.point())).expect("written");
    fs::write(dir.path().join("sig"), sign(&signer, "m", &files).expect("signed")).expect("written");
    let arguments = ["verify", "key", "m", "--signature", "sig", "--public_key", "k.pub"];
    let good = run(dir.path(), &arguments);
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));
    fs::write(dir.path().join("m/weights.gguf"), "GGUX").expect("written");
    assert!(!run(dir.path(), &arguments).status.success(), "changed weights");
    fs::write(dir.path().join("m/weights.gguf"), "GGUF").expect("written");
    fs::write(dir.path().join("k.pub"), public_key_pem(&key().point())).expect("written");
    assert!(!run(dir.path(), &arguments).status.success(), "another key");
}

#[test]
fn p2_oms_we_verify_what_the_tool_signs() {
    let dir = tempfile::tempdir().expect("a folder");
    let files = model(dir.path());
    let signer = key();
    fs::write(dir.path().join("k.pem"), private_pem(&signer)).expect("written");
    let made = run(dir.path(), &["sign", "key", "m", "--private_key", "k.pem", "--signature", "sig"]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let bytes = fs::read(dir.path().join("sig")).expect("read");
    let signed = verify(&bytes, &signer.point()).expect("holds");
    check_files(&signed, &files).expect("the same files");
    assert!(matches!(verify(&bytes, &key().point()), Err(OmsError::Invalid)));
    // Under the tool's default ignore list a file in .github would verify although nobody signed it.
    let mut more = files.clone();
    more.push(Resource { name: ".github/run.sh".to_owned(), sha256: sha256(b"x") });
    assert!(matches!(check_files(&signed, &more), Err(OmsError::Files(_))));
    more[0].sha256 = sha256(b"other");
    assert!(check_files(&signed, &more[..3]).is_err() && check_files(&signed, &files[1..]).is_err());
}

/// A signature whose statement `change` has changed before it was signed.
fn forged(signer: &SigningKey, change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let files = [
        Resource { name: "a".to_owned(), sha256: sha256(b"a") },
        Resource { name: "b".to_owned(), sha256: sha256(b"b") },
    ];
    let made = sign(signer, "m", &files).expect("signed");
    let mut bundle: Value = serde_json::from_slice(&made).expect("JSON");
    let payload = bundle["dsseEnvelope"]["payload"].as_str().expect("a text").to_owned();
    let mut statement: Value =
        serde_json::from_slice(&STANDARD.decode(payload).expect("base64")).expect("JSON");
    change(&mut statement);
    let payload = serde_json::to_vec(&statement).expect("JSON");
    let kind = "application/vnd.in-toto+json";
    let signed = [format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).as_bytes(), &payload].concat();
    bundle["dsseEnvelope"]["payload"] = STANDARD.encode(&payload).into();
    bundle["dsseEnvelope"]["signatures"][0]["sig"] =
        STANDARD.encode(signer.sign_message(&signed).expect("signed")).into();
    serde_json::to_vec(&bundle).expect("JSON")
}

#[test]
fn p2_oms_statements_beyond_our_rules_are_refused_although_signed() {
    let signer = key();
    verify(&forged(&signer, |_| {}), &signer.point()).expect("unchanged");
    let resource = |at: usize, field: &'static str, value: &'static str| {
        move |s: &mut Value| s["predicate"]["resources"][at][field] = value.into()
    };
    type Change = Box<dyn FnOnce(&mut Value)>;
    let changes: Vec<(&str, Change)> = vec![
        ("duplicate names", Box::new(resource(1, "name", "a"))),
        ("escaping name", Box::new(resource(0, "name", "../a"))),
        ("absolute name", Box::new(resource(0, "name", "/a"))),
        ("hidden step", Box::new(resource(0, "name", "x/./a"))),
        ("empty step", Box::new(resource(0, "name", "x//a"))),
        ("other system's separator", Box::new(resource(0, "name", "..\\a"))),
        ("drive", Box::new(resource(0, "name", "c:a"))),
        ("control character", Box::new(resource(0, "name", "a\u{1b}[2J"))),
        ("other hash", Box::new(resource(0, "algorithm", "blake2b"))),
        ("short digest", Box::new(resource(0, "digest", "ab"))),
        ("digest of other files", Box::new(|s| s["subject"][0]["digest"]["sha256"] = "00".repeat(32).into())),
        (
            "two subjects",
            Box::new(|s| {
                let first = s["subject"][0].clone();
                s["subject"].as_array_mut().expect("a list").push(first);
            }),
        ),
        ("symlinks", Box::new(|s| s["predicate"]["serialization"]["allow_symlinks"] = true.into())),
        ("shards", Box::new(|s| s["predicate"]["serialization"]["method"] = "shards".into())),
        ("pre-1.0 predicate", Box::new(|s| s["predicateType"] = "https://model_signing/Digests/v0.1".into())),
        ("unknown field", Box::new(|s| s["predicate"]["surprise"] = 1.into())),
        ("no files", Box::new(|s| s["predicate"]["resources"] = json!([]))),
    ];
    for (what, change) in changes {
        let error = verify(&forged(&signer, change), &signer.point()).expect_err(what);
        assert!(matches!(error.code().as_str(), "E-TRUST-FORGED" | "E-TRUST-LIMITS"), "{what}: {error}");
        assert!(!matches!(error, OmsError::Invalid), "{what}: refused for its rule, not for its signature");
    }
    // The statement's order is free, as the tool allows, when the subject's digest follows it.
    let both = [sha256(b"b").0, sha256(b"a").0].concat();
    let swapped = forged(&signer, |s| {
        s["predicate"]["resources"].as_array_mut().expect("a list").swap(0, 1);
        s["subject"][0]["digest"]["sha256"] = sha256(&both).hex().into();
    });
    verify(&swapped, &signer.point()).expect("any order");
}

#[test]
fn p2_oms_envelopes_beyond_our_rules_are_refused() {
    let signer = key();
    let good: Value = serde_json::from_slice(&forged(&signer, |_| {})).expect("JSON");
    let refuses = |what: &str, change: &dyn Fn(&mut Value)| {
        let mut bundle = good.clone();
        change(&mut bundle);
        let bytes = serde_json::to_vec(&bundle).expect("JSON");
        assert!(verify(&bytes, &signer.point()).is_err(), "{what}");
    };
    refuses("two signatures", &|b| {
        let first = b["dsseEnvelope"]["signatures"][0].clone();
        b["dsseEnvelope"]["signatures"].as_array_mut().expect("a list").push(first);
    });
    refuses("no signature", &|b| b["dsseEnvelope"]["signatures"] = json!([]));
    refuses("other payload type", &|b| b["dsseEnvelope"]["payloadType"] = "text/plain".into());
    refuses("other media type", &|b| b["mediaType"] = "application/json".into());
    refuses("log entries that nobody checks", &|b| b["verificationMaterial"]["tlogEntries"] = json!([1]));
    refuses("another key's hint", &|b| {
        b["verificationMaterial"]["publicKey"]["hint"] = "00".repeat(32).into();
    });
    refuses("a certificate beside the key", &|b| b["verificationMaterial"]["certificate"] = json!({}));
    refuses("another payload", &|b| b["dsseEnvelope"]["payload"] = STANDARD.encode(b"{}").into());
    let long = vec![b' '; 4 * 1024 * 1024 + 1];
    assert!(matches!(verify(&long, &signer.point()), Err(OmsError::Limit(_))));
    let twice = [
        Resource { name: "a".to_owned(), sha256: sha256(b"a") },
        Resource { name: "a".to_owned(), sha256: sha256(b"b") },
    ];
    assert!(sign(&signer, "m", &twice).is_err(), "nor do we sign what we would refuse");
}

proptest! {
    #[test]
    fn p9_oms_any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(verify(&bytes, &[4; 65]).is_err());
    }

    #[test]
    fn p9_oms_what_is_signed_verifies_to_the_same_files_and_damaged_to_no_others(
        names in proptest::collection::btree_set("[a-z]{1,8}(/[a-z]{1,8}){0,2}", 1..6),
        at in any::<prop::sample::Index>(),
        value in any::<u8>(),
    ) {
        let signer = key();
        let files: Vec<Resource> = names
            .into_iter()
            .map(|name| Resource { sha256: sha256(name.as_bytes()), name })
            .collect();
        let mut bytes = sign(&signer, "m", &files).expect("signed");
        let signed = verify(&bytes, &signer.point()).expect("holds");
        prop_assert!(check_files(&signed, &files).is_ok());
        let at = at.index(bytes.len());
        bytes[at] = value;
        if let Ok(signed) = verify(&bytes, &signer.point()) {
            prop_assert!(check_files(&signed, &files).is_ok(), "damage changed what was signed");
        }
    }
}
