//! The entrance: which format are these bytes, and which parser judges them.
//!
//! A scanner for another format gets its own module, and an arm in [`vet`]. Nothing passes by default.

use std::io::{Chain, Cursor, Read};

use crate::gguf::{self, Depth};
use crate::policy::Policy;
use crate::report::{Findings, Format, Report, Rule, Verdict};

/// Bytes that decide the format.
const SNIFF_LEN: usize = 16;

/// The format by its first bytes.
#[must_use]
pub fn sniff(head: &[u8]) -> Format {
    if head.starts_with(b"GGUF") {
        Format::Gguf
    } else if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
        Format::Zip
    } else if matches!(head, [0x80, 2..=5, ..]) {
        Format::Pickle
    } else if matches!(head, [_, _, _, _, _, 0, 0, 0, b'{', ..]) {
        Format::Safetensors
    } else {
        Format::Unrecognized
    }
}

/// Judges one file of `len_bytes` bytes, whatever it is.
///
/// The header and metadata are read, the weights are not unless `depth` says so.
pub fn vet<R: Read>(reader: R, len_bytes: u64, depth: Depth) -> Report {
    vet_under(reader, len_bytes, depth, &Policy::default())
}

/// The same, with what a signed policy allows.
pub fn vet_under<R: Read>(mut reader: R, len_bytes: u64, depth: Depth, policy: &Policy) -> Report {
    let mut head = [0; SNIFF_LEN];
    let mut have = 0;
    while let Some(rest) = head.get_mut(have..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest) {
            Ok(0) => break,
            Ok(count) => have += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return unreadable(len_bytes, &error),
        }
    }
    let head = head.get(..have).unwrap_or_default();
    match sniff(head) {
        Format::Gguf => {
            let whole: Chain<Cursor<Vec<u8>>, R> = Cursor::new(head.to_vec()).chain(reader);
            gguf::lint_under(whole, len_bytes, depth, policy)
        }
        // Scanners stand here when they exist. A refusal says which format it was, so that a person can convert it.
        Format::Pickle => refuse(
            Format::Pickle,
            len_bytes,
            "a Python pickle can run code while it is loaded; ask for the model as GGUF",
        ),
        Format::Zip => refuse(
            Format::Zip,
            len_bytes,
            "a zip archive (PyTorch writes pickles into one); ask for the model as GGUF",
        ),
        Format::Safetensors => {
            refuse(Format::Safetensors, len_bytes, "safetensors is not served; convert the model to GGUF")
        }
        _ => refuse(
            Format::Unrecognized,
            len_bytes,
            "this is not a model file: GGUF begins with the letters GGUF",
        ),
    }
}

fn refuse(format: Format, len_bytes: u64, message: &str) -> Report {
    let mut findings = Findings::default();
    findings.refuse(Rule::F01, message);
    Report { verdict: Verdict::Refuse, findings: findings.into_vec(), ..Report::new(format, len_bytes) }
}

fn unreadable(len_bytes: u64, error: &std::io::Error) -> Report {
    let mut findings = Findings::default();
    findings.warn(Rule::F02, format!("reading failed: {error}"));
    Report { findings: findings.into_vec(), ..Report::new(Format::Unrecognized, len_bytes) }
}
