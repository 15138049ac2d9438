//! The bill of materials against the public JSON schema of CycloneDX 1.6, by the validator from PyPI.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::import::starter;
use crate::run::Place;

/// A Python with `cyclonedx-python-lib[validation]`, which `.ci/setup.sh bom` installs.
fn python() -> PathBuf {
    let found = std::env::var_os("CROFT_BOM_PYTHON").map(PathBuf::from);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let python = found.unwrap_or_else(|| root.join("target/setup/venv/bin/python"));
    assert!(python.is_file(), "no CycloneDX validator at {}; run .ci/setup.sh bom", python.display());
    python
}

const VALIDATE: &str = "
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
errors = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read())
sys.exit(str(errors) if errors else 0)
";

fn validate(place: &Place, bom: &[u8]) -> Result<(), String> {
    let file = place.write("bom.json", bom);
    let output = Command::new(python()).args(["-c", VALIDATE]).arg(file).output().expect("python runs");
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

fn bom(place: &Place, more: &[&str]) -> Vec<u8> {
    place.write("model.gguf", &starter());
    let arguments = [&["bundle", "import", "m", "model.gguf"], more].concat();
    let output = place.run(&arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = place.run(&["bundle", "bom", "m@1"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn a_bill_of_materials_is_valid_cyclonedx() {
    let hub =
        ["--license", "Apache-2.0", "--source", "https://huggingface.co/org/m@0123", "--base-model", "big"];
    let own = [
        "--license",
        "LicenseRef-Community",
        "--source",
        "made <here> & now",
        "--accepted-by",
        "legal",
        "--use-restriction",
        "no weapons",
    ];
    for more in [hub.as_slice(), own.as_slice()] {
        let place = Place::new();
        let bytes = bom(&place, more);
        validate(&place, &bytes).expect("valid");
        let document: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
        let digest = croft_trust::digest::sha256(&starter()).hex();
        assert_eq!(document["components"][0]["hashes"][0]["content"], digest.as_str());
    }
}

#[test]
fn the_validator_is_not_asleep() {
    let place = Place::new();
    let bytes = bom(&place, &["--license", "MIT", "--source", "x"]);
    let text = String::from_utf8(bytes).expect("text");
    validate(&place, text.replace("machine-learning-model", "machine").as_bytes()).expect_err("invalid");
}
