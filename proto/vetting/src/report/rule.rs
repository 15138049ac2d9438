//! The rules that a file can break, by the ids under which docs/VETTING.md explains them.

use serde::{Deserialize, Serialize};

/// The rules. F: the file as a whole. GGUF: G the container, S what the values mean together, P shards. Others: K pickle,
/// Z zip, A tar, X 7z, N numpy, W safetensors, J JSON, H Keras and HDF5, O graphs (ONNX, TensorFlow).
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
    /// No template counts but the one that the manifest binds by its digest: further ones in the file are shown.
    T04,
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
    /// 7z: the directory is sound and describes the whole file.
    X01,
    /// 7z: lengths and checksums are true.
    X02,
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
