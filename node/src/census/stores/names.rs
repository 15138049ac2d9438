//! What the name of a file in a store says of it: a digest, or that it is a model.

use std::io::Read;
use std::path::Path;

use croft_domain::digest::Sha256Digest;

use super::{Model, open};

/// What a file's name says.
pub(super) struct Named {
    pub(super) sha256: Option<Sha256Digest>,
    /// Its ending says that it is a model, whatever its length.
    pub(super) is_sure: bool,
}

pub(super) fn digest_named(name: &str, _: &Path) -> Option<Named> {
    let bare = name.strip_prefix("sha256-").or_else(|| name.strip_prefix("sha256:")).unwrap_or(name);
    digest(bare).map(|sha256| Named { sha256: Some(sha256), is_sure: false })
}

pub(super) fn digest(hexadecimal: &str) -> Option<Sha256Digest> {
    format!("sha256:{hexadecimal}").parse().ok()
}

/// Endings of files that hold weights and nothing that runs.
const INERT: [&str; 2] = [".gguf", ".safetensors"];

/// Endings of files that can carry code, or whose format is several things at once.
const SUSPECT: [&str; 12] = [
    ".bin",
    ".pt",
    ".pth",
    ".ckpt",
    ".pkl",
    ".pickle",
    ".joblib",
    ".h5",
    ".keras",
    ".onnx",
    ".npz",
    ".llamafile",
];

pub(super) fn model_named(name: &str, _: &Path) -> Option<Named> {
    let lower = name.to_ascii_lowercase();
    let is_one = |endings: &[&str]| endings.iter().any(|ending| lower.ends_with(ending));
    let is_sure = is_one(&INERT) || is_one(&SUSPECT) && !is_one(&[".bin"]);
    (is_sure || is_one(&[".bin"])).then_some(Named { sha256: None, is_sure })
}

/// Whether a file's format can carry code, by its ending and its first bytes.
pub(in crate::census) fn is_suspect(model: &Model) -> bool {
    let lower = model.name.to_ascii_lowercase();
    SUSPECT.iter().any(|ending| lower.ends_with(ending)) && !is_gguf(&model.path)
}

pub(super) fn is_gguf(path: &Path) -> bool {
    let mut magic = [0; 4];
    open(path).is_some_and(|mut file| file.read_exact(&mut magic).is_ok()) && &magic == b"GGUF"
}
