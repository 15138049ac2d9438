//! What a parser says about a file: a verdict and the findings that led to it, fit for an approval record.

use serde::{Deserialize, Serialize};

use crate::limits::{EXCERPT_CHARS_MAX, FINDINGS_MAX};

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

/// The rules. F: the file as a whole. GGUF: G the container, S what the values mean together, P shards. Others: K pickle,
/// Z zip, A tar, N numpy, W safetensors, J JSON, H Keras and HDF5, O graphs (ONNX, TensorFlow).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Rule {
    /// The format is one that Croft judges.
    F01,
    /// The file can be read to its stated length.
    F02,
    /// At least 24 bytes, magic `GGUF`, version 3, little-endian.
    G01,
    /// Counts are within bounds and fit the file.
    G02,
    /// Keys: 1 to 256 bytes of `a-z0-9_.-`, unique.
    G03,
    /// Value types exist; arrays are flat and fit the file.
    G04,
    /// Text is UTF-8 without control, bidirectional, zero-width or tag characters.
    G05,
    /// Texts and all metadata together are within their lengths.
    G06,
    /// Booleans are 0 or 1; floats are finite.
    G07,
    /// `general.alignment` is a uint32, a power of two, 8 to 4096.
    G08,
    /// Tensor names: 1 to 63 printable ASCII characters, unique.
    G09,
    /// One to four dimensions, none zero, none that overflows.
    G10,
    /// The element type exists and rows are whole blocks.
    G11,
    /// Tensors follow each other without gap or overlap and lie within the file.
    G12,
    /// Padding is zero.
    G13,
    /// Nothing follows the last tensor.
    G14,
    /// The architecture is on the list, and the file is a model.
    S01,
    /// Known keys have their type; others are shown.
    S02,
    /// Hyperparameters agree with each other and with the tensors.
    S03,
    /// Each tensor has the shape that its architecture's formula gives, none is missing and none is left over.
    S04,
    /// The vocabulary is complete, unique, and its columns have one length.
    S05,
    /// Special token ids are in the vocabulary, and the end token is a control token.
    S06,
    /// Byte tokens are written `<0x00>` to `<0xFF>`.
    S07,
    /// Merges are two tokens of the vocabulary with one space between.
    S08,
    /// The character map holds at least its own header, and as many bytes as that declares.
    S09,
    /// Suppressed tokens are in the vocabulary.
    S10,
    /// Quantized tensors come with quantization version 2, and weights and scales are finite.
    S11,
    /// Links are https.
    S12,
    /// An image projector's patches are bounded.
    S13,
    /// The template parses, and uses only what a chat template needs.
    T01,
    /// The template ends, within its fuel and output, and repeats nothing without bound.
    T02,
    /// The template says what it is given: the system and user texts as they are, and nothing that depends on them.
    T03,
    /// What llama.cpp makes of the template is what the review saw.
    T05,
    /// Shards are complete, in order, and agree with each other and with their names.
    P01,
    /// The file is one thing from its first to its last byte.
    F03,
    /// Nesting, expansion, members and memory are within their bounds.
    F04,
    /// Compressed data is whole and undamaged.
    F05,
    /// Pickle: each opcode exists and its operand is whole.
    K01,
    /// Pickle: only listed names are imported.
    K02,
    /// Pickle: no extension registry.
    K03,
    /// Pickle: names are plain texts without dots.
    K04,
    /// Pickle: only listed names are called, and only objects that they made are given state.
    K05,
    /// Pickle: what is fetched was stored before, in the same pickle.
    K06,
    /// Pickle: opcodes, memo and stack are within their bounds.
    K07,
    /// Pickle: every byte belongs to a pickle that ends.
    K08,
    /// Pickle: persistent ids are PyTorch's storages.
    K09,
    /// Pickle: frames hold whole opcodes and end with their content.
    K10,
    /// Joblib: an array follows its wrapper as joblib writes it.
    K11,
    /// Pickle: the state that a numpy type or array is given agrees with it; numpy believes it unseen.
    K12,
    /// Zip: the end record and the central directory describe the whole file.
    Z01,
    /// Zip: local headers say what the central directory says.
    Z02,
    /// Zip: no name stands twice.
    Z03,
    /// Zip: neither encrypted nor patched, no unknown flags or extra fields.
    Z04,
    /// Zip: no bytes outside the members.
    Z05,
    /// Zip: lengths and checksums are true.
    Z06,
    /// Zip: stored or deflated.
    Z07,
    /// Archive: names are relative, printable, and stay inside.
    Z08,
    /// PyTorch archive: each storage has the length that the pickle gives it.
    Z09,
    /// Tar: headers are sound, members are regular files or folders.
    A01,
    /// Numpy: the header is a plain description.
    N01,
    /// Numpy: the data has the described length.
    N02,
    /// Safetensors: the header is strict JSON of the stated length.
    W01,
    /// Safetensors: each tensor has a known type and the length of its shape.
    W02,
    /// Safetensors: tensors lie one behind the other up to the end of the file.
    W03,
    /// JSON: strict, without repeated keys that matter.
    J01,
    /// JSON: no hooks to code of the model's own.
    J02,
    /// JSON: a chat template to be reviewed.
    J03,
    /// Keras: no layer that carries code.
    H01,
    /// Keras: no class or function from outside of Keras.
    H02,
    /// Keras: no layer that reads files or other models.
    H03,
    /// HDF5: the file is whole and its structure can be followed.
    H04,
    /// HDF5: no links or data outside of the file.
    H05,
    /// Graph: the message can be followed to its end, with known fields only.
    O01,
    /// Graph: only listed operators, in known domains.
    O02,
    /// Graph: no data from outside of the model's folder.
    O03,
    /// Graph: no training steps; functions of the model's own hold what its graph may, and none calls itself.
    O04,
    /// Graph: what saves and restores goes where its caller says.
    O05,
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
