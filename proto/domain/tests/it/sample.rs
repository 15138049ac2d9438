//! Sample documents that each test bends in one place.

use croft_domain::baseline::Baseline;
use croft_domain::evidence::Evidence;
use croft_domain::fact::{Confidence, DiskState, Fact, Observation};
use croft_domain::time::Timestamp;

pub const NOW: Timestamp = Timestamp(1_800_000_000);

pub fn baseline(mode: &str, grace_s: u64) -> Baseline {
    let text = format!(
        r#"{{"kind":"Baseline","name":"internal","version":1,"tier":2,"checks":{{
            "disk-encryption":{{"mode":"{mode}","grace_s":{grace_s},"paths":["/","home"]}}}}}}"#
    );
    serde_json::from_str(&text).expect("a baseline")
}

pub fn disk(subject: &str, state: DiskState, confidence: Confidence) -> Fact {
    Fact {
        check: "disk-encryption".parse().expect("a name"),
        subject: subject.to_owned(),
        observation: Observation::Disk { state },
        method: "statx+sysfs".to_owned(),
        confidence,
        trace: Vec::new(),
    }
}

pub fn evidence(facts: Vec<Fact>) -> Evidence {
    let text = r#"{"version":1,"node":"00000000000000000000000000000001","nonce":"00","counter":1,"boot_id":"b",
        "taken_at":1800000000,"mode":"user","ownership":"personal","platform":{"os":"linux","arch":"x86_64","kernel":"6"},
        "agent_version":"0.1.0","trust":{"root":1,"targets":1,"snapshot":1,"timestamp":1},
        "facts":[],"bundles":[],"recalls":[],"census":[],"usage":[]}"#;
    let mut evidence: Evidence = serde_json::from_str(text).expect("evidence");
    evidence.facts = facts;
    evidence
}
