//! The architectures people use, each with the tensors that its loader asks for and the formula of each shape.
//!
//! The tables follow the loader of the llama.cpp that croft-worker links: what it does not create it refuses to load,
//! so a name that is not here is refused as well.

/// A dimension, as the hyperparameters give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dim {
    /// `embedding_length`.
    Embd,
    /// Heads times the length of a key.
    Q,
    /// Key-value heads times the length of a key.
    K,
    /// Key-value heads times the length of a value.
    V,
    /// Those three together.
    Qkv,
    /// The length of a key.
    HeadK,
    /// `feed_forward_length`.
    Ff,
    /// Twice `feed_forward_length`.
    Ff2,
    /// Tokens in the vocabulary.
    Vocab,
    /// Half of the rotated dimensions.
    RotHalf,
    /// `expert_count`.
    Experts,
    /// `context_length`.
    Context,
    /// `tokenizer.ggml.token_type_count`.
    TokenTypes,
    /// `classifier.output_labels`, or 1.
    Labels,
}

/// Whether a tensor must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Required,
    Optional,
    /// Required unless the model has experts, and forbidden if it has.
    Dense,
    /// Required if the model has experts, and forbidden otherwise.
    Expert,
    /// Query, key or value on its own: required unless they are fused, and forbidden if they are.
    Apart,
    /// Query, key and value in one.
    Fused,
}

/// One tensor: its name without `blk.N.`, its shape and its need.
pub(super) type Part = (&'static str, &'static [Dim], Need);

/// One architecture.
#[derive(Debug)]
pub(super) struct Family {
    /// As `general.architecture` spells it.
    pub name: &'static str,
    /// Tensors of the whole model.
    pub model: &'static [&'static [Part]],
    /// Tensors of each block.
    pub block: &'static [&'static [Part]],
    /// Whether the epsilon is that of the root mean square norm.
    pub rms: bool,
    /// Whether heads times key length must be the embedding's length.
    pub square: bool,
    /// Whether it rotates all of a key.
    pub rotates_all: bool,
}

use Dim::{Context, Embd, Experts, Ff, Ff2, HeadK, K, Labels, Q, Qkv, RotHalf, TokenTypes, V, Vocab};
use Need::{Apart, Dense, Expert, Fused, Optional, Required};

const EMBEDDED: &[Part] = &[("token_embd.weight", &[Embd, Vocab], Required)];
const NORMED: &[Part] = &[("output_norm.weight", &[Embd], Required)];
const HEADED: &[Part] = &[("output.weight", &[Embd, Vocab], Optional)];
const ROTATED: &[Part] = &[
    ("rope_freqs.weight", &[RotHalf], Optional),
    ("rope_factors_long.weight", &[RotHalf], Optional),
    ("rope_factors_short.weight", &[RotHalf], Optional),
];
const CLASSIFIED: &[Part] = &[("cls.output.weight", &[Embd, Labels], Optional)];
const TYPED: &[Part] = &[
    ("token_types.weight", &[Embd, TokenTypes], Optional),
    ("token_embd_norm.weight", &[Embd], Required),
    ("token_embd_norm.bias", &[Embd], Required),
];
const POOLED: &[Part] = &[
    ("position_embd.weight", &[Embd, Context], Required),
    ("cls.weight", &[Embd, Embd], Optional),
    ("cls.bias", &[Embd], Optional),
    ("cls.output.bias", &[Labels], Optional),
];

const ATTENTION: &[Part] = &[
    ("attn_q.weight", &[Embd, Q], Apart),
    ("attn_k.weight", &[Embd, K], Apart),
    ("attn_v.weight", &[Embd, V], Apart),
    ("attn_qkv.weight", &[Embd, Qkv], Fused),
    ("attn_q.bias", &[Q], Optional),
    ("attn_k.bias", &[K], Optional),
    ("attn_v.bias", &[V], Optional),
    ("attn_qkv.bias", &[Qkv], Optional),
    ("attn_output.weight", &[Q, Embd], Required),
];
const ATTENTION_OUTPUT_BIAS: &[Part] = &[("attn_output.bias", &[Embd], Optional)];
const HEAD_NORMS: &[Part] =
    &[("attn_q_norm.weight", &[HeadK], Required), ("attn_k_norm.weight", &[HeadK], Required)];
const NORMS_BEFORE: &[Part] =
    &[("attn_norm.weight", &[Embd], Required), ("ffn_norm.weight", &[Embd], Required)];
const NORMS_AFTER: &[Part] =
    &[("post_attention_norm.weight", &[Embd], Required), ("post_ffw_norm.weight", &[Embd], Required)];
const GATED: &[Part] = &[
    ("ffn_gate.weight", &[Embd, Ff], Dense),
    ("ffn_up.weight", &[Embd, Ff], Dense),
    ("ffn_down.weight", &[Ff, Embd], Dense),
];
const GATED_EXTRAS: &[Part] = &[
    ("ffn_gate.bias", &[Ff], Optional),
    ("ffn_up.bias", &[Ff], Optional),
    ("ffn_down.bias", &[Embd], Optional),
    ("ffn_gate_inp.weight", &[Embd, Experts], Expert),
    ("ffn_gate_exps.weight", &[Embd, Ff, Experts], Expert),
    ("ffn_up_exps.weight", &[Embd, Ff, Experts], Expert),
    ("ffn_down_exps.weight", &[Ff, Embd, Experts], Expert),
];
const DOUBLE_GATED: &[Part] =
    &[("ffn_up.weight", &[Embd, Ff2], Required), ("ffn_down.weight", &[Ff, Embd], Required)];
const BIASED: &[Part] = &[
    ("attn_norm.bias", &[Embd], Required),
    ("attn_output.bias", &[Embd], Required),
    ("ffn_norm.bias", &[Embd], Required),
    ("ffn_up.weight", &[Embd, Ff], Required),
    ("ffn_up.bias", &[Ff], Required),
    ("ffn_down.weight", &[Ff, Embd], Required),
    ("ffn_down.bias", &[Embd], Required),
];
const ENCODER: &[Part] = &[
    ("attn_output.bias", &[Embd], Optional),
    ("attn_output_norm.weight", &[Embd], Required),
    ("attn_output_norm.bias", &[Embd], Required),
    ("ffn_up.weight", &[Embd, Ff], Required),
    ("ffn_up.bias", &[Ff], Optional),
    ("ffn_down.weight", &[Ff, Embd], Required),
    ("ffn_down.bias", &[Embd], Optional),
    ("layer_output_norm.weight", &[Embd], Required),
    ("layer_output_norm.bias", &[Embd], Required),
];

const GEMMA3: &[&[Part]] = &[ATTENTION, HEAD_NORMS, NORMS_BEFORE, NORMS_AFTER, GATED];

/// What is accepted without a policy. CodeLlama and most of Mistral call themselves `llama`, Phi-4 `phi3`.
pub(super) const FAMILIES: &[Family] = &[
    Family {
        name: "llama",
        model: &[EMBEDDED, NORMED, HEADED, ROTATED],
        block: &[ATTENTION, ATTENTION_OUTPUT_BIAS, NORMS_BEFORE, GATED, GATED_EXTRAS],
        rms: true,
        square: false,
        rotates_all: true,
    },
    // Mistral's own checkpoints since 2025, and Ministral: the same tensors, another temperature of the attention.
    Family {
        name: "mistral3",
        model: &[EMBEDDED, NORMED, HEADED, ROTATED],
        block: &[ATTENTION, ATTENTION_OUTPUT_BIAS, NORMS_BEFORE, GATED, GATED_EXTRAS],
        rms: true,
        square: false,
        rotates_all: true,
    },
    Family {
        name: "qwen2",
        model: &[EMBEDDED, NORMED, HEADED, &[("output.bias", &[Vocab], Optional)]],
        block: &[ATTENTION, NORMS_BEFORE, GATED],
        rms: true,
        square: true,
        rotates_all: true,
    },
    Family {
        name: "qwen3",
        model: &[EMBEDDED, NORMED, HEADED, CLASSIFIED],
        block: &[ATTENTION, HEAD_NORMS, NORMS_BEFORE, GATED],
        rms: true,
        square: false,
        rotates_all: true,
    },
    Family {
        name: "phi3",
        model: &[EMBEDDED, NORMED, HEADED, ROTATED],
        block: &[ATTENTION, NORMS_BEFORE, DOUBLE_GATED],
        rms: true,
        square: true,
        rotates_all: false,
    },
    Family {
        name: "gemma",
        model: &[EMBEDDED, NORMED],
        block: &[ATTENTION, NORMS_BEFORE, GATED],
        rms: true,
        square: false,
        rotates_all: true,
    },
    Family {
        name: "gemma2",
        model: &[EMBEDDED, NORMED],
        block: &[ATTENTION, NORMS_BEFORE, NORMS_AFTER, GATED],
        rms: true,
        square: false,
        rotates_all: true,
    },
    Family {
        name: "gemma3",
        model: &[EMBEDDED, NORMED, HEADED],
        block: GEMMA3,
        rms: true,
        square: false,
        rotates_all: true,
    },
    Family {
        name: "gemma-embedding",
        model: &[EMBEDDED, NORMED, HEADED],
        block: GEMMA3,
        rms: true,
        square: false,
        rotates_all: true,
    },
    Family {
        name: "starcoder2",
        model: &[EMBEDDED, NORMED, HEADED, &[("output_norm.bias", &[Embd], Required)]],
        block: &[ATTENTION, NORMS_BEFORE, BIASED],
        rms: false,
        square: true,
        rotates_all: false,
    },
    Family {
        name: "bert",
        model: &[EMBEDDED, TYPED, POOLED, CLASSIFIED],
        block: &[ATTENTION, ENCODER],
        rms: false,
        square: true,
        rotates_all: false,
    },
    Family {
        name: "nomic-bert",
        model: &[EMBEDDED, TYPED],
        block: &[ATTENTION, ENCODER, &[("ffn_gate.weight", &[Embd, Ff], Required)]],
        rms: false,
        square: true,
        rotates_all: false,
    },
];

/// The family of an architecture.
pub(super) fn find(name: &str) -> Option<&'static Family> {
    FAMILIES.iter().find(|family| family.name == name)
}
