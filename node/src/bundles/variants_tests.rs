//! The choice as the node makes it, with what was measured, recalled and is here as values.

use croft_domain::bundle::Header;
use croft_domain::id::RecallId;
use croft_domain::memory::{KvType, ModelShape};
use croft_domain::recall::RecallTarget;
use croft_domain::time::Timestamp;
use croft_domain::variant::Variant;

use super::*;
use crate::bundles::plan::tests::manifest as plain;
use crate::state::measured::Measurement;

const MIB: u64 = 1 << 20;

fn header(quantization: &str, weights_bytes: u64) -> Header {
    let shape = ModelShape { weights_bytes, ..ModelShape::default() };
    Header { quantization: quantization.to_owned(), shape: Some(shape), ..Header::default() }
}

fn manifest() -> Manifest {
    let files = |byte| plain("starter", 1, Sha256Digest([byte; 32])).files;
    let variant = |byte: u8, quantization: &str, mib: u64| Variant {
        files: files(byte),
        header: header(quantization, mib * MIB),
        vetting_report_sha256: Sha256Digest([0; 32]),
    };
    Manifest {
        header: header("Q8_0", 900 * MIB),
        variants: vec![variant(2, "Q4_K_M", 500), variant(3, "Q4_0", 450)],
        ..plain("starter", 1, Sha256Digest([1; 32]))
    }
}

const SIGNED: Sha256Digest = Sha256Digest([9; 32]);

fn under() -> Under {
    let runtime = Sha256Digest([7; 32]);
    Under { runtime, cpu: "avx2".to_owned(), threads: 2, kv: KvType::F16 }
}

fn rate(variant: u8, tokens_per_s: u64) -> Record {
    let measurement =
        Measurement::Rate { millitokens_per_s: tokens_per_s * 1000, prompt_millitokens_per_s: 1, streams: 4 };
    let variant = Sha256Digest([variant; 32]);
    Record { manifest: SIGNED, variant, under: under(), measurement, at: Timestamp(1) }
}

/// The decision, and what people read, with 700 MiB for a model and these blobs here.
fn decided(records: Vec<Record>, recalls: &[Recall], here: &[u8]) -> (OwnedDecision, String) {
    let (measured, under, manifest) = (Measured { records }, under(), manifest());
    let ground = Ground {
        recalls,
        measured: &measured,
        capacity: Some(Capacity { ceiling_bytes: 700 * MIB, kv: KvType::F16, threads: 2 }),
        under: Some(&under),
        is_here: &|digest| here.contains(&digest.0[0]),
    };
    (narrow(&manifest, SIGNED, &ground), survey(&manifest, &SIGNED, &ground).why())
}

/// Which weights serve, which are tried, and what else stays.
fn shown(decision: &OwnedDecision) -> (u8, Option<u8>, Vec<u8>) {
    let OwnedDecision::Keep { manifest, trial, spares, manifest_sha256 } = decision else {
        panic!("{decision:?}")
    };
    assert_eq!(*manifest_sha256, SIGNED, "what is leased and attested is what was signed");
    let first = |manifest: &Manifest| manifest.files[0].sha256.0[0];
    (first(manifest), trial.as_deref().map(first), spares.iter().map(|digest| digest.0[0]).collect())
}

fn recall(byte: u8) -> Recall {
    Recall {
        id: RecallId([1; 16]),
        target: RecallTarget::Blob(Sha256Digest([byte; 32])),
        reason: "poisoned".to_owned(),
        issued_at: Timestamp(5),
    }
}

#[test]
fn one_is_fetched_then_measured_against_the_next() {
    let (decision, why) = decided(Vec::new(), &[], &[]);
    assert_eq!(shown(&decision), (2, Some(2), vec![]), "q8_0 does not fit");
    assert!(why.starts_with("q4_k_m: the approver's first that fits; q8_0 needs 9"), "{why}");
    assert!(why.contains(" MiB (weights 900.0 MiB, KV "), "{why}");
    assert!(why.contains("ceiling 700.0 MiB; the rest is measured when"), "{why}");
    let (decision, _) = decided(vec![rate(2, 44)], &[], &[2, 3]);
    assert_eq!(shown(&decision), (2, Some(3), vec![3]));
    let (decision, why) = decided(vec![rate(2, 44), rate(3, 61)], &[], &[2, 3]);
    assert_eq!(shown(&decision), (3, None, vec![]), "the loser's bytes may go");
    assert!(why.starts_with("q4_0: 61 tokens/s at 4 streams against 44 of q4_k_m; q8_0 needs 9"), "{why}");
}

#[test]
fn p2_a_recall_of_the_one_that_serves_leaves_the_next() {
    let records = || vec![rate(2, 44), rate(3, 61)];
    let (decision, why) = decided(records(), &[recall(3)], &[3]);
    assert_eq!(shown(&decision), (2, None, vec![]));
    assert!(why.contains("q4_0 is recalled"), "{why}");
    let (decision, _) = decided(records(), &[recall(3), recall(2)], &[3, 2]);
    let OwnedDecision::Stop { failure, .. } = decision else { panic!("{decision:?}") };
    assert_eq!(failure.code(), Code::MemoryPlan, "what is left does not fit");
}

#[test]
fn p3_records_of_other_bytes_or_manifests_name_nothing() {
    let foreign = Record { variant: Sha256Digest([8; 32]), ..rate(3, 9999) };
    let older = Record { manifest: Sha256Digest([4; 32]), ..rate(3, 9999) };
    let too_large = rate(1, u64::MAX / 1000);
    let (decision, _) = decided(vec![foreign, older, too_large, rate(2, 44)], &[], &[1, 2, 3, 8]);
    assert_eq!(
        shown(&decision),
        (2, Some(3), vec![3]),
        "only listed ones that fit, and by their own figures"
    );
}
