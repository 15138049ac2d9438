//! Writes an encoder of a few kilobytes: real shapes of BERT, weights of no meaning.

use crate::gguf::{Gguf, text};

const WIDTH: u64 = 16;
const INNER: u64 = 32;
const CONTEXT: u64 = 128;

/// What llama.cpp calls `LLAMA_POOLING_TYPE_…`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    Mean = 1,
    Cls = 2,
    Last = 3,
    Rank = 4,
}

/// A file that goes when it is dropped.
pub fn encoder(pooling: Pooling) -> tempfile::NamedTempFile {
    let mut gguf = Gguf::default();
    gguf.word("general.architecture", "bert");
    for (key, value) in [
        ("context_length", CONTEXT),
        ("embedding_length", WIDTH),
        ("block_count", 1),
        ("feed_forward_length", INNER),
        ("attention.head_count", 2),
        ("pooling_type", pooling as u64),
    ] {
        gguf.number(&format!("bert.{key}"), value);
    }
    gguf.entry("bert.attention.layer_norm_epsilon", 6, &1e-5_f32.to_le_bytes());
    gguf.entry("bert.attention.causal", 7, &[0]);
    let tokens = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "\u{2581}list",
        "\u{2581}all",
        "\u{2581}orders",
        "\u{2581}digits",
    ];
    let mut texts = Vec::new();
    tokens.iter().for_each(|token| text(&mut texts, token));
    gguf.word("tokenizer.ggml.model", "bert");
    gguf.array("tokenizer.ggml.tokens", 8, tokens.len(), &texts);
    let kinds = [3_i32, 2, 3, 3, 1, 1, 1, 1].map(i32::to_le_bytes).concat();
    gguf.array("tokenizer.ggml.token_type", 5, tokens.len(), &kinds);
    gguf.number("tokenizer.ggml.token_type_count", 2);
    for (name, id) in [("padding", 0), ("unknown", 1), ("cls", 2), ("bos", 2), ("seperator", 3), ("mask", 1)]
    {
        gguf.number(&format!("tokenizer.ggml.{name}_token_id"), id);
    }
    tensors(&mut gguf, tokens.len() as u64, pooling);
    gguf.file()
}

fn tensors(gguf: &mut Gguf, vocabulary: u64, pooling: Pooling) {
    gguf.tensor("token_embd.weight", &[WIDTH, vocabulary], false);
    gguf.tensor("token_types.weight", &[WIDTH, 2], false);
    gguf.tensor("position_embd.weight", &[WIDTH, CONTEXT], false);
    gguf.tensor("token_embd_norm.weight", &[WIDTH], true);
    gguf.tensor("token_embd_norm.bias", &[WIDTH], false);
    for (name, shape) in [
        ("attn_q", [WIDTH, WIDTH]),
        ("attn_k", [WIDTH, WIDTH]),
        ("attn_v", [WIDTH, WIDTH]),
        ("attn_output", [WIDTH, WIDTH]),
        ("ffn_up", [WIDTH, INNER]),
        ("ffn_down", [INNER, WIDTH]),
    ] {
        gguf.tensor(&format!("blk.0.{name}.weight"), &shape, false);
        gguf.tensor(&format!("blk.0.{name}.bias"), &shape[1..], false);
    }
    for name in ["attn_output_norm", "layer_output_norm"] {
        gguf.tensor(&format!("blk.0.{name}.weight"), &[WIDTH], true);
        gguf.tensor(&format!("blk.0.{name}.bias"), &[WIDTH], false);
    }
    if pooling == Pooling::Rank {
        gguf.tensor("cls.weight", &[WIDTH, WIDTH], false);
        gguf.tensor("cls.bias", &[WIDTH], false);
        gguf.tensor("cls.output.weight", &[WIDTH, 1], false);
        gguf.tensor("cls.output.bias", &[1], false);
    }
}
