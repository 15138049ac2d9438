//! Variants in manifests, and the choice between them whatever was measured, recalled or is missing.

use croft_domain::bundle::Manifest;
use croft_domain::digest::Sha256Digest;
use croft_domain::id::RecallId;
use croft_domain::recall::{Recall, RecallTarget, stopping};
use croft_domain::time::Timestamp;
use croft_domain::variant::choice::{Candidate, Choice, Outcome, choose};
use proptest::prelude::*;
use serde_json::{Value, json};

fn file(byte: u8) -> Value {
    json!({"role": "weights", "sha256": format!("sha256:{}", hex(byte)), "len_bytes": 1000,
        "chunk_len_bytes": 65536, "chunks": [hex(byte)]})
}

fn hex(byte: u8) -> String {
    format!("{byte:02x}").repeat(32)
}

fn manifest() -> Value {
    let variant = |byte: u8, quantization: &str| {
        json!({"files": [file(byte)], "header": {"quantization": quantization},
            "vetting_report_sha256": format!("sha256:{}", hex(byte))})
    };
    json!({
        "schema": 1, "name": "starter", "version": 2, "epoch": 3, "architecture": "llama", "files": [file(1)],
        "template": {"sha256": format!("sha256:{}", hex(9)), "source": ""},
        "parameters": {"context_tokens": 1024, "slots": 1, "temperature": 0.5},
        "aliases": [], "license": {"id": "MIT"},
        "provenance": {"source": "test", "vetting_report_sha256": format!("sha256:{}", hex(1))},
        "check_prompts": [], "header": {"quantization": "Q8_0"},
        "variants": [variant(2, "Q4_K_M"), variant(3, "Q4_0")],
    })
}

fn read(value: &Value) -> Manifest {
    serde_json::from_value(value.clone()).expect("a manifest")
}

#[test]
fn a_manifest_in_one_of_its_variants_is_that_one_alone() {
    let manifest = read(&manifest());
    manifest.validate().expect("sound");
    let names: Vec<String> = manifest.every_variant().map(|variant| variant.name()).collect();
    assert_eq!(names, ["q8_0", "q4_k_m", "q4_0"]);
    let third = manifest.in_variant(2).expect("the third");
    third.validate().expect("sound");
    assert_eq!((third.files[0].sha256, third.variants.len()), (Sha256Digest([3; 32]), 0));
    assert_eq!(third.header.quantization, "Q4_0");
    assert_eq!(third.reference(), manifest.reference());
    assert!(manifest.in_variant(3).is_none());
    assert_eq!(manifest.every_file().count(), 3);
}

#[test]
fn variants_that_cannot_be_told_apart_are_refused() {
    let refused = |at: &str, value: Value| {
        let mut bent = manifest();
        *bent.pointer_mut(at).expect("a field") = value;
        read(&bent).validate().expect_err("refused").field
    };
    let names = "variants.header.quantization";
    assert_eq!(refused("/variants/1/header/quantization", json!("q4_k_m")), names);
    assert_eq!(refused("/variants/0/header/quantization", json!("")), names);
    assert_eq!(refused("/variants/0/header/quantization", json!("../x")), names);
    assert_eq!(refused("/header/quantization", json!("")), names);
    assert_eq!(refused("/variants/1/files/0", file(1)), "variants.files");
    assert_eq!(refused("/variants/1/files", json!([])), "variants[2].files");
    assert_eq!(refused("/variants/0/files/0/len_bytes", json!(70_000)), "variants[1].files[0].chunks");
    let many = vec![manifest()["variants"][0].clone(); 8];
    assert_eq!(refused("/variants", json!(many)), "variants");
}

#[test]
fn p2_a_recalled_variant_stops_itself_and_the_last_one_the_bundle() {
    let manifest = read(&manifest());
    let recall = |target| Recall {
        id: RecallId([1; 16]),
        target,
        reason: "poisoned".to_owned(),
        issued_at: Timestamp(5),
    };
    let blob = |byte| recall(RecallTarget::Blob(Sha256Digest([byte; 32])));
    assert!(stopping(&[blob(1)], &manifest).is_none());
    assert!(stopping(&[blob(1), blob(3)], &manifest).is_none());
    assert!(stopping(&[blob(1), blob(2), blob(3)], &manifest).is_some());
    assert!(stopping(&[recall(RecallTarget::Bundle(manifest.reference()))], &manifest).is_some());
    assert!(stopping(&[blob(3)], &manifest.in_variant(2).expect("the third")).is_some());
}

fn candidate() -> impl Strategy<Value = Candidate> {
    let outcome = prop_oneof![
        Just(Outcome::None),
        Just(Outcome::Failed),
        (any::<u64>(), any::<bool>())
            .prop_map(|(millitokens_per_s, is_current)| Outcome::Rate { millitokens_per_s, is_current }),
    ];
    (any::<bool>(), proptest::option::of(0..20_u64), any::<bool>(), outcome).prop_map(
        |(is_stopped, needs_bytes, is_here, outcome)| Candidate { is_stopped, needs_bytes, is_here, outcome },
    )
}

proptest! {
    #[test]
    fn p2_what_is_stopped_or_does_not_fit_is_never_chosen(
        all in proptest::collection::vec(candidate(), 0..9),
        ceiling in 0..20_u64,
    ) {
        let Choice { serve, trial } = choose(&all, ceiling);
        let may = |one: &Candidate| !one.is_stopped && one.needs_bytes.is_none_or(|needs| needs <= ceiling);
        for chosen in [serve, trial].into_iter().flatten() {
            prop_assert!(may(&all[chosen]), "{chosen} of {all:?} under {ceiling}");
        }
        prop_assert_eq!(serve.is_some(), all.iter().any(may), "something serves whenever something may");
        // What is here goes before what must be fetched.
        let is_here = all.iter().any(|one| may(one) && one.is_here);
        prop_assert!(serve.is_none_or(|serve| all[serve].is_here == is_here));
    }

    #[test]
    fn trials_end_and_each_is_worth_its_cost(
        mut all in proptest::collection::vec(candidate(), 1..9),
        speeds in proptest::collection::vec(proptest::option::of(1..1_000_000_u64), 9),
        ceiling in 0..20_u64,
    ) {
        let (mut fetches, mut runs) = (0, 0);
        while let Some(trial) = choose(&all, ceiling).trial {
            let serve = choose(&all, ceiling).serve;
            let one = &mut all[trial];
            let is_current = matches!(one.outcome, Outcome::Rate { is_current: true, .. });
            if !one.is_here {
                one.is_here = true;
                fetches += 1;
            } else {
                prop_assert!(!is_current && one.outcome != Outcome::Failed, "measured twice: {:?}", all);
                one.outcome = speeds[trial].map_or(Outcome::Failed, |millitokens_per_s| Outcome::Rate {
                    millitokens_per_s,
                    is_current: true,
                });
                runs += 1;
            }
            prop_assert!(serve.is_some());
            prop_assert!(fetches <= all.len() && runs <= all.len(), "{fetches} fetches, {runs} runs");
        }
    }
}
