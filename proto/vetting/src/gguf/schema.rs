//! Rule S02: known keys have their type, and unknown ones are shown. Rule S12: links are https.

use super::metadata::Metadata;
use super::value::{Kind, Value};
use crate::report::{Findings, Rule, excerpt};

/// A type that a key must have.
#[derive(Clone, Copy, Debug)]
enum Want {
    U16,
    U32,
    I32,
    F32,
    Bool,
    Text,
    Texts,
    /// An array of float32.
    F32s,
    /// An array of int32.
    I32s,
    /// An array of bytes, signed or not.
    Bytes,
    /// A uint32, or an array of uint32 or booleans, one a layer.
    Pattern,
    /// An integer of whatever width, which only tools read.
    Integer,
}

impl Want {
    const fn describe(self) -> &'static str {
        match self {
            Self::U16 => "a uint16",
            Self::U32 => "a uint32",
            Self::I32 => "an int32",
            Self::F32 => "a float32",
            Self::Bool => "a boolean",
            Self::Text => "a string",
            Self::Texts => "an array of strings",
            Self::F32s => "an array of float32",
            Self::I32s => "an array of int32",
            Self::Bytes => "an array of bytes",
            Self::Pattern => "a uint32 or an array of uint32 or booleans",
            Self::Integer => "an integer",
        }
    }

    const fn holds(self, value: &Value) -> bool {
        match (self, value) {
            (Self::U16, Value::Scalar(Kind::U16, _))
            | (Self::U32 | Self::Pattern, Value::Scalar(Kind::U32, _))
            | (Self::I32, Value::Scalar(Kind::I32, _))
            | (Self::F32, Value::Scalar(Kind::F32, _))
            | (Self::Bool, Value::Scalar(Kind::Bool, _))
            | (Self::Text, Value::Text(_))
            | (Self::Texts, Value::Texts(_))
            | (Self::F32s, Value::Numbers(Kind::F32, _))
            | (Self::I32s, Value::Numbers(Kind::I32, _))
            | (Self::Bytes, Value::Numbers(Kind::U8 | Kind::I8, _))
            | (Self::Pattern, Value::Numbers(Kind::U32 | Kind::Bool | Kind::I32, _)) => true,
            (Self::Integer, Value::Scalar(kind, _)) => !matches!(kind, Kind::F32 | Kind::F64 | Kind::Bool),
            _ => false,
        }
    }
}

/// Keys that are the same for every architecture. A `*` stands for a number.
const GLOBAL: &[(Want, &[&str])] = &[
    (
        Want::Text,
        &[
            "general.architecture",
            "general.type",
            "general.name",
            "general.author",
            "general.version",
            "general.organization",
            "general.finetune",
            "general.basename",
            "general.size_label",
            "general.description",
            "general.quantized_by",
            "general.license",
            "general.license.name",
            "general.license.link",
            "general.url",
            "general.doi",
            "general.uuid",
            "general.repo_url",
            "general.source.url",
            "general.source.doi",
            "general.source.uuid",
            "general.source.repo_url",
            "general.source.huggingface.repository",
            "general.base_model.*.name",
            "general.base_model.*.author",
            "general.base_model.*.version",
            "general.base_model.*.organization",
            "general.base_model.*.description",
            "general.base_model.*.url",
            "general.base_model.*.doi",
            "general.base_model.*.uuid",
            "general.base_model.*.repo_url",
            "general.dataset.*.name",
            "general.dataset.*.author",
            "general.dataset.*.version",
            "general.dataset.*.organization",
            "general.dataset.*.description",
            "general.dataset.*.url",
            "general.dataset.*.doi",
            "general.dataset.*.uuid",
            "general.dataset.*.repo_url",
            "general.sampling.sequence",
            "tokenizer.ggml.model",
            "tokenizer.ggml.pre",
            "tokenizer.huggingface.json",
            "tokenizer.chat_template",
            "quantize.imatrix.file",
            "quantize.imatrix.dataset",
        ],
    ),
    (
        Want::U32,
        &[
            "general.alignment",
            "general.quantization_version",
            "general.file_type",
            "general.base_model.count",
            "general.dataset.count",
            "tokenizer.ggml.token_type_count",
            "tokenizer.ggml.bos_token_id",
            "tokenizer.ggml.eos_token_id",
            "tokenizer.ggml.eot_token_id",
            "tokenizer.ggml.eom_token_id",
            "tokenizer.ggml.unknown_token_id",
            "tokenizer.ggml.seperator_token_id",
            "tokenizer.ggml.padding_token_id",
            "tokenizer.ggml.cls_token_id",
            "tokenizer.ggml.mask_token_id",
            "tokenizer.ggml.prefix_token_id",
            "tokenizer.ggml.suffix_token_id",
            "tokenizer.ggml.middle_token_id",
            "tokenizer.ggml.fim_pre_token_id",
            "tokenizer.ggml.fim_suf_token_id",
            "tokenizer.ggml.fim_mid_token_id",
            "tokenizer.ggml.fim_pad_token_id",
            "tokenizer.ggml.fim_rep_token_id",
            "tokenizer.ggml.fim_sep_token_id",
        ],
    ),
    (
        Want::Bool,
        &[
            "tokenizer.ggml.add_bos_token",
            "tokenizer.ggml.add_eos_token",
            "tokenizer.ggml.add_sep_token",
            "tokenizer.ggml.add_space_prefix",
            "tokenizer.ggml.remove_extra_whitespaces",
            "tokenizer.ggml.normalizer.lowercase",
            "tokenizer.ggml.normalizer.strip_accents",
        ],
    ),
    (
        Want::Texts,
        &[
            "general.tags",
            "general.languages",
            "general.datasets",
            "tokenizer.chat_templates",
            "tokenizer.ggml.tokens",
            "tokenizer.ggml.merges",
        ],
    ),
    (
        Want::F32,
        &[
            "general.sampling.top_p",
            "general.sampling.min_p",
            "general.sampling.temp",
            "general.sampling.xtc_probability",
            "general.sampling.xtc_threshold",
            "general.sampling.penalty_repeat",
            "general.sampling.mirostat_tau",
            "general.sampling.mirostat_eta",
        ],
    ),
    (
        Want::I32,
        &[
            "general.sampling.top_k",
            "general.sampling.penalty_last_n",
            "general.sampling.mirostat",
            "split.tensors.count",
        ],
    ),
    (Want::U16, &["split.no", "split.count"]),
    (Want::F32s, &["tokenizer.ggml.scores"]),
    (Want::I32s, &["tokenizer.ggml.token_type", "tokenizer.ggml.suppress_tokens"]),
    (Want::Bytes, &["tokenizer.ggml.precompiled_charsmap"]),
    (Want::Integer, &["quantize.imatrix.entries_count", "quantize.imatrix.chunks_count"]),
];

/// Keys under the architecture's own name.
const OWN: &[(Want, &[&str])] = &[
    (
        Want::U32,
        &[
            "vocab_size",
            "context_length",
            "embedding_length",
            "block_count",
            "feed_forward_length",
            "expert_count",
            "expert_used_count",
            "pooling_type",
            "classifier.pooling_type",
            "attention.head_count",
            "attention.head_count_kv",
            "attention.key_length",
            "attention.value_length",
            "attention.sliding_window",
            "rope.dimension_count",
            "rope.scaling.original_context_length",
        ],
    ),
    (
        Want::F32,
        &[
            "attention.layer_norm_epsilon",
            "attention.layer_norm_rms_epsilon",
            "attention.scale",
            "attention.temperature_scale",
            "rope.freq_base",
            "rope.freq_base_swa",
            "rope.scale_linear",
            "rope.scaling.factor",
            "rope.scaling.attn_factor",
            "rope.scaling.yarn_log_multiplier",
            "rope.scaling.yarn_ext_factor",
            "rope.scaling.yarn_attn_factor",
            "rope.scaling.yarn_beta_fast",
            "rope.scaling.yarn_beta_slow",
            "attn_logit_softcapping",
            "final_logit_softcapping",
            "logit_scale",
            "residual_scale",
            "embedding_scale",
        ],
    ),
    (Want::Bool, &["attention.causal", "rope.scaling.finetuned", "use_parallel_residual"]),
    (Want::Text, &["rope.scaling.type", "tensor_data_layout", "hidden_activation"]),
    (Want::Texts, &["classifier.output_labels"]),
    (Want::Pattern, &["attention.sliding_window_pattern"]),
];

/// Applies S02 and S12.
pub(super) fn judge(metadata: &Metadata, architecture: &str, findings: &mut Findings) {
    for key in metadata.keys() {
        let Some(value) = metadata.value(key) else { continue };
        let own = key.strip_prefix(architecture).and_then(|rest| rest.strip_prefix('.'));
        let want = find(GLOBAL, key).or_else(|| find(OWN, own?)).or_else(|| named_template(key));
        match want {
            Some(want) if want.holds(value) => {}
            Some(want) => {
                let message = format!("{key} must be {}", want.describe());
                findings.refuse_at(Rule::S02, metadata.at(key), message);
            }
            None => findings.note_at(
                Rule::S02,
                metadata.at(key),
                format!("key {key} is not known here; look at it before you approve"),
            ),
        }
        judge_link(metadata, key, value, findings);
    }
}

fn find(table: &[(Want, &[&str])], key: &str) -> Option<Want> {
    let matches = |pattern: &&str| match pattern.split_once('*') {
        None => *pattern == key,
        Some((before, after)) => {
            key.strip_prefix(before).and_then(|rest| rest.strip_suffix(after)).is_some_and(|number| {
                !number.is_empty() && number.len() <= 3 && number.bytes().all(|b| b.is_ascii_digit())
            })
        }
    };
    table.iter().find(|(_, keys)| keys.iter().any(matches)).map(|(want, _)| *want)
}

/// Further templates, for tools or retrieval, are named after the key of the first.
fn named_template(key: &str) -> Option<Want> {
    key.strip_prefix("tokenizer.chat_template.").map(|_| Want::Text)
}

fn judge_link(metadata: &Metadata, key: &str, value: &Value, findings: &mut Findings) {
    let is_link = key.starts_with("general.") && (key.ends_with("url") || key.ends_with(".link"));
    let Value::Text(text) = value else { return };
    // A license's link may be the name of a file beside the model; whatever has a scheme must have this one.
    if is_link && text.contains(':') && !text.starts_with("https://") {
        let message = format!("{key} is \"{}\", expected is an https link", excerpt(text.as_bytes()));
        findings.refuse_at(Rule::S12, metadata.at(key), message);
    }
}
