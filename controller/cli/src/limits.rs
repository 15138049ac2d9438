//! Every bound of this program, with its unit and its reason.

/// How long the root role counts, in seconds (24 months): it is touched only to change keys.
pub const ROOT_TTL_S: u64 = 730 * 86_400;

/// How long the targets role counts, in seconds (12 months): long enough for a yearly key ceremony.
pub const TARGETS_TTL_S: u64 = 365 * 86_400;

/// How long snapshot and timestamp count, in seconds (14 days): a controller that withholds news can do so this long.
pub const FRESHNESS_TTL_S: u64 = 14 * 86_400;

/// How long lease and recall keys count, in seconds: as long as the root that names them.
pub const ONLINE_KEY_TTL_S: u64 = ROOT_TTL_S;

/// How often a person is asked for one passphrase before the command gives up.
pub const PASSPHRASE_PROMPTS_MAX: u32 = 3;

/// Fewer days than this before the root expires, and `trust status` warns: its key holders have to come together.
pub const ROOT_WARNING_DAYS: u64 = 60;

/// The same for targets: a publisher has to come by.
pub const TARGETS_WARNING_DAYS: u64 = 30;

/// The same for what the freshness host signs: a weekend with its Monday.
pub const FRESHNESS_WARNING_DAYS: u64 = 3;

/// The same for the admin's certificate: its holder asks somebody with the controller's host.
pub const CERTIFICATE_WARNING_DAYS: u64 = 30;

/// Files below this length are cut into 1 MiB chunks: a resumed fetch of a small model loses little.
pub const SMALL_FILE_LEN: u64 = 256 << 20;

/// Files beyond this length are cut into 16 MiB chunks, so that the list stays under the manifest's bound.
pub const HUGE_FILE_LEN: u64 = 64 << 30;

/// Largest chat template file, in bytes; the manifest's own bound.
pub const TEMPLATE_LEN_MAX: u64 = 256 * 1024;

/// Largest YAML, TOML or JSON file that a person hands over, in bytes.
pub const DOCUMENT_LEN_MAX: u64 = 1 << 20;

/// Largest vetting report that is read from the confined child, in bytes; it is distrusted like its input.
pub const REPORT_LEN_MAX: u64 = 8 << 20;

/// Largest answer of the worker about a template, in bytes: every probe at the worker's own bound, as JSON.
pub const RENDERINGS_LEN_MAX: u64 = 16 << 20;

/// How long the worker may take to read a vocabulary and render the probes, in seconds; it takes a tenth of one.
pub const RENDERING_TIMEOUT_S: u64 = 60;

/// Most files that one `vet` judges: a mistaken folder should end, not run for a day.
pub const VET_FILES_MAX: usize = 100_000;

/// How deep folders may lie in each other.
pub const VET_DEPTH_MAX: usize = 64;

/// How long the confined child may take before it counts as hung, in seconds, besides reading the file.
pub const VETTING_TIMEOUT_S: u64 = 60;

/// How fast the confined child must at least read the file, in bytes a second: half of a USB 2 disk.
pub const VETTING_BYTES_PER_S: u64 = 16 << 20;

/// Descriptors that the confined child may have: the shards of one model, and a few of its own.
pub const VETTING_FILES_MAX: u64 = croft_domain::limits::BUNDLE_FILES_MAX as u64 + 16;

/// Memory of the confined child, in bytes: what judging one file may take, and the kernel gives no more.
pub const VETTING_DATA_BYTES: u64 = croft_vetting::limits::MEMORY_MAX;

/// Length of one upload message's data, in bytes; the controller accepts no more.
pub const UPLOAD_PART_LEN: usize = 1 << 20;

/// Upload messages in flight on this side.
pub const UPLOAD_QUEUE: usize = 4;

/// How often an upload goes on after a broken connection, before a person should look at it.
pub const UPLOAD_ATTEMPTS: u32 = 6;

/// Longest context that import drafts on its own, in tokens: more memory is a person's decision.
pub const CONTEXT_DEFAULT_MAX: u32 = 8192;

/// Most entries of a foreign folder that are looked at.
pub const FOLDER_ENTRIES_MAX: usize = 10_000;

/// How many times longer a compressed layer may become: weights hardly shrink.
pub const EXPANSION_MAX: u64 = 100;

/// Up to this length that is not counted, in bytes.
pub const EXPANSION_FREE_LEN: u64 = 1 << 20;

/// Most layers of an artifact.
pub const LAYERS_MAX: usize = 256;

/// Most names that an error lists to choose from.
pub const CHOICES_SHOWN_MAX: usize = 20;

/// Fewest digits of a node id that may stand for the whole.
pub const ID_PREFIX_LEN_MIN: usize = 4;

const _: () = assert!((200 << 30) / (16 << 20) * 67 < croft_domain::limits::MANIFEST_LEN_MAX as u64);

/// Largest checkpoint file, in bytes: the heads of 100,000 nodes.
pub const CHECKPOINT_LEN_MAX: u64 = 32 << 20;

/// Most links of one chain that are taken in: six years with one every ten minutes.
pub const CHAIN_LENGTH_MAX: usize = 320_000;

/// Largest report, in bytes (64 MiB): a page for each of ten thousand nodes, with room.
pub const REVIEWED_LEN_MAX: u64 = 64 * 1024 * 1024;

/// Longest name and comment of a review, in bytes.
pub const REVIEW_TEXT_LEN_MAX: usize = 4096;
