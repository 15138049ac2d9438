//! What the bytes are, by their beginning.

use super::limits::{SAFETENSORS_HEADER_LEN_MAX, SNIFF_LEN};
use super::source::{Source, Stop};
use crate::report::Format;

/// What the beginning says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sniffed {
    pub(super) format: Format,
    /// The name of a format that is known, but not judged.
    pub(super) known_as: Option<&'static str>,
}

/// Formats whose content is not looked into.
const NOT_JUDGED: &[(&[u8], &str)] = &[
    (b"Rar!\x1a\x07", "a rar archive"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"#!", "a script"),
    (b"ggjt", "a ggml file of old"),
    (b"lmgg", "a ggml file of old"),
];

pub(super) fn sniff(source: &mut Source<'_>) -> Result<Sniffed, Stop> {
    let head = source.peek(SNIFF_LEN)?;
    for (magic, name) in NOT_JUDGED {
        if head.starts_with(magic) {
            return Ok(Sniffed { format: Format::Unrecognized, known_as: Some(name) });
        }
    }
    Ok(Sniffed { format: format(head), known_as: None })
}

fn format(head: &[u8]) -> Format {
    match head {
        [b'G', b'G', b'U', b'F', ..] => Format::Gguf,
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] | [b'P', b'K', 7, 8, ..] => Format::Zip,
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => Format::Npy,
        [0x89, b'H', b'D', b'F', b'\r', b'\n', 0x1a, b'\n', ..] => Format::Hdf5,
        [0x1f, 0x8b, ..] => Format::Gzip,
        [b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c, ..] => Format::SevenZip,
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => Format::Bzip2,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Format::Xz,
        [b']', 0, 0, ..] => Format::Lzma,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Format::Zstd,
        [0x04, 0x22, 0x4d, 0x18, ..] => Format::Lz4,
        _ if is_tar(head) => Format::Tar,
        // Before pickle: the length may begin as a pickle does, and no strict header is a pickle that imports.
        _ if is_safetensors(head) => Format::Safetensors,
        [0x80, 0..=5, ..] => Format::Pickle,
        [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] => Format::Zlib,
        _ if is_json(head) => Format::Json,
        // Field 1 of a SavedModel is its schema version 1, field 2 its graphs; a graph begins with field 1, its nodes.
        [0x08, 0x01, 0x12, ..] => Format::SavedModel,
        [0x08, 1..=30, 0x12 | 0x1a | 0x22 | 0x28 | 0x32 | 0x3a | 0x42, ..] => Format::Onnx,
        [0x0a, length, ..] if *length > 1 && head.len() > 4 && is_node(head, 0x15) => Format::Sentencepiece,
        [0x0a, length, ..] if *length > 1 && head.len() > 4 && is_node(head, 0x12) => Format::SavedModel,
        _ if head.starts_with(super::png::MAGIC) => Format::Png,
        _ => Format::Unrecognized,
    }
}

/// A node begins with its name, field 1, printable; its operator, field 2, follows. In a tokenizer the name is a piece,
/// and its score follows, a number.
fn is_node(head: &[u8], next: u8) -> bool {
    let inner = head.iter().skip(1).position(|byte| byte & 0x80 == 0).and_then(|at| head.get(at + 2..));
    let Some([0x0a, len, name @ ..]) = inner else { return false };
    let len = usize::from(*len);
    let Some((name, rest)) = name.split_at_checked(len) else { return false };
    !name.is_empty() && (next == 0x15 || name.iter().all(u8::is_ascii_graphic)) && rest.first() == Some(&next)
}

/// An object, or a list that does not begin as a text does: `[PAD]`, `[section]`.
fn is_json(head: &[u8]) -> bool {
    let mut after_space = head.iter().skip_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
    match after_space.next() {
        // Another letter follows in formats that only look alike.
        Some(b'{') => {
            after_space.next().is_none_or(|byte| byte.is_ascii_whitespace() || b"\"}".contains(byte))
        }
        Some(b'[') => {
            let rest: Vec<u8> = after_space.copied().take(5).collect();
            let is_word = |word: &&[u8]| rest.starts_with(word);
            !rest.first().is_some_and(u8::is_ascii_alphabetic)
                || [&b"true"[..], b"false", b"null"].iter().any(is_word)
        }
        _ => false,
    }
}

fn is_safetensors(head: &[u8]) -> bool {
    let Some((prefix, rest)) = head.split_first_chunk::<8>() else { return false };
    u64::from_le_bytes(*prefix) <= SAFETENSORS_HEADER_LEN_MAX && rest.first() == Some(&b'{')
}

/// By its magic, or for the oldest kind by its checksum.
fn is_tar(head: &[u8]) -> bool {
    head.get(257..262) == Some(b"ustar")
        || (head.len() == 512
            && head[0] != 0
            && super::tar::checksum(head).is_some_and(|(stated, true_sum)| stated == true_sum))
}
