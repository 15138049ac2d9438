//! `bundle import --oms` against signatures that the public Python tool makes, as a publisher would.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::import::starter;
use crate::run::Place;

/// The public tool, which the setup installs.
fn tool() -> PathBuf {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/setup/venv/bin/model_signing");
    let tool = std::env::var_os("CROFT_OMS_BIN").map_or(installed, PathBuf::from);
    assert!(tool.exists(), "{} is missing; run .ci/setup.sh oms", tool.display());
    tool
}

fn must(program: impl AsRef<std::ffi::OsStr>, place: &Place, arguments: &[&str]) {
    let output =
        Command::new(program).args(arguments).current_dir(place.path(".")).output().expect("it runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A publisher's folder with a model and a text, signed under `key.pem`; `key.pub` is its public part.
fn published() -> Place {
    let place = Place::new();
    std::fs::create_dir(place.path("model")).expect("a folder");
    place.write("model/model.gguf", &starter());
    place.write("model/README.md", b"# A model\n");
    keys(&place, "key", "prime256v1");
    let sign = ["sign", "key", "model", "--signature", "model.sig", "--private_key", "key.pem"];
    must(tool(), &place, &sign);
    place
}

fn keys(place: &Place, name: &str, curve: &str) {
    let (private, public) = (format!("{name}.pem"), format!("{name}.pub"));
    must("openssl", place, &["ecparam", "-name", curve, "-genkey", "-noout", "-out", &private]);
    must("openssl", place, &["ec", "-in", &private, "-pubout", "-out", &public]);
}

fn import<'a>(file: &'a str, signature: &'a str, key: &'a str) -> Vec<&'a str> {
    let bundle = ["bundle", "import", "starter", file, "--license", "Apache-2.0", "--source", "made here"];
    [&bundle[..], &["--oms", signature, "--key", key]].concat()
}

fn refused(place: &Place, arguments: &[&str], code: &str, why: &str) {
    let output = place.run(arguments);
    let talk = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{why}: {talk}");
    assert!(talk.contains(&format!("error[{code}]: ")) && talk.contains("hint: "), "{why}: {talk}");
    assert!(!place.path("fleet/drafts/starter.1").exists(), "{why} left a draft");
}

#[test]
fn a_publishers_signature_lets_its_model_in() {
    let place = published();
    let output = place.run(&import("model/model.gguf", "model.sig", "key.pub"));
    let talk = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && talk.contains("OMS:      holds under key "), "{talk}");
    assert!(place.path("fleet/drafts/starter.1/manifest.json").exists());
}

#[test]
fn p2_what_a_publisher_did_not_sign_does_not_come_in() {
    let place = published();
    let good = starter();
    keys(&place, "other", "prime256v1");
    refused(&place, &import("model/model.gguf", "model.sig", "other.pub"), "E-TRUST-FORGED", "another key");
    keys(&place, "wide", "secp384r1");
    refused(&place, &import("model/model.gguf", "model.sig", "wide.pub"), "E-KEY", "another curve");

    // One byte of the weights: the linter does not mind, the signature does.
    let mut bent = good.clone();
    let at = bent.len() - 1000;
    bent[at] ^= 1;
    place.write("model/model.gguf", &bent);
    refused(&place, &import("model/model.gguf", "model.sig", "key.pub"), "E-TRUST-FORGED", "altered weights");
    place.write("model/extra.gguf", &bent);
    place.write("model/model.gguf", &good);
    refused(&place, &import("model/extra.gguf", "model.sig", "key.pub"), "E-TRUST-FORGED", "a file beside");

    // A signature over everything but the model.
    std::fs::rename(place.path("model/model.gguf"), place.path("model.gguf")).expect("moved away");
    std::fs::remove_file(place.path("model/extra.gguf")).expect("removed");
    let sign = ["sign", "key", "model", "--signature", "rest.sig", "--private_key", "key.pem"];
    must(tool(), &place, &sign);
    refused(&place, &import("model.gguf", "rest.sig", "key.pub"), "E-TRUST-FORGED", "a missing file");

    let signature = std::fs::read_to_string(place.path("model.sig")).expect("the signature");
    let payload = signature.find("\"payload\"").expect("a payload") + 20;
    let mut bytes = signature.into_bytes();
    bytes[payload] = if bytes[payload] == b'A' { b'B' } else { b'A' };
    place.write("bent.sig", &bytes);
    refused(&place, &import("model.gguf", "bent.sig", "key.pub"), "E-TRUST-FORGED", "an altered signature");
}
