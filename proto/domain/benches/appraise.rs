//! How long a judgment takes: a controller makes one for each node and interval.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use croft_domain::appraise::{History, Subject, appraise};
use croft_domain::baseline::Baseline;
use croft_domain::evidence::Evidence;
use croft_domain::time::Timestamp;

fn sample() -> (Baseline, Evidence) {
    let paths: Vec<String> = (0..8).map(|n| format!("\"/mnt/{n}\"")).collect();
    let baseline = format!(
        r#"{{"kind":"Baseline","name":"b","version":1,"tier":1,"checks":{{"disk-encryption":{{"mode":"block","paths":[{}]}},
        "self-test":{{"mode":"block"}},"api-binding":{{"mode":"block"}},"production-credentials":{{"mode":"warn","grace_s":60}}}}}}"#,
        paths.join(",")
    );
    let facts: Vec<String> = (0..8)
        .map(|n| {
            format!(
                r#"{{"check":"disk-encryption","subject":"/mnt/{n}","observation":{{"kind":"disk","state":"encrypted"}},"method":"statx+sysfs","confidence":"uuid"}}"#
            )
        })
        .collect();
    let evidence = format!(
        r#"{{"version":1,"node":"00000000000000000000000000000001","nonce":"00","counter":1,"boot_id":"b","taken_at":1,"mode":"user",
        "ownership":"personal","platform":{{"os":"linux","arch":"x86_64","kernel":"6"}},"agent_version":"0","trust":{{"root":1,"targets":1,
        "snapshot":1,"timestamp":1}},"facts":[{}],"bundles":[],"recalls":[],"census":[],"usage":[]}}"#,
        facts.join(",")
    );
    let baseline = serde_json::from_str(&baseline).expect("a baseline");
    (baseline, serde_json::from_str(&evidence).expect("evidence"))
}

fn appraisal(criterion: &mut Criterion) {
    let (baseline, evidence) = sample();
    let group = "dev".parse().expect("a name");
    let subject = Subject::self_reported(&group);
    criterion.bench_function("appraise 4 checks, 8 disks", |bencher| {
        bencher.iter(|| {
            appraise(black_box(&baseline), &[], black_box(&evidence), &History::new(), &subject, Timestamp(5))
        });
    });
}

criterion_group!(benches, appraisal);
criterion_main!(benches);
