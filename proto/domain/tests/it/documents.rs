//! Documents from outside: unknown keys, contradictions and excess are refused, and say where.

use croft_domain::baseline::Baseline;
use croft_domain::bundle::Manifest;
use croft_domain::evidence::{Evidence, EvidenceError};
use croft_domain::fact::{Confidence, DiskState};
use croft_domain::fleet::{Fleet, GroupPolicy};
use croft_domain::limits::FACTS_MAX;

use crate::sample::{baseline, disk, evidence};

#[test]
fn a_misspelled_key_in_a_baseline_is_an_error() {
    let text =
        r#"{"kind":"Baseline","name":"b","version":1,"tier":1,"checks":{"x":{"mode":"report","graces":5}}}"#;
    let error = serde_json::from_str::<Baseline>(text).expect_err("a misspelling").to_string();
    assert!(error.contains("graces"), "{error}");
}

#[test]
fn contradictions_in_a_baseline_name_their_field() {
    let mut grace_without_warn = baseline("block", 0);
    for policy in grace_without_warn.checks.values_mut() {
        policy.grace_s = 5;
    }
    let error = grace_without_warn.validate().expect_err("grace needs warn");
    assert_eq!(error.field, "checks.disk-encryption.grace_s");
    let mut tier = baseline("block", 0);
    tier.tier = 4;
    assert_eq!(tier.validate().expect_err("no such tier").field, "tier");
    let mut ttl = baseline("block", 0);
    ttl.lease_ttl_s = 604_801;
    assert_eq!(ttl.validate().expect_err("too long").field, "lease_ttl_s");
    for (percent, is_valid) in [(0, false), (1, true), (90, true), (91, false)] {
        let mut memory = baseline("block", 0);
        memory.usage.memory_percent = Some(percent);
        assert_eq!(memory.validate().is_ok(), is_valid, "{percent}");
    }
    assert!(baseline("warn", 10).validate().is_ok());
}

#[test]
fn modes_that_contradict_name_their_field() {
    let refused = |checks: &str, rest: &str| {
        let text =
            format!(r#"{{"kind":"Baseline","name":"b","version":1,"tier":2,"checks":{{{checks}}}{rest}}}"#);
        let baseline: Baseline = serde_json::from_str(&text).expect("a baseline");
        baseline.validate().err().map(|error| error.field)
    };
    let patches = r#","patches":[{"os":"debian 12","kernel":"6.1.0-28"}]"#;
    for (checks, rest, field) in [
        (r#""endpoint":{"mode":"warn"}"#, "", Some("checks.endpoint.mode")),
        (r#""endpoint":{"mode":"report","waivers":"never"}"#, "", Some("checks.endpoint.waivers")),
        (r#""endpoint":{"mode":"report","paths":["/"]}"#, "", Some("checks.endpoint.paths")),
        (
            r#""disk-encryption":{"mode":"report","subjects":["/"]}"#,
            "",
            Some("checks.disk-encryption.subjects"),
        ),
        (r#""endpoint":{"mode":"report","subjects":[""]}"#, "", Some("checks.endpoint.subjects")),
        (r#""endpoint":{"mode":"report","controls":[""]}"#, "", Some("checks.endpoint.controls")),
        (r#""census-conformity":{"mode":"block"}"#, "", Some("checks.census-conformity.mode")),
        (r#""patch-level":{"mode":"block"}"#, "", Some("patches")),
        (r#""endpoint":{"mode":"block"}"#, patches, Some("patches")),
        (r#""patch-level":{"mode":"block"}"#, patches, None),
        (r#""endpoint":{"mode":"notify","subjects":["firewall"],"controls":["ISO 27001 A.8.20"]}"#, "", None),
    ] {
        assert_eq!(refused(checks, rest).as_deref(), field, "{checks}{rest}");
    }
    let twice = r#","patches":[{"os":"debian 12"},{"os":"debian 12"}]"#;
    assert_eq!(refused(r#""patch-level":{"mode":"block"}"#, twice).as_deref(), Some("patches"));
}

#[test]
fn p4_evidence_beyond_its_bounds_is_not_judged() {
    let fact = || disk("/", DiskState::Encrypted, Confidence::Uuid);
    assert!(evidence(vec![fact(); FACTS_MAX]).check_bounds().is_ok());
    assert_eq!(evidence(vec![fact(); FACTS_MAX + 1]).check_bounds(), Err(EvidenceError::TooMany));
    let mut long = fact();
    long.subject = "x".repeat(1025);
    assert_eq!(evidence(vec![long]).check_bounds(), Err(EvidenceError::TooLong));
    let mut version = evidence(vec![]);
    version.version = 2;
    assert_eq!(version.check_bounds(), Err(EvidenceError::Version(2)));
}

#[test]
fn p4_evidence_with_an_unknown_check_is_kept() {
    let mut unknown = disk("/", DiskState::Encrypted, Confidence::Uuid);
    unknown.check = "a-check-of-tomorrow".parse().expect("a name");
    let bytes = serde_json::to_vec(&evidence(vec![unknown])).expect("JSON");
    assert!(serde_json::from_slice::<Evidence>(&bytes).is_ok());
}

fn manifest() -> Manifest {
    let digest = "ab".repeat(32);
    let text = format!(
        r#"{{"schema":1,"name":"m","version":1,"epoch":0,"architecture":"llama",
        "files":[{{"role":"weights","sha256":"sha256:{digest}","len_bytes":65537,"chunk_len_bytes":65536,"chunks":["{digest}","{digest}"]}}],
        "template":{{"source":"","sha256":"sha256:{digest}"}},"parameters":{{"context_tokens":8,"slots":1,"temperature":0.0}},
        "aliases":[],"license":{{"id":"Apache-2.0"}},"provenance":{{"source":"test","vetting_report_sha256":"sha256:{digest}"}},
        "check_prompts":[]}}"#
    );
    serde_json::from_str(&text).expect("a manifest")
}

#[test]
fn p2_a_chunk_list_must_cover_its_file_exactly() {
    assert_eq!(manifest().validate(), Ok(()));
    assert_eq!(manifest().files[0].chunk_range(1), Some(65_536..65_537));
    assert_eq!(manifest().files[0].chunk_range(2), None);
    for len in [65_536, 131_073, u64::MAX] {
        let mut bent = manifest();
        bent.files[0].len_bytes = len;
        assert_eq!(bent.validate().expect_err("not covered").field, "files[0].chunks", "{len}");
    }
    let mut bent = manifest();
    bent.files[0].chunk_len_bytes = 65_535;
    assert_eq!(bent.validate().expect_err("odd chunks").field, "files[0].chunk_len_bytes");
}

#[test]
fn p3_a_group_takes_no_older_baseline_and_no_bundle_it_was_not_given() {
    let group = GroupPolicy {
        tier: 2,
        baseline: "internal@3".parse().expect("a reference"),
        bundles: [("starter".parse().expect("a name"), 2)].into(),
    };
    let baseline = |text: &str| group.accepts_baseline(&text.parse().expect("a reference"));
    assert!(
        baseline("internal@3") && baseline("internal@4") && !baseline("internal@2") && !baseline("lax@9")
    );
    let bundle = |text: &str| group.allows_bundle(&text.parse().expect("a reference"));
    assert!(bundle("starter@2") && !bundle("starter@1") && !bundle("other@5"));
}

#[test]
fn p3_a_fleet_document_with_a_bad_key_is_refused() {
    let text = |point: &str| {
        format!(
            r#"{{"schema":1,"id":"{}","name":"f","epoch":1,"ca_pins":["sha256:{}"],"lease_keys":[{{"point":"{point}","not_before":0,"not_after":1}}],
            "recall_keys":[],"reviewer_keys":[],"groups":{{}},"licenses":[]}}"#,
            "0".repeat(32),
            "0".repeat(64)
        )
    };
    let parse = |point: &str| serde_json::from_str::<Fleet>(&text(point)).expect("JSON").validate();
    assert!(parse(&format!("04{}", "0".repeat(128))).is_ok());
    for bad in ["", "04", &format!("02{}", "0".repeat(128)), &format!("04{}", "G".repeat(128))] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}
