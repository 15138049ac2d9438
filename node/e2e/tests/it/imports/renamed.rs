//! The starter model under another architecture's name, one that llama.cpp builds from the same tensors.

use std::path::Path;

use super::split::Reader;

const STRING: u32 = 8;

/// The model at `path`, whose alignment is the usual one, with `llama` replaced wherever it names the architecture.
pub fn renamed(path: &Path, architecture: &str) -> Vec<u8> {
    let bytes = std::fs::read(path).expect("the model");
    let mut reader = Reader { bytes: &bytes, at: 8 };
    let (tensors, entries) = (reader.u64(), reader.u64());
    let mut out = bytes[..reader.at].to_vec();
    let text = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    for _ in 0..entries {
        let key = std::str::from_utf8(reader.text()).expect("a key").to_owned();
        let kind = reader.u32();
        let begin = reader.at;
        reader.skip_value(kind);
        let own = key.strip_prefix("llama.").map(|rest| format!("{architecture}.{rest}"));
        out.extend(text(own.as_deref().unwrap_or(&key)));
        out.extend(kind.to_le_bytes());
        if key == "general.architecture" {
            assert_eq!(kind, STRING);
            out.extend(text(architecture));
        } else {
            out.extend(&bytes[begin..reader.at]);
        }
    }
    let begin = reader.at;
    for _ in 0..tensors {
        reader.text();
        let dimensions = reader.u32();
        reader.take(dimensions as usize * 8 + 12);
    }
    out.extend(&bytes[begin..reader.at]);
    out.resize(out.len().next_multiple_of(32), 0);
    out.extend(&bytes[reader.at.next_multiple_of(32)..]);
    out
}
