//! What a parser says about a file: a verdict and the findings that led to it, fit for an approval record.

mod rule;

use croft_domain::memory::ModelShape;
use serde::{Deserialize, Serialize};

use crate::limits::{EXCERPT_CHARS_MAX, FINDINGS_MAX};

pub use rule::Rule;

/// What the bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// llama.cpp's own.
    Gguf,
    /// A zip archive, as PyTorch writes it.
    Zip,
    /// A bare Python pickle.
    Pickle,
    /// Hugging Face safetensors.
    Safetensors,
    /// PyTorch's zip archive with `data.pkl`.
    TorchZip,
    /// PyTorch before 1.6: several pickles, then the storages.
    TorchLegacy,
    /// A tar archive.
    Tar,
    /// A gzip stream.
    Gzip,
    /// A zlib stream, as joblib compresses.
    Zlib,
    /// A bzip2 stream.
    Bzip2,
    /// An xz stream.
    Xz,
    /// An lzma stream of old.
    Lzma,
    /// An lz4 frame.
    Lz4,
    /// A zstd frame.
    Zstd,
    /// A 7z archive.
    #[serde(rename = "7z")]
    SevenZip,
    /// One numpy array.
    Npy,
    /// HDF5, as Keras writes it.
    Hdf5,
    /// JSON: configuration, a tokenizer, an index.
    Json,
    /// An ONNX model.
    Onnx,
    /// A TensorFlow SavedModel or graph.
    SavedModel,
    /// A sentencepiece tokenizer.
    Sentencepiece,
    /// Plain text that does not look like a program.
    Text,
    /// A PNG image.
    Png,
    /// A chat template.
    Template,
    /// None of those.
    Unrecognized,
}

/// The parser's answer. `Unknown` is not `Pass`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// No rule is broken.
    Pass,
    /// At least one rule is broken.
    Refuse,
    /// It could not be judged, for example because reading failed.
    Unknown,
}

/// What a finding means for the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// For the person who approves to look at.
    Note,
    /// Unusual, though not dangerous to the loader.
    Warning,
    /// The file must not be loaded.
    Refuse,
}

/// One broken rule or one thing to look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// Which rule.
    pub rule: Rule,
    /// What it means.
    pub severity: Severity,
    /// Where in the file, in bytes from its beginning; none if it concerns the file as a whole.
    pub offset: Option<u64>,
    /// In one sentence, with excerpts of the file escaped and cut.
    pub message: String,
}

/// The whole answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// What the bytes are.
    pub format: Format,
    /// The answer.
    pub verdict: Verdict,
    /// What led to it, at most [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// Length of the file, in bytes.
    pub len_bytes: u64,
    /// `general.architecture`.
    pub architecture: Option<String>,
    /// Longest context that the model was made for, in tokens.
    pub context_length: Option<u32>,
    /// In llama.cpp's words, from `general.file_type`.
    pub quantization: Option<String>,
    /// Number of tensors.
    pub tensor_count: u64,
    /// Number of weights.
    pub parameter_count: u64,
    /// The template inside the file. Never used for serving: the manifest carries the approved one.
    pub chat_template: Option<String>,
    /// Tokens in the vocabulary.
    pub tokens: Option<u64>,
    /// What decides how much memory it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<ModelShape>,
}

impl Report {
    /// A report about nothing yet.
    pub(crate) fn new(format: Format, len_bytes: u64) -> Self {
        Self {
            format,
            verdict: Verdict::Unknown,
            findings: Vec::new(),
            len_bytes,
            architecture: None,
            context_length: None,
            quantization: None,
            tensor_count: 0,
            parameter_count: 0,
            chat_template: None,
            tokens: None,
            shape: None,
        }
    }

    /// Whether the file may be loaded.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.verdict == Verdict::Pass
    }

    /// The first finding that refuses, for a one-line answer.
    #[must_use]
    pub fn first_refusal(&self) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.severity == Severity::Refuse)
    }

    /// The code under which a refusal is shown.
    #[must_use]
    pub const fn code(&self) -> croft_domain::code::Code {
        croft_domain::code::Code::VetRefused
    }
}

/// Findings with a bound: a hostile file cannot make a long report, and what is dropped never hides a refusal.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    list: Vec<Finding>,
    refused: bool,
}

impl Findings {
    pub(crate) fn add(&mut self, finding: Finding) {
        // Two rules may meet at one value; said once is enough.
        if self.list.contains(&finding) {
            return;
        }
        let first_refusal = finding.severity == Severity::Refuse && !self.refused;
        self.refused |= finding.severity == Severity::Refuse;
        if self.list.len() >= FINDINGS_MAX {
            if !first_refusal {
                return;
            }
            self.list.pop();
        }
        self.list.push(finding);
    }

    pub(crate) fn refuse(&mut self, rule: Rule, message: impl Into<String>) {
        self.add(Finding { rule, severity: Severity::Refuse, offset: None, message: message.into() });
    }

    pub(crate) fn refuse_at(&mut self, rule: Rule, offset: Option<u64>, message: impl Into<String>) {
        self.add(Finding { rule, severity: Severity::Refuse, offset, message: message.into() });
    }

    pub(crate) fn warn(&mut self, rule: Rule, message: impl Into<String>) {
        self.add(Finding { rule, severity: Severity::Warning, offset: None, message: message.into() });
    }

    pub(crate) fn note(&mut self, rule: Rule, message: impl Into<String>) {
        self.note_at(rule, None, message);
    }

    pub(crate) fn note_at(&mut self, rule: Rule, offset: Option<u64>, message: impl Into<String>) {
        self.add(Finding { rule, severity: Severity::Note, offset, message: message.into() });
    }

    /// Whether one more finding would be dropped: no need to word it.
    pub(crate) fn is_full(&self) -> bool {
        self.refused && self.list.len() >= FINDINGS_MAX
    }

    pub(crate) const fn refused(&self) -> bool {
        self.refused
    }

    pub(crate) fn into_vec(self) -> Vec<Finding> {
        self.list
    }
}

/// Text of the file for a message: escaped, so that it can neither forge a line nor reorder one, and cut.
pub(crate) fn excerpt(text: &[u8]) -> String {
    let mut shown: String = text.escape_ascii().map(char::from).take(EXCERPT_CHARS_MAX).collect::<String>();
    if text.len() > EXCERPT_CHARS_MAX {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_notes_cannot_hide_a_refusal() {
        let mut findings = Findings::default();
        for number in 0..FINDINGS_MAX * 2 {
            findings.note(Rule::S02, number.to_string());
        }
        findings.refuse(Rule::G13, "no");
        assert!(findings.refused());
        let list = findings.into_vec();
        assert_eq!(list.len(), FINDINGS_MAX);
        assert!(list.iter().any(|finding| finding.severity == Severity::Refuse));
    }

    #[test]
    fn excerpts_are_escaped_and_cut() {
        assert_eq!(excerpt(b"a\nb\x1b"), "a\\nb\\x1b");
        assert_eq!(excerpt(&[b'x'; 1000]).chars().count(), EXCERPT_CHARS_MAX + 1);
    }
}
