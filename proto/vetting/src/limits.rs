//! Every bound of the parsers in one place, each with its unit and its reason.

/// Smallest GGUF file, in bytes: magic, version and two counts.
pub const HEADER_LEN: u64 = 24;

/// Most tensors. The largest public models hold a few thousand.
pub const TENSORS_MAX: u64 = 65_536;

/// Most metadata entries. Public models hold fewer than a hundred.
pub const ENTRIES_MAX: u64 = 4_096;

/// Fewest bytes a metadata entry takes: key length, one byte of key, value type, one byte of value.
pub const ENTRY_LEN_MIN: u64 = 8 + 1 + 4 + 1;

/// Fewest bytes a tensor's description takes: name length, one byte of name, dimension count, one dimension, type, offset.
pub const TENSOR_INFO_LEN_MIN: u64 = 8 + 1 + 4 + 8 + 4 + 8;

/// Longest metadata key, in bytes.
pub const KEY_LEN_MAX: u64 = 256;

/// Longest string under `general.`, in bytes.
pub const GENERAL_TEXT_LEN_MAX: u64 = 64 * 1024;

/// Longest chat template, in bytes. Also the manifest's bound.
pub const TEMPLATE_LEN_MAX: u64 = 256 * 1024;

/// Longest token, in bytes.
pub const TOKEN_LEN_MAX: u64 = 4 * 1024;

/// Longest string of any other key, in bytes.
pub const TEXT_LEN_MAX: u64 = 1024 * 1024;

/// All metadata together, in bytes: twice what a vocabulary of 256 k tokens with its merges takes. It is also what
/// keeps a judgement within 64 MB of memory, whatever the file.
pub const METADATA_LEN_MAX: u64 = 32 * 1024 * 1024;

/// Alignment of tensor data when the file does not name one, in bytes.
pub const ALIGNMENT_DEFAULT: u64 = 32;

/// Smallest alignment, in bytes: a 64-bit load must not straddle.
pub const ALIGNMENT_MIN: u64 = 8;

/// Largest alignment, in bytes: a page.
pub const ALIGNMENT_MAX: u64 = 4_096;

/// Longest tensor name, in bytes: ggml keeps 64 with the terminator.
pub const TENSOR_NAME_LEN_MAX: u64 = 63;

/// Most dimensions: ggml's.
pub const DIMENSIONS_MAX: u32 = 4;

/// Largest single dimension.
pub const DIMENSION_MAX: u64 = 1 << 40;

/// Most elements in one tensor. Far above any model, far below where 64-bit byte counts overflow.
pub const ELEMENTS_MAX: u128 = 1 << 48;

/// Most layers.
pub const BLOCKS_MAX: u32 = 512;

/// Most experts.
pub const EXPERTS_MAX: u32 = 512;

/// Longest context, in tokens.
pub const CONTEXT_MAX: u32 = 1 << 24;

/// Widest embedding and feed-forward layer, and most heads.
pub const WIDTH_MAX: u32 = 1 << 20;

/// Most tokens in a vocabulary.
pub const TOKENS_MAX: usize = 1_048_576;

/// Most shards of one model, and so the manifest's bound on files.
pub const SHARDS_MAX: usize = 128;

/// Largest patch of an image projector, in pixels.
pub const PATCH_SIZE_MAX: u32 = 64;

/// Largest image of an image projector, in pixels.
pub const IMAGE_SIZE_MAX: u32 = 8_192;

/// Most patches of one image: the positions of a projector's transformer.
pub const PATCHES_MAX: u64 = 65_536;

/// Most tokens between a template's opening and closing marks, which bounds how deep an expression can nest.
pub const TEMPLATE_TAG_TOKENS_MAX: usize = 256;

/// Most marks in a template. Public templates have a few hundred.
pub const TEMPLATE_TAGS_MAX: usize = 4_096;

/// Most branches of all conditions together: each nests in the one before it.
pub const TEMPLATE_BRANCHES_MAX: usize = 256;

/// Deepest tree of a template.
pub const TEMPLATE_DEPTH_MAX: usize = 300;

/// Steps of the engine in one rendering. Public templates take a few thousand for a conversation.
pub const TEMPLATE_FUEL: u64 = 100_000;

/// Longest rendering, in bytes.
pub const TEMPLATE_OUTPUT_MAX: usize = 1024 * 1024;

/// Largest repetition of a text in a template.
pub const TEMPLATE_REPEAT_MAX: u64 = 4_096;

/// Most texts of the template itself that it is probed with, and the longest of them in bytes.
pub const TEMPLATE_TRIGGERS_MAX: usize = 128;

/// Longest text of the template that it is probed with, in bytes.
pub const TEMPLATE_TRIGGER_LEN_MAX: usize = 256;

/// Most findings kept in a report; a file with this many is refused all the same.
pub const FINDINGS_MAX: usize = 64;

/// Longest excerpt of a file's own text in a message, in characters.
pub const EXCERPT_CHARS_MAX: usize = 64;

/// What judging one file may take of memory, in bytes, whatever the file: callers hold their confined process to it.
pub const MEMORY_MAX: u64 = 64 * 1000 * 1000;

/// Bytes read at a time: what a claimed length can make us allocate before the file has shown as many bytes.
pub const READ_STEP: usize = 64 * 1024;

const _: () = assert!(METADATA_LEN_MAX < MEMORY_MAX);
const _: () = assert!(ALIGNMENT_DEFAULT >= ALIGNMENT_MIN && ALIGNMENT_DEFAULT <= ALIGNMENT_MAX);
const _: () = assert!(TEMPLATE_LEN_MAX < METADATA_LEN_MAX && TEXT_LEN_MAX < METADATA_LEN_MAX);
const _: () = assert!(TENSORS_MAX * TENSOR_INFO_LEN_MIN < METADATA_LEN_MAX);
