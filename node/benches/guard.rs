//! What looking through a request costs: the guard over source text, with every class switched on.
//!
//! `cargo bench -p croft-node --bench guard`. The text is this repository's own sources, over and over, with a secret
//! and some personal data strewn in; the figure in docs/BENCHMARKS.md is its throughput on one thread.

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use croft_domain::data_class::{DataAction, DataClass};
use croft_node::gateway::content::{Rules, Scan};

const LEN: usize = 16 << 20;

fn sources(folder: &Path, out: &mut String) {
    let mut entries: Vec<_> = std::fs::read_dir(folder).expect("a folder").flatten().collect();
    entries.sort_by_key(std::fs::DirEntry::path);
    for entry in entries {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            out.push_str(&std::fs::read_to_string(&path).expect("source text"));
        }
    }
}

fn text() -> String {
    let mut once = String::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut once);
    let mut text = String::with_capacity(LEN + once.len());
    while text.len() < LEN {
        text.push_str(&once);
        writeln!(text, "// jane@acme.io pays with 4111 1111 1111 1111, postgres://app:s3cr3t-9@db/app")
            .expect("text");
    }
    text
}

fn guard(criterion: &mut Criterion) {
    let rules = Rules::new(&DataClass::ALL.iter().map(|class| (*class, DataAction::Redact)).collect());
    let text = text();
    assert!(!Scan::new(&rules, &text).all().is_empty());
    let mut group = criterion.benchmark_group("guard");
    group.throughput(Throughput::Bytes(text.len() as u64)).sample_size(10);
    group.bench_function("source_text", |bench| {
        bench.iter(|| Scan::new(&rules, black_box(&text)).all().len());
    });
    group.finish();
}

criterion_group!(benches, guard);
criterion_main!(benches);
