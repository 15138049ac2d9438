//! Valid models of every family, and rule S04: what their tensors must be.

use croft_vetting::gguf::{Depth, lint, lint_under};
use croft_vetting::policy::Policy;
use croft_vetting::report::{Rule, Severity};

use crate::builder::*;

/// Each with its epsilon's key.
pub const FAMILIES: &[&str] = &[
    "llama",
    "mistral3",
    "qwen2",
    "qwen3",
    "phi3",
    "gemma",
    "gemma2",
    "gemma3",
    "gemma-embedding",
    "starcoder2",
    "bert",
    "nomic-bert",
];

const HEADS: u64 = 4;
const KV_HEADS: u64 = 2;
const TOKENS: [&str; 7] = ["<unk>", "<s>", "</s>", "a", "b", "ab", "<0x0A>"];

fn u(value: u64) -> Vec<u8> {
    u32::try_from(value).expect("small").to_le_bytes().to_vec()
}

impl Gguf {
    /// A small model of a family that passes: so wide, with so many blocks.
    pub fn family(name: &str, width: u64, blocks: u64) -> Self {
        let mut file = Self::empty();
        let gemma = name.starts_with("gemma");
        // Gemma's heads are wider than the embedding divided by them.
        let head = if gemma { width } else { width / HEADS };
        file.metadata(name, width, blocks, head);
        let vocabulary = TOKENS.len() as u64;
        file.put("token_embd.weight", &[width, vocabulary]);
        for block in 0..blocks {
            for (part, dimensions) in block_tensors(name, width, head) {
                file.put(&format!("blk.{block}.{part}"), &dimensions);
            }
        }
        match name {
            "bert" | "nomic-bert" => {
                file.put("token_embd_norm.weight", &[width]);
                file.put("token_embd_norm.bias", &[width]);
                file.put("token_types.weight", &[width, 2]);
                if name == "bert" {
                    file.put("position_embd.weight", &[width, 128]);
                }
            }
            "starcoder2" => {
                file.put("output_norm.weight", &[width]);
                file.put("output_norm.bias", &[width]);
            }
            _ => file.put("output_norm.weight", &[width]),
        }
        if matches!(name, "llama" | "mistral3" | "qwen3" | "phi3") {
            file.put("output.weight", &[width, vocabulary]);
        }
        if name == "llama" {
            // Not a multiple of the alignment, so that padding follows it.
            file.put("blk.0.attn_k.bias", &[KV_HEADS * head]);
        }
        file
    }

    fn put(&mut self, name: &str, dimensions: &[u64]) {
        self.tensors.push(tensor(name, dimensions));
    }

    fn metadata(&mut self, name: &str, width: u64, blocks: u64, head: u64) {
        let f = |value: f32| value.to_le_bytes().to_vec();
        let own = |key: &str| format!("{name}.{key}");
        self.set("general.architecture", TEXT, text(name));
        self.set("general.type", TEXT, text("model"));
        self.set("general.name", TEXT, text("tiny"));
        self.set("general.file_type", U32, u(0));
        self.set(&own("context_length"), U32, u(128));
        self.set(&own("embedding_length"), U32, u(width));
        self.set(&own("block_count"), U32, u(blocks));
        self.set(&own("feed_forward_length"), U32, u(width * 2));
        self.set(&own("attention.head_count"), U32, u(HEADS));
        let bert = name.ends_with("bert");
        if !bert {
            self.set(&own("attention.head_count_kv"), U32, u(KV_HEADS));
        }
        let plain = bert || name == "starcoder2";
        let epsilon = if plain { "layer_norm_epsilon" } else { "layer_norm_rms_epsilon" };
        self.set(&own(&format!("attention.{epsilon}")), F32, f(1e-5));
        if name != "bert" {
            self.set(&own("rope.freq_base"), F32, f(10_000.0));
        }
        if name.starts_with("gemma") {
            self.set(&own("attention.key_length"), U32, u(head));
            self.set(&own("attention.value_length"), U32, u(head));
            self.set(&own("attention.sliding_window"), U32, u(64));
        }
        if bert {
            self.set(&own("attention.causal"), BOOL, vec![0]);
            self.set(&own("pooling_type"), U32, u(1));
            self.set("tokenizer.ggml.token_type_count", U32, u(2));
        }
        self.tokenizer(name);
    }

    fn tokenizer(&mut self, name: &str) {
        let model = match name {
            "bert" | "nomic-bert" => "bert",
            "qwen2" | "qwen3" | "starcoder2" => "gpt2",
            _ => "llama",
        };
        self.set("tokenizer.ggml.model", TEXT, text(model));
        self.set("tokenizer.ggml.tokens", ARRAY, texts(&TOKENS));
        self.set("tokenizer.ggml.scores", ARRAY, array(F32, &vec![0_f32.to_le_bytes().to_vec(); 7]));
        let types = [2_i32, 3, 3, 1, 1, 1, 6].map(|kind| kind.to_le_bytes().to_vec());
        self.set("tokenizer.ggml.token_type", ARRAY, array(I32, &types));
        self.set("tokenizer.ggml.eos_token_id", U32, u(2));
        self.set("tokenizer.ggml.add_bos_token", BOOL, vec![1]);
        match model {
            "gpt2" => {
                self.set("tokenizer.ggml.bos_token_id", U32, u(1));
                self.set("tokenizer.ggml.merges", ARRAY, texts(&["a b"]));
            }
            "bert" => {
                for key in ["bos", "unknown", "seperator", "padding", "mask", "cls"] {
                    self.set(&format!("tokenizer.ggml.{key}_token_id"), U32, u(1));
                }
            }
            _ => {}
        }
        if model != "bert" {
            self.set("tokenizer.chat_template", TEXT, text("{{ messages }}\n"));
        }
    }
}

/// The tensors of a block, written down once more and apart from the lint's own table.
fn block_tensors(name: &str, e: u64, head: u64) -> Vec<(&'static str, Vec<u64>)> {
    let (q, kv, ff) = (HEADS * head, KV_HEADS * head, e * 2);
    let mut parts = match name {
        "llama" | "mistral3" | "qwen2" | "qwen3" | "gemma" | "gemma2" | "gemma3" | "gemma-embedding" => vec![
            ("attn_norm.weight", vec![e]),
            ("attn_q.weight", vec![e, q]),
            ("attn_k.weight", vec![e, kv]),
            ("attn_v.weight", vec![e, kv]),
            ("attn_output.weight", vec![q, e]),
            ("ffn_norm.weight", vec![e]),
            ("ffn_gate.weight", vec![e, ff]),
            ("ffn_up.weight", vec![e, ff]),
            ("ffn_down.weight", vec![ff, e]),
        ],
        "phi3" => vec![
            ("attn_norm.weight", vec![e]),
            ("attn_qkv.weight", vec![e, e + 2 * kv]),
            ("attn_output.weight", vec![e, e]),
            ("ffn_norm.weight", vec![e]),
            ("ffn_up.weight", vec![e, 2 * ff]),
            ("ffn_down.weight", vec![ff, e]),
        ],
        "starcoder2" => vec![
            ("attn_norm.weight", vec![e]),
            ("attn_norm.bias", vec![e]),
            ("attn_q.weight", vec![e, e]),
            ("attn_q.bias", vec![e]),
            ("attn_k.weight", vec![e, kv]),
            ("attn_k.bias", vec![kv]),
            ("attn_v.weight", vec![e, kv]),
            ("attn_v.bias", vec![kv]),
            ("attn_output.weight", vec![e, e]),
            ("attn_output.bias", vec![e]),
            ("ffn_norm.weight", vec![e]),
            ("ffn_norm.bias", vec![e]),
            ("ffn_up.weight", vec![e, ff]),
            ("ffn_up.bias", vec![ff]),
            ("ffn_down.weight", vec![ff, e]),
            ("ffn_down.bias", vec![e]),
        ],
        _ => vec![
            ("attn_q.weight", vec![e, e]),
            ("attn_k.weight", vec![e, e]),
            ("attn_v.weight", vec![e, e]),
            ("attn_output.weight", vec![e, e]),
            ("attn_output_norm.weight", vec![e]),
            ("attn_output_norm.bias", vec![e]),
            ("ffn_up.weight", vec![e, ff]),
            ("ffn_down.weight", vec![ff, e]),
            ("layer_output_norm.weight", vec![e]),
            ("layer_output_norm.bias", vec![e]),
        ],
    };
    parts.extend(family_extras(name, e, head));
    parts
}

/// What only this family has.
fn family_extras(name: &str, e: u64, head: u64) -> Vec<(&'static str, Vec<u64>)> {
    let (q, kv, ff) = (HEADS * head, KV_HEADS * head, e * 2);
    match name {
        "qwen2" => vec![("attn_q.bias", vec![q]), ("attn_k.bias", vec![kv]), ("attn_v.bias", vec![kv])],
        "qwen3" => vec![("attn_q_norm.weight", vec![head]), ("attn_k_norm.weight", vec![head])],
        "gemma2" => vec![("post_attention_norm.weight", vec![e]), ("post_ffw_norm.weight", vec![e])],
        "gemma3" | "gemma-embedding" => vec![
            ("post_attention_norm.weight", vec![e]),
            ("post_ffw_norm.weight", vec![e]),
            ("attn_q_norm.weight", vec![head]),
            ("attn_k_norm.weight", vec![head]),
        ],
        "bert" => vec![("attn_q.bias", vec![e]), ("ffn_up.bias", vec![ff])],
        "nomic-bert" => vec![("ffn_gate.weight", vec![e, ff])],
        _ => Vec::new(),
    }
}

#[test]
fn every_family_passes_in_full_precision_and_quantized() {
    for name in FAMILIES {
        let report = Gguf::family(name, 8, 2).passes();
        assert!(report.findings.is_empty(), "{name}: {report:#?}");
        let mut file = Gguf::family(name, 128, 2);
        for place in &mut file.tensors {
            if place.dimensions.len() == 2 {
                *place = quantized(std::str::from_utf8(&place.name).unwrap(), &place.dimensions.clone());
            }
        }
        file.set("general.quantization_version", U32, u(2));
        let report = file.passes();
        assert!(report.findings.is_empty(), "{name}: {report:#?}");
    }
}

/// What converters write for models that call themselves by another's name, or have keys of their own.
#[test]
fn variants_of_the_families_pass() {
    let f = |value: f32| value.to_le_bytes().to_vec();
    // Mistral 7B with its window; CodeLlama with its marks for infill.
    let mut mistral = Gguf::family("llama", 8, 2);
    mistral.set("llama.rope.freq_base", F32, f(1e6)).set("llama.attention.sliding_window", U32, u(64));
    mistral.set("llama.vocab_size", U32, u(7)).set("llama.rope.dimension_count", U32, u(2));
    mistral.passes();
    let mut code_llama = Gguf::family("llama", 8, 2);
    for (key, id) in [("prefix", 3), ("suffix", 4), ("middle", 5), ("eot", 2)] {
        code_llama.set(&format!("tokenizer.ggml.{key}_token_id"), U32, u(id));
    }
    code_llama.set("llama.rope.freq_base", F32, f(1e6)).passes();
    let mut ministral = Gguf::family("mistral3", 8, 2);
    ministral.set("mistral3.attention.temperature_scale", F32, f(0.1));
    ministral.set("mistral3.rope.scaling.type", TEXT, text("yarn"));
    ministral.set("mistral3.rope.scaling.original_context_length", U32, u(64));
    ministral.set("mistral3.rope.scaling.yarn_beta_fast", F32, f(32.0)).passes();
    // Phi-4 has a vocabulary of GPT-2's kind and no window; the small one rotates three quarters and shares its output.
    let mut phi4 = Gguf::family("phi3", 16, 2);
    phi4.set("tokenizer.ggml.model", TEXT, text("gpt2")).set("tokenizer.ggml.pre", TEXT, text("dbrx"));
    phi4.set("tokenizer.ggml.merges", ARRAY, texts(&["a b"])).set("tokenizer.ggml.bos_token_id", U32, u(1));
    phi4.set("phi3.attention.sliding_window", U32, u(0)).passes();
    let mut small = phi4.clone();
    small.tensors.retain(|tensor| tensor.name != b"output.weight");
    small.set("phi3.rope.dimension_count", U32, u(2));
    small.set("phi3.rope.scaling.original_context_length", U32, u(64));
    small.set("phi3.rope.scaling.attn_factor", F32, f(1.19));
    small.put("rope_factors_long.weight", &[1]);
    small.put("rope_factors_short.weight", &[1]);
    small.passes();
}

/// Converters leave a last dimension of one out, or write it; llama.cpp loads both.
#[test]
fn a_dimension_of_one_may_be_absent() {
    let one_type = |dimensions: &[u64]| {
        let mut file = Gguf::family("bert", 8, 1).set("tokenizer.ggml.token_type_count", U32, u(1)).clone();
        for place in &mut file.tensors {
            if place.name == b"token_types.weight" {
                *place = tensor("token_types.weight", dimensions);
            }
        }
        file
    };
    one_type(&[8]).passes();
    one_type(&[8, 1]).passes();
    one_type(&[8, 2]).refused_by(Rule::S04);
}

#[test]
fn p2_s04_refuses_a_wrong_missing_or_left_over_tensor_of_every_family() {
    for name in FAMILIES {
        let file = Gguf::family(name, 8, 2);
        for index in 0..file.tensors.len() {
            let mut wrong = file.clone();
            let place = &mut wrong.tensors[index];
            let last = place.dimensions.len() - 1;
            place.dimensions[last] += 1;
            let dimensions = place.dimensions.clone();
            *place = tensor(std::str::from_utf8(&place.name).unwrap(), &dimensions);
            let report = wrong.refused_by(Rule::S04);
            let offset = report.first_refusal().unwrap().offset;
            assert!(offset.is_some_and(|offset| offset > 24), "{report:#?}");
            let mut left_over = file.clone();
            left_over.tensors[index].name.extend(b"x");
            left_over.refused_by(Rule::S04);
        }
        for missing in ["token_embd.weight", "blk.1.attn_output.weight", "blk.0.ffn_down.weight"] {
            let mut file = file.clone();
            file.tensors.retain(|tensor| tensor.name != missing.as_bytes());
            file.refused_by(Rule::S04);
        }
    }
}

#[test]
fn p2_s04_refuses_transposed_fused_twice_and_experts_without_number() {
    let mut file = Gguf::valid();
    let gate = file.tensors.iter_mut().find(|tensor| tensor.name == b"blk.0.ffn_gate.weight").unwrap();
    gate.dimensions.reverse();
    file.refused_by(Rule::S04);
    for (name, dimensions) in [
        ("blk.0.attn_qkv.weight", vec![8, 16]),
        ("blk.0.ffn_gate_exps.weight", vec![8, 16, 2]),
        ("output_norm.bias", vec![8]),
        ("blk.0.attn_rot_embd.weight", vec![8]),
    ] {
        let mut file = Gguf::valid();
        file.tensors.push(tensor(name, &dimensions));
        file.refused_by(Rule::S04);
    }
}

#[test]
fn p2_s04_refuses_types_that_no_kernel_takes() {
    // Integers as weights, a quantized norm.
    let mut file = Gguf::valid();
    file.tensors[0].kind = 26;
    file.refused_by(Rule::S04);
    let mut file = Gguf::family("llama", 32, 1);
    file.set("general.quantization_version", U32, u(2));
    file.tensors[1] = quantized("blk.0.attn_norm.weight", &[32]);
    file.refused_by(Rule::S04);
}

#[test]
fn a_mixture_of_experts_passes() {
    let mut file = Gguf::valid();
    file.tensors
        .retain(|tensor| !tensor.name.starts_with(b"blk.0.ffn_") || tensor.name.ends_with(b"norm.weight"));
    file.set("llama.expert_count", U32, u(2)).set("llama.expert_used_count", U32, u(1));
    file.put("blk.0.ffn_gate_inp.weight", &[8, 2]);
    file.put("blk.0.ffn_gate_exps.weight", &[8, 16, 2]);
    file.put("blk.0.ffn_up_exps.weight", &[8, 16, 2]);
    file.put("blk.0.ffn_down_exps.weight", &[16, 8, 2]);
    assert!(file.passes().findings.is_empty());
    file.set("llama.expert_used_count", U32, u(0)).refused_by(Rule::S03);
}

#[test]
fn p2_s01_an_unknown_architecture_names_the_way_and_a_policy_opens_it() {
    let mut file = Gguf::valid();
    for (key, _, _) in &mut file.entries {
        if let Some(rest) = key.strip_prefix(b"llama.") {
            *key = [b"falcon.", rest].concat();
        }
    }
    let report = file.set("general.architecture", TEXT, text("falcon")).refused_by(Rule::S01);
    let message = &report.first_refusal().unwrap().message;
    assert!(message.contains("Choose a model of one of them"), "{message}");
    let bytes = file.bytes();
    let under = |policy: &Policy| lint_under(&bytes[..], bytes.len() as u64, Depth::Full, policy);
    let allowed = under(&Policy::default().with_architectures(["falcon"]));
    assert!(allowed.passed(), "{allowed:#?}");
    assert!(allowed.findings.iter().any(|f| f.rule == Rule::S04 && f.severity == Severity::Warning));
    assert!(!under(&Policy::default().with_architectures(["falco", "FALCON", "falcon "])).passed());
    // The rest of the rules hold all the same.
    let bytes = file.set("falcon.block_count", U32, u(3)).bytes();
    let policy = Policy::default().with_architectures(["falcon"]);
    assert!(!lint_under(&bytes[..], bytes.len() as u64, Depth::Full, &policy).passed());
    assert!(!lint(&bytes[..], bytes.len() as u64, Depth::Full).passed());
}

#[test]
fn p2_s03_refuses_heads_that_do_not_fit_the_family() {
    let refused = |name: &str, key: &str, value: u64| {
        Gguf::family(name, 8, 1).set(&format!("{name}.{key}"), U32, u(value)).refused_by(Rule::S03);
    };
    refused("qwen2", "attention.key_length", 4);
    refused("llama", "attention.value_length", 4);
    refused("llama", "rope.dimension_count", 4);
    refused("phi3", "rope.dimension_count", 1);
    refused("llama", "vocab_size", 8);
    refused("bert", "pooling_type", 5);
    Gguf::family("llama", 8, 1).set("llama.vocab_size", U32, u(7)).passes();
    Gguf::family("llama", 8, 1).set("llama.rope.dimension_count", U32, u(2)).passes();
    Gguf::family("bert", 8, 1).remove("tokenizer.ggml.token_type_count").refused_by(Rule::S03);
    Gguf::family("bert", 8, 1).remove("bert.attention.layer_norm_epsilon").refused_by(Rule::S03);
}
