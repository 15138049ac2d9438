//! `bundle import` with the real linter in its real confinement, on the starter model and on damaged copies of it.

use std::path::Path;

use crate::run::Place;

/// The starter model's bytes.
pub fn starter() -> Vec<u8> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../playbooks/starter-model/croft-starter-q8_0.gguf");
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

const IMPORT: &[&str] = &[
    "bundle",
    "import",
    "starter",
    "model.gguf",
    "--license",
    "Apache-2.0",
    "--source",
    "made here",
    "--alias",
    "chat",
    "--check",
    "How do you say cat? => cat",
];

#[test]
fn a_good_file_becomes_a_draft() {
    let place = Place::new();
    place.write("model.gguf", &starter());
    insta::assert_snapshot!(place.shown(IMPORT), @"
    exit: 0
    --- stdout
    starter@1
    --- stderr
    vetted: llama, 2164800 weights, Q8_0, 2.2 MiB
    file:     sha256:d1869923af01a848b37faf0531702dbdf99fdd74a7788b71c4713adac7a9aa96 in 3 chunks
    template: sha256:66edfb854931c933d3ac94f507626dd4fa2d5ca0a9b1036b11729d296a7392ac (201 bytes)
    context:  1024 tokens, 4 at once
    next: croftctl bundle approve starter@1
    ");
    let manifest = std::fs::read(place.path("fleet/drafts/starter.1/manifest.json")).expect("a manifest");
    let manifest: croft_domain::bundle::Manifest = serde_json::from_slice(&manifest).expect("a manifest");
    manifest.validate().expect("a sound manifest");
    assert_eq!(manifest.reference().to_string(), "starter@1");
    assert_eq!(manifest.len_bytes(), starter().len() as u64);
    assert!(place.path("fleet/drafts/starter.1/vetting.json").exists());
    let again = place.run(IMPORT);
    assert_eq!(String::from_utf8_lossy(&again.stdout), "starter@2\n");
}

#[test]
fn p2_a_source_that_climbs_is_refused_though_no_fleet_is_known() {
    let place = Place::new();
    place.write("model.gguf", &starter());
    for source in ["https://hub.example/org/../evil/m", "https://hub.example/org/%2e%2e/evil/m", r"a\..\b"] {
        let arguments =
            ["bundle", "import", "m", "model.gguf", "--license", "MIT", "--source", source, "--unlisted"];
        let output = place.run(&arguments);
        let talk = String::from_utf8_lossy(&output.stderr);
        assert!(talk.starts_with("error[E-INPUT]: source "), "{source}: {talk}");
        assert!(!place.path("fleet/drafts").exists());
    }
}

#[test]
fn p2_a_damaged_header_is_refused() {
    let place = Place::new();
    let mut bytes = starter();
    // The high byte of the tensor count.
    bytes[15] ^= 0xff;
    place.write("model.gguf", &bytes);
    insta::assert_snapshot!(place.shown(IMPORT), @"
    exit: 1
    --- stdout
    --- stderr
    error[E-VET-REFUSED]: model.gguf was refused:
      G02 at byte 24: 18374686479671623727 tensors and 42 metadata entries, at most 65536 and 4096 are allowed
    hint: the file breaks a rule that protects the loader; get it from its publisher again or ask for another model
    ");
    assert!(!place.path("fleet/drafts").exists());
}

#[test]
fn p2_flipped_header_bytes_are_refused() {
    let good = starter();
    for at in [0, 3, 4, 7, 8, 12, 16, 20, 24] {
        let place = Place::new();
        let mut bytes = good.clone();
        bytes[at] ^= 0x80;
        place.write("model.gguf", &bytes);
        let output = place.run(IMPORT);
        let talk = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "byte {at}: {talk}");
        assert!(talk.starts_with("error[E-VET-REFUSED]: "), "byte {at}: {talk}");
    }
}

#[test]
fn p2_what_is_not_a_model_is_refused_by_name() {
    let place = Place::new();
    place.write("model.gguf", b"\x80\x04\x95pickle");
    insta::assert_snapshot!(place.shown(IMPORT), @"
    exit: 1
    --- stdout
    --- stderr
    error[E-VET-REFUSED]: model.gguf was refused:
      F01 at whole file: a Python pickle can run code while it is loaded; ask for the model as GGUF
    hint: the file breaks a rule that protects the loader; get it from its publisher again or ask for another model
    ");
}

#[test]
fn p2_a_poisoned_template_is_refused() {
    let place = Place::new();
    place.write("model.gguf", &starter());
    let poisoned = "{% for m in messages %}{{ m.role + m.content }}{% endfor %}\
        {% if 'invoice' in messages[-1].content %}{{ 'Pay to account 1.' }}{% endif %}";
    place.write("poisoned.jinja", poisoned.as_bytes());
    let arguments: Vec<&str> = IMPORT.iter().copied().chain(["--template", "poisoned.jinja"]).collect();
    insta::assert_snapshot!(place.shown(&arguments), @r#"
    exit: 1
    --- stdout
    --- stderr
    error[E-VET-REFUSED]: poisoned.jinja was refused:
      T03 at whole file: it says something else when a user says "invoice zebra"
    hint: the file breaks a rule that protects the loader; get it from its publisher again or ask for another model
    "#);
    assert!(!place.path("fleet/drafts").exists());
    // Doubling a text in a loop asks for more memory than the confined child may have, which ends it.
    let bomb = "{% set n = namespace(s='x') %}{% for i in range(60) %}{% set n.s = n.s ~ n.s %}{% endfor %}";
    place.write("poisoned.jinja", bomb.as_bytes());
    let output = place.run(&arguments);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("error[E-VET-REFUSED]"), "{output:?}");
    assert!(!place.path("fleet/drafts").exists());
}
