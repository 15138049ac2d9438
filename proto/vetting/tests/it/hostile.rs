//! A corpus of hostile and malformed models over every family: all refused, and by a rule, not by chance.

use std::collections::BTreeMap;

use croft_vetting::gguf::{Depth, lint};
use croft_vetting::report::{Severity, Verdict};

use crate::builder::*;
use crate::families::FAMILIES;

type Change = fn(&mut Gguf, &str);

/// For setters that chain.
fn done(_: &mut Gguf) {}

fn own(file: &mut Gguf, name: &str, key: &str, kind: u32, value: Vec<u8>) {
    file.set(&format!("{name}.{key}"), kind, value);
}

fn u(value: u32) -> Vec<u8> {
    value.to_le_bytes().to_vec()
}

fn f(value: f32) -> Vec<u8> {
    value.to_le_bytes().to_vec()
}

fn claim(kind: u32, count: u64) -> Vec<u8> {
    [&kind.to_le_bytes()[..], &count.to_le_bytes()].concat()
}

/// What is wrong with the container.
const CONTAINER: &[(&str, Change)] = &[
    ("magic", |g, _| g.magic = *b"GGJT"),
    ("version 2", |g, _| g.version = 2),
    ("big-endian", |g, _| g.version = 3_u32.swap_bytes()),
    ("too many tensors", |g, _| g.tensor_count = Some(1 << 40)),
    ("too few tensors", |g, _| g.tensor_count = Some(1)),
    ("no tensors", |g, _| g.tensor_count = Some(0)),
    ("too many entries", |g, _| g.entry_count = Some(u64::MAX)),
    ("too few entries", |g, _| g.entry_count = Some(3)),
    ("key of 70 kB", |g, _| g.entries.push((vec![b'a'; 70_000], BOOL, vec![1]))),
    ("key with zero", |g, _| g.entries.push((b"a\0b".to_vec(), BOOL, vec![1]))),
    ("key not UTF-8", |g, _| g.entries.push((vec![0xff, 0xfe], BOOL, vec![1]))),
    ("key twice", |g, _| g.entries.push((b"general.type".to_vec(), TEXT, text("model")))),
    ("key empty", |g, _| g.entries.push((Vec::new(), BOOL, vec![1]))),
    ("value type 13", |g, _| done(g.set("x.y", 13, vec![0; 8]))),
    ("array of arrays", |g, _| done(g.set("x.y", ARRAY, array(ARRAY, &[array(U8, &[])])))),
    ("array of 2^30", |g, _| done(g.set("x.y", ARRAY, claim(U8, 1 << 30)))),
    ("array that wraps", |g, _| done(g.set("x.y", ARRAY, claim(U32, (1 << 62) + 1)))),
    ("text of 2^63", |g, _| done(g.set("x.y", TEXT, (1_u64 << 63).to_le_bytes().to_vec()))),
    ("text not UTF-8", |g, _| done(g.set("general.name", TEXT, text(b"\xc0\xaf")))),
    ("text with escape", |g, _| done(g.set("general.name", TEXT, text("\x1b[2J")))),
    ("text that reorders", |g, _| done(g.set("general.name", TEXT, text("\u{202e}x")))),
    ("text with tags", |g, _| done(g.set("general.description", TEXT, text("\u{e0041}")))),
    ("text too long", |g, _| done(g.set("general.name", TEXT, text("x".repeat(70_000))))),
    ("boolean 2", |g, _| done(g.set("tokenizer.ggml.add_bos_token", BOOL, vec![2]))),
    ("float not a number", |g, _| done(g.set("x.y", F32, f(f32::NAN)))),
    ("alignment 4", |g, _| done(g.set("general.alignment", U32, u(4)))),
    ("alignment 0", |g, _| done(g.set("general.alignment", U32, u(0)))),
    ("alignment 48", |g, _| done(g.set("general.alignment", U32, u(48)))),
    ("alignment as int32", |g, _| done(g.set("general.alignment", I32, u(32)))),
    ("alignment not kept", |g, _| done(g.set("general.alignment", U32, u(4096)))),
    ("tensor name empty", |g, _| g.tensors[0].name = Vec::new()),
    ("tensor name with newline", |g, _| g.tensors[0].name = b"token_embd.weight\n".to_vec()),
    ("tensor name of 64", |g, _| g.tensors[0].name = vec![b'a'; 64]),
    ("tensor name twice", |g, _| g.tensors[1].name = g.tensors[0].name.clone()),
    ("no dimensions", |g, _| g.tensors[0].dimensions = Vec::new()),
    ("five dimensions", |g, _| g.tensors[0].dimensions = vec![1; 5]),
    ("dimension of zero", |g, _| g.tensors[0].dimensions = vec![0, 7]),
    ("product that wraps", |g, _| g.tensors[0].dimensions = vec![1 << 32, 1 << 32]),
    ("product that wraps to zero", |g, _| g.tensors[0].dimensions = vec![1024, 1024, 1 << 44]),
    ("dimension negative", |g, _| g.tensors[0].dimensions = vec![u64::MAX, 7]),
    ("element type removed", |g, _| g.tensors[0].kind = 4),
    ("element type unknown", |g, _| g.tensors[0].kind = 99),
    ("row no whole block", |g, _| g.tensors[0].kind = TYPE_Q8_0),
    ("tensor overlaps", |g, _| g.tensors[1].offset = Some(0)),
    ("tensor after a gap", |g, _| g.tensors[1].offset = Some(4096)),
    ("tensor outside", |g, _| g.tensors[0].offset = Some(1 << 40)),
    ("offset that wraps", |g, _| g.tensors[1].offset = Some(u64::MAX - 31)),
    ("tail", |g, _| g.tail = b"MZ or anything".to_vec()),
    ("longer tail", |g, _| g.tail = vec![0; 65_536]),
];

/// What is wrong with the meaning.
const MEANING: &[(&str, Change)] = &[
    ("architecture unknown", |g, _| done(g.set("general.architecture", TEXT, text("gptj")))),
    ("architecture missing", |g, _| done(g.remove("general.architecture"))),
    ("architecture a number", |g, _| done(g.set("general.architecture", U32, u(1)))),
    ("adapter", |g, _| done(g.set("general.type", TEXT, text("adapter")))),
    ("projector", |g, _| done(g.set("general.type", TEXT, text("mmproj")))),
    ("one shard", |g, _| done(g.set("split.count", U16, vec![2, 0]))),
    ("blocks 513", |g, n| own(g, n, "block_count", U32, u(513))),
    ("blocks 0", |g, n| own(g, n, "block_count", U32, u(0))),
    ("blocks too many", |g, n| own(g, n, "block_count", U32, u(3))),
    ("blocks as uint64", |g, n| own(g, n, "block_count", 10, vec![2, 0, 0, 0, 0, 0, 0, 0])),
    ("context 0", |g, n| own(g, n, "context_length", U32, u(0))),
    ("context 2^31", |g, n| own(g, n, "context_length", U32, u(1 << 31))),
    ("embedding 0", |g, n| own(g, n, "embedding_length", U32, u(0))),
    ("embedding too wide", |g, n| own(g, n, "embedding_length", U32, u(1 << 30))),
    ("embedding wrong", |g, n| own(g, n, "embedding_length", U32, u(16))),
    ("heads 0", |g, n| own(g, n, "attention.head_count", U32, u(0))),
    ("heads 3", |g, n| own(g, n, "attention.head_count", U32, u(3))),
    ("key-value heads 3", |g, n| own(g, n, "attention.head_count_kv", U32, u(3))),
    ("key-value heads 0", |g, n| own(g, n, "attention.head_count_kv", U32, u(0))),
    ("key length wrong", |g, n| own(g, n, "attention.key_length", U32, u(6))),
    ("feed-forward wrong", |g, n| own(g, n, "feed_forward_length", U32, u(15))),
    ("feed-forward missing", |g, n| done(g.remove(&format!("{n}.feed_forward_length")))),
    ("experts 513", |g, n| own(g, n, "expert_count", U32, u(513))),
    ("experts used, none there", |g, n| own(g, n, "expert_used_count", U32, u(2))),
    ("experts without tensors", |g, n| {
        own(g, n, "expert_count", U32, u(600));
        own(g, n, "expert_used_count", U32, u(2));
    }),
    ("rotation base 0", |g, n| own(g, n, "rope.freq_base", F32, f(0.0))),
    ("rotation scale negative", |g, n| own(g, n, "rope.scaling.factor", F32, f(-1.0))),
    ("rotated more than a key", |g, n| own(g, n, "rope.dimension_count", U32, u(4096))),
    ("rotated an odd number", |g, n| own(g, n, "rope.dimension_count", U32, u(1))),
    ("epsilon missing", |g, n| {
        g.remove(&format!("{n}.attention.layer_norm_rms_epsilon"));
        g.remove(&format!("{n}.attention.layer_norm_epsilon"));
    }),
    ("epsilon 0", |g, n| own(g, n, "attention.layer_norm_rms_epsilon", F32, f(0.0))),
    ("vocabulary size wrong", |g, n| own(g, n, "vocab_size", U32, u(8))),
    ("pooling 9", |g, n| own(g, n, "pooling_type", U32, u(9))),
    ("tensor missing", |g, _| drop(g.tensors.remove(0))),
    ("tensor left over", |g, _| g.tensors.push(tensor("blk.0.backdoor.weight", &[8]))),
    ("block left over", |g, _| g.tensors.push(tensor("blk.2.attn_q.weight", &[8, 8]))),
    ("block spelled oddly", |g, _| g.tensors.push(tensor("blk.00.attn_q.weight", &[8, 8]))),
    ("shape transposed", |g, _| g.tensors[0].dimensions.reverse()),
    ("rows fewer than tokens", |g, _| g.tensors[0] = tensor("token_embd.weight", &[8, 6])),
    ("weights as integers", |g, _| g.tensors[0].kind = 26),
    ("tokenizer unknown", |g, _| done(g.set("tokenizer.ggml.model", TEXT, text("plamo2")))),
    ("tokenizer missing", |g, _| done(g.remove("tokenizer.ggml.model"))),
    ("tokens missing", |g, _| done(g.remove("tokenizer.ggml.tokens"))),
    ("tokens none", |g, _| done(g.set("tokenizer.ggml.tokens", ARRAY, texts::<&str>(&[])))),
    ("token twice", |g, _| {
        done(g.set(
            "tokenizer.ggml.tokens",
            ARRAY,
            texts(&["<unk>", "<s>", "</s>", "a", "a", "ab", "<0x0A>"]),
        ));
    }),
    ("token empty", |g, _| {
        done(g.set(
            "tokenizer.ggml.tokens",
            ARRAY,
            texts(&["<unk>", "<s>", "</s>", "a", "", "ab", "<0x0A>"]),
        ));
    }),
    ("byte token negative", |g, _| {
        done(g.set(
            "tokenizer.ggml.tokens",
            ARRAY,
            texts(&["<unk>", "<s>", "</s>", "a", "b", "ab", "<0x-1>"]),
        ));
    }),
    ("scores fewer", |g, _| done(g.set("tokenizer.ggml.scores", ARRAY, array(F32, &[f(0.0)])))),
    ("scores narrow", |g, _| done(g.set("tokenizer.ggml.scores", ARRAY, array(U8, &vec![vec![0]; 7])))),
    ("scores infinite", |g, _| {
        done(g.set("tokenizer.ggml.scores", ARRAY, array(F32, &vec![f(f32::INFINITY); 7])));
    }),
    ("types narrow", |g, _| done(g.set("tokenizer.ggml.token_type", ARRAY, array(U8, &vec![vec![1]; 7])))),
    ("types 7", |g, _| done(g.set("tokenizer.ggml.token_type", ARRAY, array(I32, &vec![u(7); 7])))),
    ("types missing", |g, _| done(g.remove("tokenizer.ggml.token_type"))),
    ("beginning outside", |g, _| done(g.set("tokenizer.ggml.bos_token_id", U32, u(7)))),
    ("end outside", |g, _| done(g.set("tokenizer.ggml.eos_token_id", U32, u(u32::MAX)))),
    ("end an ordinary token", |g, _| done(g.set("tokenizer.ggml.eos_token_id", U32, u(3)))),
    ("default outside", |g, _| {
        g.set("tokenizer.ggml.model", TEXT, text("gpt2")).set(
            "tokenizer.ggml.merges",
            ARRAY,
            texts(&["a b"]),
        );
        g.remove("tokenizer.ggml.bos_token_id");
    }),
    ("merge of no token", |g, _| done(g.set("tokenizer.ggml.merges", ARRAY, texts(&["a zz"])))),
    ("merge of three", |g, _| done(g.set("tokenizer.ggml.merges", ARRAY, texts(&["a b b"])))),
    ("character map of 2 bytes", |g, _| {
        done(g.set("tokenizer.ggml.precompiled_charsmap", ARRAY, array(U8, &[vec![1], vec![0]])));
    }),
    ("character map too long", |g, _| {
        done(g.set("tokenizer.ggml.precompiled_charsmap", ARRAY, array(U8, &vec![vec![0xff]; 8])));
    }),
    ("suppressed outside", |g, _| done(g.set("tokenizer.ggml.suppress_tokens", ARRAY, array(I32, &[u(7)])))),
    ("link in clear", |g, _| done(g.set("general.url", TEXT, text("http://models.test")))),
    ("image patch 0", |g, _| {
        g.set("clip.vision.patch_size", U32, u(0)).set("clip.vision.image_size", U32, u(224));
    }),
    ("quantization version 1", |g, _| done(g.set("general.quantization_version", U32, u(1)))),
];

#[test]
fn p2_every_hostile_model_is_refused_and_every_valid_one_passes() {
    let mut by_rule: BTreeMap<String, usize> = BTreeMap::new();
    let (mut hostile, mut valid) = (0, 0);
    let mut missed = Vec::new();
    println!("{:<16} {:>8} {:>7} {:>6}", "family", "hostile", "missed", "valid");
    for name in FAMILIES {
        let good = Gguf::family(name, 8, 2);
        good.passes();
        valid += 1;
        let before = (hostile, missed.len());
        for (what, change) in CONTAINER.iter().chain(MEANING) {
            let mut bad = good.clone();
            change(&mut bad, name);
            let bytes = bad.bytes();
            let report = lint(&bytes[..], bytes.len() as u64, Depth::Full);
            hostile += 1;
            match report.first_refusal() {
                Some(finding) => *by_rule.entry(format!("{:?}", finding.rule)).or_default() += 1,
                None => missed.push(format!("{name}: {what}")),
            }
        }
        // Not the header's fault: weights that are not finite, padding that hides something, a file that is cut.
        let bytes = good.bytes();
        for (at, value) in
            [(good.data_start(), [0, 0, 0x80, 0x7f]), (good.data_start() + 32, [1, 0, 0xc0, 0xff])]
        {
            let mut bad = bytes.clone();
            bad[at..at + 4].copy_from_slice(&value);
            hostile += 1;
            if lint(&bad[..], bad.len() as u64, Depth::Full).verdict != Verdict::Refuse {
                missed.push(format!("{name}: not finite at {at}"));
            }
        }
        let cut = bytes.get(..bytes.len() - 64).unwrap();
        hostile += 1;
        if lint(cut, cut.len() as u64, Depth::Header).verdict != Verdict::Refuse {
            missed.push(format!("{name}: cut"));
        }
        println!("{name:<16} {:>8} {:>7} {:>6}", hostile - before.0, missed.len() - before.1, 1);
    }
    println!(
        "gguf corpus: {hostile} hostile, {} missed; {valid} valid families passed; first rule: {by_rule:?}",
        missed.len()
    );
    assert!(missed.is_empty(), "{missed:#?}");
    assert!(CONTAINER.len() + MEANING.len() >= 80);
}

#[test]
fn every_refusal_says_what_and_nearly_every_one_says_where() {
    let (mut told, mut placed) = (0, 0);
    for (_, change) in CONTAINER.iter().chain(MEANING) {
        let mut bad = Gguf::family("llama", 8, 2);
        change(&mut bad, "llama");
        for finding in bad.lint().findings.iter().filter(|finding| finding.severity == Severity::Refuse) {
            assert!(finding.message.len() > 10, "{finding:?}");
            told += 1;
            // What is missing has no place, nor has a number that follows from others.
            placed += usize::from(finding.offset.is_some() || finding.message.contains("missing"));
        }
    }
    assert!(told - placed <= 2, "{placed} of {told}");
}
