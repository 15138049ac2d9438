//! One bundle of a model in several quantizations: each judged and hashed on its own, all in one draft.

use std::path::Path;

use crate::import::starter;
use crate::run::Place;

fn other_quantization() -> Vec<u8> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../playbooks/starter-model/croft-starter-f16.gguf");
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

const IMPORT: &[&str] = &[
    "bundle",
    "import",
    "starter",
    "q8.gguf",
    "--license",
    "Apache-2.0",
    "--source",
    "made here",
    "--check",
    "How do you say cat? => cat",
];

fn with<'a>(variants: &[&'a str]) -> Vec<&'a str> {
    let named = variants.iter().flat_map(|file| ["--variant", file]);
    IMPORT.iter().copied().chain(named).collect()
}

#[test]
fn variants_come_in_together() {
    let place = Place::new();
    place.write("q8.gguf", &starter());
    place.write("f16.gguf", &other_quantization());
    insta::assert_snapshot!(place.shown(&with(&["f16.gguf"])), @"
    exit: 0
    --- stdout
    starter@1
    --- stderr
    vetted: llama, 2164800 weights, Q8_0, 2.2 MiB
    file:     sha256:d1869923af01a848b37faf0531702dbdf99fdd74a7788b71c4713adac7a9aa96 in 3 chunks
    vetted: llama, 2164800 weights, F16, 4.1 MiB
    file:     sha256:ad6565229df37aed710552d06477ee415634241c9d4b73783c0ca3302e6c20c1 in 5 chunks
    variants: each machine serves the fastest that fits, and one named earlier if it is nearly as fast
    template: sha256:66edfb854931c933d3ac94f507626dd4fa2d5ca0a9b1036b11729d296a7392ac (201 bytes)
    context:  1024 tokens, 4 at once
    next: croftctl bundle approve starter@1
    ");
    let draft = place.path("fleet/drafts/starter.1");
    let manifest = std::fs::read(draft.join("manifest.json")).expect("a manifest");
    let manifest: croft_domain::bundle::Manifest = serde_json::from_slice(&manifest).expect("a manifest");
    manifest.validate().expect("a sound manifest");
    let names: Vec<String> = manifest.every_variant().map(|variant| variant.name()).collect();
    assert_eq!(names, ["q8_0", "f16"]);
    assert!(manifest.every_variant().all(|variant| variant.header.shape.is_some()));
    let report = std::fs::read(draft.join("vetting-2.json")).expect("its own report");
    assert_eq!(croft_trust::digest::sha256(&report), manifest.variants[0].vetting_report_sha256);
    let bom = place.run(&["bundle", "bom", "starter@1"]);
    let bom = String::from_utf8_lossy(&bom.stdout).into_owned();
    assert!(bom.contains("q8_0-weights-0") && bom.contains("f16-weights-0"), "{bom}");
}

#[test]
fn p2_each_variant_is_judged_and_told_apart() {
    let place = Place::new();
    place.write("q8.gguf", &starter());
    let mut damaged = other_quantization();
    damaged[15] ^= 0xff;
    place.write("damaged.gguf", &damaged);
    insta::assert_snapshot!(place.shown(&with(&["damaged.gguf"])), @"
    exit: 1
    --- stdout
    --- stderr
    error[E-VET-REFUSED]: damaged.gguf was refused:
      G02 at byte 24: 18374686479671623727 tensors and 42 metadata entries, at most 65536 and 4096 are allowed
    hint: the file breaks a rule that protects the loader; get it from its publisher again or ask for another model
    ");
    insta::assert_snapshot!(place.shown(&with(&["q8.gguf"])), @"
    exit: 1
    --- stdout
    --- stderr
    error[E-INPUT]: --variant q8.gguf: it is q8_0 like another; name the same model in another quantization
    hint: correct the value that the message names
    ");
    assert!(!place.path("fleet/drafts").exists());
}
