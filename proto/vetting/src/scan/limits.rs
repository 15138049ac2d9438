//! Bounds of the scanner, each with its unit and its reason. No input may take more than 64 MiB of memory.

/// Bytes read at a time.
pub(super) const BUFFER_LEN: usize = 64 * 1024;

/// Bytes looked at to recognize a format: a tar header.
pub(super) const SNIFF_LEN: usize = 512;

/// How deep archives and compressed streams may lie in each other.
pub(super) const NESTING_MAX: u32 = 5;

/// How many times longer data may become when it is expanded. Weights hardly shrink.
pub(super) const EXPANSION_MAX: u64 = 100;

/// Up to this length expansion is not counted, in bytes: small arrays of zeros shrink a lot.
pub(super) const EXPANSION_FREE_LEN: u64 = 1 << 20;

/// What slow decoders (bzip2, lzma) may give of one file, in bytes, and of each hundred bytes of its length: they decode
/// some tens of megabytes a second, and a file is judged in 50 ms a megabyte.
pub(super) const SLOW_FREE_LEN: u64 = 1 << 20;

/// See [`SLOW_FREE_LEN`].
pub(super) const SLOW_PERCENT_MAX: u64 = 150;

/// Longest dictionary or window of a decoder, in KiB: what `xz -6` and `zstd -19` take.
pub(super) const DICTIONARY_KIB_MAX: u32 = 8 * 1024 + 256;

/// Set aside for a decoder, in bytes.
pub(super) const DECODER_LEN_MAX: u64 = 10 << 20;

/// Longest directory of a 7z archive, in bytes.
pub(super) const SEVENZ_HEADER_LEN_MAX: u64 = 1 << 20;

/// Most members of one archive.
pub(super) const MEMBERS_MAX: u64 = 10_000;

/// Longest name of a member, in bytes.
pub(super) const NAME_LEN_MAX: usize = 1024;

/// Compressed data that must be looked at in any order (a zip in a zip) is held in memory up to this length, in bytes,
/// all levels together.
pub(super) const HELD_LEN_MAX: u64 = 24 << 20;

/// Most opcodes of one pickle; the largest public checkpoints take less than one million.
pub(super) const OPCODES_MAX: u64 = 10_000_000;

/// Highest memo index and highest stack.
pub(super) const MEMO_MAX: usize = 1_000_000;

/// Values on the stack of the pickle machine.
pub(super) const STACK_MAX: usize = 500_000;

/// Items of small tuples that the pickle machine remembers.
pub(super) const ITEMS_MAX: usize = 400_000;

/// Items of a tuple that the pickle machine remembers: the dimensions of a numpy array are at most as many.
pub(super) const TUPLE_LEN_MAX: u8 = 64;

/// Texts that the pickle machine remembers, in bytes; what does not fit cannot name anything.
pub(super) const TEXTS_LEN_MAX: usize = 8 << 20;

/// Longest text that can be a name, in bytes.
pub(super) const TEXT_LEN_MAX: usize = 256;

/// Longest line of a text pickle, in bytes.
pub(super) const LINE_LEN_MAX: usize = 64 * 1024;

/// Pickles in one file, one behind the other.
pub(super) const STACKED_MAX: u32 = 1_000;

/// Storages of one PyTorch archive.
pub(super) const STORAGES_MAX: usize = 100_000;

/// Values that a tuple may unfold to when its parts are counted as often as they stand in it: Python counts them so when it
/// takes a tuple for a key, and a tuple of itself twice, sixty times over, never ends. Honest ones hold what was written.
pub(super) const TUPLE_UNFOLDED_MAX: u32 = 1 << 24;

/// How deep tuples may lie in each other; Python goes down by its own stack when it takes one for a key.
pub(super) const TUPLE_DEPTH_MAX: u16 = 500;

/// Texts in the metadata of a safetensors file; each is remembered while the next are read.
pub(super) const SAFETENSORS_METADATA_MAX: usize = 100_000;

/// Longest header of a numpy array, in bytes; numpy's own bound is 10,000.
pub(super) const NUMPY_HEADER_LEN_MAX: u64 = 64 * 1024;

/// How deep types of numpy may lie in each other.
pub(super) const NUMPY_DEPTH_MAX: u32 = 8;

/// Longest safetensors header, in bytes: the reference's own bound.
pub(super) const SAFETENSORS_HEADER_LEN_MAX: u64 = 100_000_000;

/// Most tensors of a safetensors file.
pub(super) const SAFETENSORS_TENSORS_MAX: usize = 200_000;

/// How deep JSON may nest.
pub(super) const JSON_DEPTH_MAX: usize = 64;

/// As much of a JSON text is looked at, in bytes; what is longer is no name and no path.
pub(super) const JSON_TEXT_LEN_MAX: usize = 256 * 1024;

/// How deep messages may nest in a graph.
pub(super) const MESSAGE_DEPTH_MAX: usize = 48;

/// Nodes of a graph that are kept to follow the paths it saves to, in bytes.
pub(super) const GRAPH_KEPT_LEN_MAX: usize = 16 << 20;

/// Names in graphs, in bytes; of longer ones the beginning is kept.
pub(super) const GRAPH_NAME_LEN_MAX: usize = 1024;

/// Inputs of one node that are read.
pub(super) const GRAPH_INPUTS_MAX: usize = 256;

/// Functions of a graph that are kept apart from their nodes: those of a SavedModel's objects, and an ONNX model's own.
pub(super) const GRAPH_BOUND_MAX: usize = 60_000;

const _: () = assert!(BUFFER_LEN >= SNIFF_LEN);
// The machine's memory: 16 bytes a value.
const _: () = assert!((MEMO_MAX + STACK_MAX + ITEMS_MAX) * 16 + TEXTS_LEN_MAX < 40 << 20);
