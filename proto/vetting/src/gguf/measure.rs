//! What of a header decides how much memory the model takes. It judges nothing: a file that was linted is read here, and
//! where it says nothing, the larger guess counts.

use std::io::Read;

use croft_domain::memory::ModelShape;

use super::Depth;
use super::container;
use super::cursor::Cursor;
use super::metadata::Metadata;
use super::tensor::Tensor;
use super::value::{Kind, Value};
use crate::report::{Format, Report};

/// Reads the header of a GGUF file of `len_bytes` bytes; none if it is no GGUF.
pub fn measure<R: Read>(reader: R, len_bytes: u64) -> Option<ModelShape> {
    let mut report = Report::new(Format::Gguf, len_bytes);
    let mut cursor = Cursor::new(reader, len_bytes);
    let (metadata, tensors) = container::read(&mut cursor, Depth::Header, &mut report).ok()?;
    Some(shape(report.architecture.as_deref().unwrap_or_default(), &metadata, &tensors))
}

/// What a header that was read says.
pub(super) fn shape(architecture: &str, metadata: &Metadata, tensors: &[Tensor]) -> ModelShape {
    let number = |name: &str| most(metadata, &format!("{architecture}.{name}"));
    let width = number("embedding_length").unwrap_or(0);
    let heads = number("attention.head_count").unwrap_or(1).max(1);
    let kv_heads = number("attention.head_count_kv").unwrap_or(heads);
    let head = width / heads;
    let keys = kv_heads.saturating_mul(number("attention.key_length").unwrap_or(head));
    let values = kv_heads.saturating_mul(number("attention.value_length").unwrap_or(head));
    let layers = number("block_count").unwrap_or(0);
    // Encoders see a text as a whole and keep nothing of it.
    let encodes = flag(metadata, &format!("{architecture}.attention.causal")) == Some(false);
    let vocabulary = match metadata.value("tokenizer.ggml.tokens") {
        Some(Value::Texts(texts)) => u64::try_from(texts.len()).unwrap_or(u64::MAX),
        _ => number("vocab_size").unwrap_or(0),
    };
    ModelShape {
        weights_bytes: tensors.iter().fold(0, |sum, tensor| sum.saturating_add(tensor.len)),
        repacked_bytes: repacked(tensors),
        kv_numbers: if encodes { 0 } else { layers.saturating_mul(keys.saturating_add(values)) },
        width,
        width_inner: number("feed_forward_length").unwrap_or(0).max(heads.saturating_mul(head)),
        vocabulary,
        context_trained: number("context_length").unwrap_or(0),
        embeds: encodes || metadata.has(&format!("{architecture}.pooling_type")),
    }
}

/// The number under a key; of several, the largest.
fn most(metadata: &Metadata, key: &str) -> Option<u64> {
    match metadata.value(key)? {
        Value::Numbers(Kind::U32 | Kind::I32, bytes) => {
            let numbers = bytes.as_chunks::<4>().0.iter().map(|number| u32::from_le_bytes(*number));
            numbers.max().map(u64::from)
        }
        _ => metadata.integer(key),
    }
}

fn flag(metadata: &Metadata, key: &str) -> Option<bool> {
    match metadata.value(key)? {
        Value::Scalar(Kind::Bool, bytes) => Some(bytes[0] != 0),
        _ => None,
    }
}

/// Matrices that are multiplied with, of a type and a height for which there is a faster order. The table of tokens is
/// looked up in, and copied only where it also is the output matrix.
fn repacked(tensors: &[Tensor]) -> u64 {
    let has_output = tensors.iter().any(|tensor| tensor.name == "output.weight");
    let multiplied = |tensor: &&Tensor| match tensor.name.as_str() {
        "token_embd.weight" => !has_output,
        name => name.ends_with(".weight"),
    };
    let fits = |tensor: &&Tensor| {
        tensor.dimensions.len() >= 2
            && tensor.dimensions.get(1).is_some_and(|rows| rows % 8 == 0)
            && tensor.element.repacks
    };
    tensors.iter().filter(multiplied).filter(fits).fold(0, |sum, tensor| sum.saturating_add(tensor.len))
}
