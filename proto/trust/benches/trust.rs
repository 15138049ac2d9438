//! What verification costs: a model file at load, and one signature.
//!
//! `cargo bench -p croft-trust`. The file is 256 MiB in 4 MiB chunks and comes from the page cache, so this measures
//! hashing and not the disk.

use std::hint::black_box;
use std::io::Write as _;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use croft_domain::bundle::{BundleFile, FileRole};
use croft_domain::signed::Domain;
use croft_trust::digest::{describe_file, sha256_reader, verify_file};
use croft_trust::sign::{SigningKey, verify};

const LEN: u64 = 256 << 20;
const CHUNK_LEN: u64 = 4 << 20;

fn files(criterion: &mut Criterion) {
    let mut file = tempfile::tempfile().expect("a file");
    let piece: Vec<u8> = (0..1 << 20).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    (0..LEN >> 20).for_each(|_| file.write_all(&piece).expect("written"));
    let (sha256, len_bytes, chunks) = describe_file(&mut file, CHUNK_LEN).expect("described");
    let expected =
        BundleFile { role: FileRole::Weights, sha256, len_bytes, chunk_len_bytes: CHUNK_LEN, chunks };
    let mut group = criterion.benchmark_group("file");
    group.throughput(Throughput::Bytes(LEN)).sample_size(10);
    group.bench_function("verify_file", |bench| {
        bench.iter(|| verify_file(black_box(&file), black_box(&expected)).expect("the same bytes"));
    });
    group.bench_function("describe_file", |bench| {
        bench.iter(|| describe_file(black_box(&mut file), CHUNK_LEN).expect("described"));
    });
    group.bench_function("sha256_reader", |bench| {
        bench.iter(|| {
            use std::io::Seek as _;
            file.rewind().expect("rewound");
            sha256_reader(black_box(&file)).expect("read")
        });
    });
    group.finish();
}

fn signatures(criterion: &mut Criterion) {
    let key = SigningKey::generate().expect("a key");
    let payload = vec![b'x'; 8 * 1024];
    let envelope = key.sign(Domain::Evidence, payload.clone());
    let point = key.point();
    criterion.bench_function("sign 8 KiB", |bench| {
        bench.iter(|| key.sign(Domain::Evidence, black_box(payload.clone())));
    });
    criterion.bench_function("verify 8 KiB", |bench| {
        bench.iter(|| verify(black_box(&envelope), Domain::Evidence, &point).expect("holds"));
    });
}

criterion_group!(benches, files, signatures);
criterion_main!(benches);
