//! Writes an encoder of a few kilobytes: real shapes of BERT, weights of no meaning.

use std::io::Write as _;

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

#[derive(Default)]
struct Gguf {
    entries: Vec<u8>,
    entry_count: u64,
    infos: Vec<u8>,
    data: Vec<u8>,
    tensor_count: u64,
    seed: u32,
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

impl Gguf {
    fn entry(&mut self, key: &str, kind: u32, value: &[u8]) {
        text(&mut self.entries, key);
        self.entries.extend(kind.to_le_bytes());
        self.entries.extend(value);
        self.entry_count += 1;
    }

    fn number(&mut self, key: &str, value: u64) {
        self.entry(key, 4, &u32::try_from(value).expect("a small number").to_le_bytes());
    }

    fn word(&mut self, key: &str, value: &str) {
        let mut bytes = Vec::new();
        text(&mut bytes, value);
        self.entry(key, 8, &bytes);
    }

    fn array(&mut self, key: &str, kind: u32, count: usize, elements: &[u8]) {
        let mut bytes = kind.to_le_bytes().to_vec();
        bytes.extend((count as u64).to_le_bytes());
        bytes.extend(elements);
        self.entry(key, 9, &bytes);
    }

    /// Single-precision numbers between -0.5 and 0.5, or ones where `ones`.
    fn tensor(&mut self, name: &str, shape: &[u64], ones: bool) {
        text(&mut self.infos, name);
        self.infos.extend((shape.len() as u32).to_le_bytes());
        self.infos.extend(shape.iter().flat_map(|dimension| dimension.to_le_bytes()));
        self.infos.extend(0_u32.to_le_bytes());
        self.infos.extend((self.data.len() as u64).to_le_bytes());
        for _ in 0..shape.iter().product::<u64>() {
            self.seed = self.seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let number = if ones { 1.0 } else { (self.seed >> 8) as f32 / (1 << 24) as f32 - 0.5 };
            self.data.extend(number.to_le_bytes());
        }
        self.data.resize(self.data.len().next_multiple_of(32), 0);
        self.tensor_count += 1;
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(3_u32.to_le_bytes());
        out.extend(self.tensor_count.to_le_bytes());
        out.extend(self.entry_count.to_le_bytes());
        out.extend(&self.entries);
        out.extend(&self.infos);
        out.resize(out.len().next_multiple_of(32), 0);
        out.extend(&self.data);
        out
    }
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
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(&gguf.bytes()).expect("written");
    file
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
