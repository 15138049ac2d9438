//! Tiny models with random weights and the vocabularies that families of models have, made here byte by byte.

use std::io::Write as _;

use tempfile::NamedTempFile;

const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const BYTE: i32 = 6;
const EMBEDDING: u64 = 32;
const FEED_FORWARD: u64 = 32;

/// One style: how texts are cut into tokens, and which tokens control.
pub struct Style {
    pub name: &'static str,
    /// `gpt2` (byte-level pairs) or `llama` (SentencePiece).
    pub tokenizer: &'static str,
    /// How texts are cut before pairs are merged.
    pub pre: &'static str,
    pub controls: &'static [&'static str],
    pub begin: &'static str,
    pub end: &'static str,
    pub end_of_turn: &'static str,
    /// Prefix, suffix and middle marks, if it has them.
    pub infill: Option<[&'static str; 3]>,
    pub template: &'static str,
}

/// Qwen and others.
pub const CHATML: Style = Style {
    name: "chatml",
    tokenizer: "gpt2",
    pre: "qwen2",
    controls: &[
        "<|endoftext|>",
        "<|im_start|>",
        "<|im_end|>",
        "<|fim_prefix|>",
        "<|fim_suffix|>",
        "<|fim_middle|>",
        "<tool_call>",
    ],
    begin: "",
    end: "<|endoftext|>",
    end_of_turn: "<|im_end|>",
    infill: Some(["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"]),
    template: include_str!("../../../e2e/tests/clients/tools.jinja"),
};

pub const LLAMA3: Style = Style {
    name: "llama3",
    tokenizer: "gpt2",
    pre: "llama-bpe",
    controls: &[
        "<|begin_of_text|>",
        "<|end_of_text|>",
        "<|start_header_id|>",
        "<|end_header_id|>",
        "<|eot_id|>",
        "<|eom_id|>",
        "<|python_tag|>",
    ],
    begin: "<|begin_of_text|>",
    end: "<|end_of_text|>",
    end_of_turn: "<|eot_id|>",
    infill: None,
    template: "{{- bos_token }}{%- if tools is defined and tools %}{{- '<|start_header_id|>system<|end_header_id|>\\n\\n' }}\
        {%- for tool in tools %}{{- tool | tojson }}{{- '\\n' }}{%- endfor %}{{- '<|eot_id|>' }}{%- endif %}\
        {%- for message in messages %}{{- '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' }}\
        {%- if message.tool_calls %}{%- for call in message.tool_calls %}\
        {{- '{\"name\": \"' + call.function.name + '\", \"parameters\": ' }}{{- call.function.arguments | tojson }}{{- '}' }}{%- endfor %}\
        {%- else %}{{- message.content | trim }}{%- endif %}{{- '<|eot_id|>' }}{%- endfor %}\
        {%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}",
};

pub const GEMMA: Style = Style {
    name: "gemma",
    tokenizer: "llama",
    pre: "default",
    controls: &["<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>", "<unused99>"],
    begin: "<bos>",
    end: "<eos>",
    end_of_turn: "<end_of_turn>",
    infill: None,
    template: "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set first = messages[0]['content'] + '\\n\\n' %}\
        {% set rest = messages[1:] %}{% else %}{% set first = '' %}{% set rest = messages %}{% endif %}\
        {% for message in rest %}{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else message['role']) + '\\n' \
        + (first if loop.first else '') + message['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}\
        {% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}",
};

/// Writes the style's model to a file of its own.
pub fn model(style: &Style) -> NamedTempFile {
    let tokens = vocabulary(style);
    let id =
        |text: &str| tokens.iter().position(|(token, _)| token == text).and_then(|at| u32::try_from(at).ok());
    let mut gguf = Gguf::default();
    gguf.text("general.architecture", "llama");
    for (key, value) in [
        ("llama.context_length", 2048),
        ("llama.embedding_length", 32),
        ("llama.block_count", 1),
        ("llama.feed_forward_length", 32),
        ("llama.attention.head_count", 2),
        ("llama.attention.head_count_kv", 2),
    ] {
        gguf.number(key, value);
    }
    gguf.key("llama.attention.layer_norm_rms_epsilon", 6);
    gguf.values.extend(1e-5_f32.to_le_bytes());
    gguf.text("tokenizer.ggml.model", style.tokenizer);
    gguf.text("tokenizer.ggml.pre", style.pre);
    gguf.array("tokenizer.ggml.tokens", 8, tokens.len());
    tokens.iter().for_each(|(text, _)| gguf.string(text));
    gguf.array("tokenizer.ggml.token_type", 5, tokens.len());
    tokens.iter().for_each(|(_, kind)| gguf.values.extend(kind.to_le_bytes()));
    if style.tokenizer == "llama" {
        gguf.array("tokenizer.ggml.scores", 6, tokens.len());
        tokens.iter().for_each(|_| gguf.values.extend((-1.0_f32).to_le_bytes()));
        gguf.flag("tokenizer.ggml.add_space_prefix", false);
    } else {
        gguf.array("tokenizer.ggml.merges", 8, 1);
        gguf.string("\u{120} \u{120}");
    }
    for (key, text) in
        [("bos", style.begin), ("eos", style.end), ("eot", style.end_of_turn), ("unknown", "<unk>")]
    {
        if let Some(id) = id(text) {
            gguf.number(&format!("tokenizer.ggml.{key}_token_id"), id);
        }
    }
    for (key, text) in ["pre", "suf", "mid"].into_iter().zip(style.infill.into_iter().flatten()) {
        gguf.number(&format!("tokenizer.ggml.fim_{key}_token_id"), id(text).expect("a mark"));
    }
    gguf.flag("tokenizer.ggml.add_bos_token", !style.begin.is_empty());
    // It is never to be used, so it would do harm.
    gguf.text("tokenizer.chat_template", "{% for m in messages %}{{ 'obey: ' + m.content }}{% endfor %}");
    let bytes = gguf.finish(tokens.len() as u64);
    let mut file = NamedTempFile::new().expect("a file");
    file.write_all(&bytes).expect("written");
    file
}

fn vocabulary(style: &Style) -> Vec<(String, i32)> {
    let mut tokens: Vec<(String, i32)> = Vec::new();
    if style.tokenizer == "llama" {
        tokens.push(("<unk>".to_owned(), UNKNOWN));
        tokens.extend((0..=255_u8).map(|byte| (format!("<0x{byte:02X}>"), BYTE)));
        tokens.push(("\u{2581}".to_owned(), NORMAL));
    } else {
        tokens.extend((0..=255_u8).map(|byte| (letter(byte).to_string(), NORMAL)));
        tokens.push(("\u{120}\u{120}".to_owned(), NORMAL));
    }
    tokens.extend(style.controls.iter().map(|text| ((*text).to_owned(), CONTROL)));
    tokens
}

/// The letter that stands for a byte in byte-level vocabularies: itself if it prints, else one from 256 on.
fn letter(byte: u8) -> char {
    let prints = |byte: u8| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    if prints(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|byte| !prints(*byte)).count();
    char::from_u32(256 + u32::try_from(before).expect("small")).expect("a letter")
}

#[derive(Default)]
struct Gguf {
    values: Vec<u8>,
    keys: u64,
}

impl Gguf {
    fn string(&mut self, text: &str) {
        self.values.extend((text.len() as u64).to_le_bytes());
        self.values.extend(text.as_bytes());
    }

    fn key(&mut self, key: &str, kind: u32) {
        self.keys += 1;
        self.string(key);
        self.values.extend(kind.to_le_bytes());
    }

    fn text(&mut self, key: &str, text: &str) {
        self.key(key, 8);
        self.string(text);
    }

    fn number(&mut self, key: &str, value: u32) {
        self.key(key, 4);
        self.values.extend(value.to_le_bytes());
    }

    fn flag(&mut self, key: &str, value: bool) {
        self.key(key, 7);
        self.values.push(u8::from(value));
    }

    fn array(&mut self, key: &str, kind: u32, len: usize) {
        self.key(key, 9);
        self.values.extend(kind.to_le_bytes());
        self.values.extend((len as u64).to_le_bytes());
    }

    /// The whole file, with its tensors.
    fn finish(self, tokens: u64) -> Vec<u8> {
        let weights = |name: &str, columns, rows| (name.to_owned(), vec![columns, rows]);
        let norm = |name: &str| (name.to_owned(), vec![EMBEDDING]);
        let square = |name: &str| weights(name, EMBEDDING, EMBEDDING);
        let tensors = [
            weights("token_embd.weight", EMBEDDING, tokens),
            norm("output_norm.weight"),
            weights("output.weight", EMBEDDING, tokens),
            norm("blk.0.attn_norm.weight"),
            square("blk.0.attn_q.weight"),
            square("blk.0.attn_k.weight"),
            square("blk.0.attn_v.weight"),
            square("blk.0.attn_output.weight"),
            norm("blk.0.ffn_norm.weight"),
            weights("blk.0.ffn_gate.weight", EMBEDDING, FEED_FORWARD),
            weights("blk.0.ffn_up.weight", EMBEDDING, FEED_FORWARD),
            weights("blk.0.ffn_down.weight", FEED_FORWARD, EMBEDDING),
        ];
        let mut file = b"GGUF".to_vec();
        file.extend(3_u32.to_le_bytes());
        file.extend((tensors.len() as u64).to_le_bytes());
        file.extend(self.keys.to_le_bytes());
        file.extend(self.values);
        let (mut data, mut state) = (Vec::new(), 0x9e37_79b9_7f4a_7c15_u64);
        for (name, shape) in tensors {
            file.extend((name.len() as u64).to_le_bytes());
            file.extend(name.as_bytes());
            file.extend(u32::try_from(shape.len()).expect("small").to_le_bytes());
            shape.iter().for_each(|len| file.extend(len.to_le_bytes()));
            file.extend(0_u32.to_le_bytes());
            file.extend((data.len() as u64).to_le_bytes());
            for _ in 0..shape.iter().product::<u64>() {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                // From -0.5 to 0.5; what evens out is 1.
                let random = f32::from(u16::try_from(state >> 48).expect("16 bits")) / 65536.0 - 0.5;
                let value = if shape.len() == 1 { 1.0 } else { random };
                data.extend(value.to_le_bytes());
            }
            data.resize(data.len().next_multiple_of(32), 0);
        }
        file.resize(file.len().next_multiple_of(32), 0);
        file.extend(data);
        file
    }
}
