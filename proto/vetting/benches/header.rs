//! How long the header of a model with a vocabulary of 256 k tokens takes; the aim is 20 ms. The weights' scan beside it.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use croft_vetting::gguf::{Depth, lint};

/// The builder of the tests, so that both measure the same files.
#[allow(dead_code, unused_imports)]
#[path = "../tests/it/builder.rs"]
mod builder;
#[allow(dead_code, unused_imports)]
#[path = "../tests/it/families.rs"]
mod families;

use builder::{ARRAY, F32, Gguf, I32, array, tensor, texts};

fn vocabulary(family: &str, tokens: u32) -> Vec<u8> {
    let mut file = Gguf::family(family, 8, 1);
    let names: Vec<String> = (0..tokens).map(|id| format!("token{id:x}")).collect();
    file.set("tokenizer.ggml.tokens", ARRAY, texts(&names));
    file.set("tokenizer.ggml.scores", ARRAY, array(F32, &vec![vec![0; 4]; tokens as usize]));
    let types: Vec<Vec<u8>> = (0..tokens).map(|id| vec![if id == 2 { 3 } else { 1 }, 0, 0, 0]).collect();
    file.set("tokenizer.ggml.token_type", ARRAY, array(I32, &types));
    if family == "qwen2" {
        let merges: Vec<String> =
            (0..tokens - 1).map(|id| format!("token{id:x} token{:x}", id + 1)).collect();
        file.set("tokenizer.ggml.merges", ARRAY, texts(&merges));
    }
    file.tensors[0] = tensor("token_embd.weight", &[8, u64::from(tokens)]);
    file.bytes()
}

fn benches(criterion: &mut Criterion) {
    for (name, family) in [("256 k tokens", "gemma3"), ("256 k tokens and as many merges", "qwen2")] {
        let bytes = vocabulary(family, 262_144);
        assert!(lint(&bytes[..], bytes.len() as u64, Depth::Header).passed());
        criterion.bench_function(&format!("header of {name}"), |bencher| {
            bencher.iter(|| lint(&bytes[..], bytes.len() as u64, Depth::Header));
        });
    }
    let bytes = Gguf::family("llama", 1024, 1).bytes();
    let mut group = criterion.benchmark_group("weights");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("all finite", |bencher| {
        bencher.iter(|| lint(&bytes[..], bytes.len() as u64, Depth::Full));
    });
    group.finish();
}

criterion_group!(header, benches);
criterion_main!(header);
