//! A model that was built to edit: it gives back the text at the end of its prompt, token by token, with one token changed.
//!
//! No weight of it was trained. The heads of its first layer look back by a fixed number of tokens (constant queries and
//! keys, turned against each other by their positions), carry over what stands there, and the output matrix says it; the two
//! rows of the changed token are swapped in it. The other layers add nothing and cost as much as anybody's.

use std::collections::BTreeSet;

use croft_worker::engine::load::{self, Extent};
use croft_worker::engine::text::Vocabulary;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::token::LlamaToken;
use tempfile::NamedTempFile;

use crate::gguf::{Gguf, kind, text};

/// Numbers in a head; the two first dimensions of each token's code fill two of them.
const HEAD: usize = 64;
/// Numbers that tell tokens apart.
const CODE: usize = 2 * HEAD;
/// How fast the slowest pair of a head turns: low, so that neighbors differ enough.
const ROPE_BASE: f32 = 100.0;
/// How sharply a head looks at one place: its neighbor gets e^-20 of the weight.
const SHARPNESS: f32 = 9.0;
/// Unknown, begin, end, and a token for every byte.
const RESERVED: usize = 3 + 256;

/// How large a model is.
#[derive(Clone, Copy)]
pub struct Shape {
    /// Numbers that go from layer to layer: those of all heads, of which there are four at least.
    pub width: usize,
    pub layers: usize,
    pub heads: usize,
    pub inner: usize,
    /// Tokens; filled up with some that nobody uses.
    pub vocabulary: usize,
    pub context: usize,
}

/// A request to change one word in a text, and a model that does so.
pub struct Edit {
    pub model: NamedTempFile,
    pub prompt: String,
    pub answer: String,
    pub answer_tokens: u32,
}

impl Edit {
    /// Changes the first token of `text` that is a word of some length and occurs once.
    pub fn of(backend: &LlamaBackend, shape: Shape, text: &str) -> Self {
        let prompt = format!("Give this file back with one change.\n{text}");
        let copier = Copier::new(shape, &prompt);
        let file = copier.vocabulary().into_file();
        let model = load::load(backend, vec![file], Extent::Vocabulary, |_| true).expect("a vocabulary");
        let vocabulary = Vocabulary::new(model.vocab());
        let tokens = vocabulary.raw(&prompt);
        let before = tokens.len() - vocabulary.raw(text).len() + 1;
        let shown = |token: LlamaToken| String::from_utf8(vocabulary.piece(token)).unwrap_or_default();
        let changes = |token: &LlamaToken| {
            let once = tokens.iter().filter(|other| *other == token).count() == 1;
            once && shown(*token).chars().filter(char::is_ascii_alphabetic).count() >= 5
        };
        let half = before + (tokens.len() - before) / 2;
        let at = half + tokens[half..].iter().position(changes).expect("a word that occurs once");
        let old = usize::try_from(tokens[at].0).expect("a token");
        let new = copier.unused();
        let new_text = shown(LlamaToken(i32::try_from(new).expect("a token")));
        let said = |range: &[LlamaToken]| range.iter().map(|token| shown(*token)).collect::<String>();
        Self {
            model: copier.model(tokens.len() - before - 1, (old, new)),
            answer: format!("{}{new_text}{}", said(&tokens[before..at]), said(&tokens[at + 1..])),
            answer_tokens: u32::try_from(tokens.len() - before).expect("a short text"),
            prompt,
        }
    }
}

/// A model for one text.
struct Copier {
    shape: Shape,
    pieces: Vec<String>,
}

impl Copier {
    /// Knows the words of `text`.
    fn new(shape: Shape, text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut known = BTreeSet::new();
        let mut grown = String::new();
        for character in text.chars() {
            let ends = grown.chars().last();
            let goes_on = match character {
                'a'..='z' | 'A'..='Z' | '0'..='9' | '_' => {
                    ends.is_some_and(|last| last.is_ascii_alphanumeric() || last == '_' || last == '\u{2581}')
                }
                ' ' => ends == Some('\u{2581}'),
                _ => false,
            };
            if !goes_on {
                grown.clear();
            }
            grown.push(if character == ' ' { '\u{2581}' } else { character });
            if known.insert(grown.clone()) {
                pieces.push(grown.clone());
            }
        }
        // Shorter ones are joined first.
        pieces.sort_by_key(|piece| piece.chars().count());
        let unused = shape.vocabulary.checked_sub(RESERVED + pieces.len()).expect("a larger vocabulary");
        pieces.extend((0..unused).map(|number| format!("\u{2581}unused{number}")));
        Self { shape, pieces }
    }

    /// A token that is in no text.
    fn unused(&self) -> usize {
        self.shape.vocabulary - 1
    }

    /// The file without any weight that matters.
    fn vocabulary(&self) -> NamedTempFile {
        let mut gguf = self.head();
        gguf.tensor("output_norm.weight", &[self.shape.width as u64], true);
        gguf.file()
    }

    /// The whole file: what it says is what stands `back` tokens before, where the tokens of `swapped` stand for each other.
    fn model(&self, back: usize, swapped: (usize, usize)) -> NamedTempFile {
        let mut gguf = self.head();
        let Shape { width, layers, heads, inner, vocabulary, .. } = self.shape;
        let code = |token: usize, number: usize| (bits(token as u64, number) & 1) as f32 * 2.0 - 1.0;
        let row = |from: usize, token: usize, at: usize| {
            if (from..from + CODE).contains(&at) { code(token, at - from) } else { 0.0 }
        };
        q8(&mut gguf, "token_embd.weight", width, vocabulary, |at, token| row(0, token, at));
        q8(&mut gguf, "output.weight", width, vocabulary, |at, token| {
            let token = match token {
                token if token == swapped.0 => swapped.1,
                token if token == swapped.1 => swapped.0,
                token => token,
            };
            row(CODE, token, at)
        });
        gguf.tensor("output_norm.weight", &[width as u64], true);
        let second = heads / 2;
        for layer in 0..layers {
            let name = |part: &str| format!("blk.{layer}.{part}");
            gguf.tensor(&name("attn_norm.weight"), &[width as u64], true);
            gguf.tensor(&name("ffn_norm.weight"), &[width as u64], true);
            noise(&mut gguf, &name("attn_q.weight"), width, heads * HEAD, 0.0);
            noise(&mut gguf, &name("attn_k.weight"), width, CODE, 0.0);
            biases(&mut gguf, &name("attn_q.bias"), heads, 0);
            biases(&mut gguf, &name("attn_k.bias"), 2, back);
            gguf.given(&name("attn_v.bias"), &[CODE as u64], kind::F32, &[0; CODE * 4]);
            q4(&mut gguf, &name("attn_v.weight"), width, CODE, |at, row| at == row);
            // The first head of each of the two groups is heard, in the first layer.
            q4(&mut gguf, &name("attn_output.weight"), heads * HEAD, width, |at, row| {
                let number = if at < HEAD { Some(at) } else { at.checked_sub((second - 1) * HEAD) };
                layer == 0 && (at < HEAD || at / HEAD == second) && number.is_some_and(|n| n + CODE == row)
            });
            noise(&mut gguf, &name("ffn_gate.weight"), width, inner, 0.01);
            noise(&mut gguf, &name("ffn_up.weight"), width, inner, 0.01);
            noise(&mut gguf, &name("ffn_down.weight"), inner, width, 0.0);
        }
        gguf.file()
    }

    fn head(&self) -> Gguf {
        let Shape { width, layers, heads, inner, vocabulary, context } = self.shape;
        let mut gguf = Gguf::default();
        gguf.word("general.architecture", "qwen2");
        for (key, value) in [
            ("context_length", context),
            ("embedding_length", width),
            ("block_count", layers),
            ("feed_forward_length", inner),
            ("attention.head_count", heads),
            ("attention.head_count_kv", 2),
            ("attention.key_length", HEAD),
            ("attention.value_length", HEAD),
            ("vocab_size", vocabulary),
        ] {
            gguf.number(&format!("qwen2.{key}"), value as u64);
        }
        gguf.entry("qwen2.attention.layer_norm_rms_epsilon", 6, &1e-6_f32.to_le_bytes());
        gguf.entry("qwen2.rope.freq_base", 6, &ROPE_BASE.to_le_bytes());
        let reserved = ["<unk>", "<s>", "</s>"].map(str::to_owned).into_iter();
        let bytes = (0..256).map(|byte| format!("<0x{byte:02X}>"));
        let mut texts = Vec::new();
        reserved.chain(bytes).chain(self.pieces.iter().cloned()).for_each(|one| text(&mut texts, &one));
        let score = |token: usize| -(token as f32);
        let scores: Vec<u8> = (0..vocabulary).flat_map(|token| score(token).to_le_bytes()).collect();
        let of = |token| match token {
            0 => 2_i32,
            1 | 2 => 3,
            token if token < RESERVED => 6,
            _ => 1,
        };
        let kinds: Vec<u8> = (0..vocabulary).flat_map(|token| of(token).to_le_bytes()).collect();
        gguf.word("tokenizer.ggml.model", "llama");
        gguf.array("tokenizer.ggml.tokens", 8, vocabulary, &texts);
        gguf.array("tokenizer.ggml.scores", 6, vocabulary, &scores);
        gguf.array("tokenizer.ggml.token_type", 5, vocabulary, &kinds);
        for (name, token) in [("unknown", 0), ("bos", 1), ("eos", 2)] {
            gguf.number(&format!("tokenizer.ggml.{name}_token_id"), token);
        }
        gguf.entry("tokenizer.ggml.add_bos_token", 7, &[1]);
        gguf.entry("tokenizer.ggml.add_space_prefix", 7, &[0]);
        gguf
    }
}

/// Constant queries, or keys turned by `back` positions. Pairs of a head are half of it apart.
fn biases(gguf: &mut Gguf, name: &str, heads: usize, back: usize) {
    let pair = |index: usize| ROPE_BASE.powf(-2.0 * index as f32 / HEAD as f32) * back as f32;
    let number = |at: usize| {
        let angle = pair(at % (HEAD / 2));
        SHARPNESS * if at < HEAD / 2 { angle.cos() } else { angle.sin() }
    };
    let data: Vec<u8> = (0..heads * HEAD).flat_map(|at| number(at % HEAD).to_le_bytes()).collect();
    gguf.given(name, &[(heads * HEAD) as u64], kind::F32, &data);
}

/// Small whole numbers.
fn q8(gguf: &mut Gguf, name: &str, columns: usize, rows: usize, value: impl Fn(usize, usize) -> f32) {
    let mut data = Vec::with_capacity(columns * rows / 32 * 34);
    for row in 0..rows {
        for block in (0..columns).step_by(32) {
            data.extend(ONE);
            data.extend((block..block + 32).flat_map(|at| (value(at, row) as i8).to_le_bytes()));
        }
    }
    gguf.given(name, &[columns as u64, rows as u64], kind::Q8_0, &data);
}

/// Ones and zeros.
fn q4(gguf: &mut Gguf, name: &str, columns: usize, rows: usize, one: impl Fn(usize, usize) -> bool) {
    let mut data = Vec::with_capacity(columns * rows / 32 * 18);
    for row in 0..rows {
        for block in (0..columns).step_by(32) {
            let nibble = |at: usize| 8 + u8::from(one(block + at, row));
            data.extend(ONE);
            data.extend((0..16).map(|at| nibble(at) | nibble(at + 16) << 4));
        }
    }
    gguf.given(name, &[columns as u64, rows as u64], kind::Q4_0, &data);
}

/// Random numbers, or as many zeros.
fn noise(gguf: &mut Gguf, name: &str, columns: usize, rows: usize, scale: f32) {
    let scale: [u8; 2] = if scale == 0.0 { [0, 0] } else { SMALL };
    let mut data = Vec::with_capacity(columns * rows / 32 * 18);
    for block in 0..columns * rows / 32 {
        data.extend(scale);
        let (low, high) = (bits(block as u64, 1), bits(block as u64, 2));
        data.extend(low.to_le_bytes());
        data.extend(high.to_le_bytes());
    }
    gguf.given(name, &[columns as u64, rows as u64], kind::Q4_0, &data);
}

/// Half-precision 1.
const ONE: [u8; 2] = 0x3C00_u16.to_le_bytes();
/// Half-precision 2^-7.
const SMALL: [u8; 2] = 0x2000_u16.to_le_bytes();

/// The finalizer of splitmix64 over a pair of numbers.
fn bits(first: u64, second: usize) -> u64 {
    let mut bits = first
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add((second as u64).wrapping_mul(0x632b_e59b_d9b4_e019));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
