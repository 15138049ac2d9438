//! Every bound of the domain in one place, each with its unit and its reason.

/// Longest name of a group, bundle, baseline, check or alias, in bytes. A DNS label's bound: names become
/// parts of file and target names.
pub const NAME_LEN_MAX: usize = 63;

/// Largest signed evidence document, in bytes. Keeps an appraisal cheap for a controller that serves 10,000 nodes.
pub const EVIDENCE_LEN_MAX: usize = 16 * 1024;

/// Most facts in one evidence document.
pub const FACTS_MAX: usize = 128;

/// Most lines in one fact's trace.
pub const TRACE_LINES_MAX: usize = 32;

/// Longest free text a peer may send in one field (a reason, a trace line, a path), in bytes.
pub const TEXT_LEN_MAX: usize = 1024;

/// Longest address of a model that a person asks for, in bytes.
pub const MODEL_SOURCE_LEN_MAX: usize = 512;

/// Largest bundle manifest, in bytes: the chunk list of a 200 GB model in 4 MiB chunks is about 4 MB.
pub const MANIFEST_LEN_MAX: usize = 8 * 1024 * 1024;

/// Most files in one bundle: the shard bound of the GGUF lint, rule P01.
pub const BUNDLE_FILES_MAX: usize = 128;

/// Most files in one runtime: a worker and its libraries for every platform.
pub const RUNTIME_FILES_MAX: usize = 64;

/// Most use restrictions that a license lists: a user should read them.
pub const USE_RESTRICTIONS_MAX: usize = 32;

/// Most prefixes of allowed sources in a fleet document.
pub const SOURCES_MAX: usize = 256;

/// Longest a lease may last, in seconds (seven days): the longest a node may serve unseen.
pub const LEASE_TTL_MAX_S: u64 = 7 * 86_400;

/// Longest invite, in seconds (thirty days). The default is ten minutes.
pub const INVITE_TTL_MAX_S: u64 = 30 * 86_400;

/// Longest invite line, in bytes, before it is decoded.
pub const INVITE_LEN_MAX: usize = 4096;

/// How far a peer's clock may be ahead of ours, in seconds, before we say so: NTP-less laptops drift by minutes.
pub const CLOCK_SKEW_MAX_S: u64 = 300;

/// Longest acceptable-use policy, in bytes: what a person might still read.
pub const POLICY_LEN_MAX: usize = 64 * 1024;

/// Most checks in a baseline.
pub const CHECKS_MAX: usize = 64;

/// Most paths or subjects of one check: more than a person reads in one verdict.
pub const SUBJECTS_MAX: usize = 16;

/// Most control identifiers of one check.
pub const CONTROLS_MAX: usize = 16;

/// Most operating systems whose patch level a baseline names.
pub const PATCHES_MAX: usize = 64;

/// Longest a waiver counts, in seconds (one year), whatever it says: an exception for good is a change of the baseline.
pub const WAIVER_TTL_MAX_S: u64 = 366 * 86_400;

/// Most links of a verdict chain that one answer shows a node: what it can have missed while answers got lost.
pub const CHAIN_LINKS_MAX: usize = 256;

/// Most authorities of TPM manufacturers in a baseline: three makers with a handful each.
pub const AUTHORITIES_MAX: usize = 16;

/// Longest certificate of such an authority, in bytes of PEM.
pub const AUTHORITY_LEN_MAX: usize = 4096;

/// PCRs of a TPM, counted from 0 (TCG PC Client Platform TPM Profile).
pub const PCRS: u8 = 24;

/// Most values that a baseline lists for one PCR: a value for each firmware and model of a fleet's machines.
pub const PCR_VALUES_MAX: usize = 64;

/// Most waivers at once. More exceptions than this are no longer exceptions.
pub const WAIVERS_MAX: usize = 1024;

/// Most tokens that a worker evaluates in one step. More at once is no faster on a CPU and makes others wait.
pub const BATCH_TOKENS: u64 = 512;

/// Most tokens that a worker guesses ahead in one step of all streams.
pub const DRAFT_TOKENS: u64 = 48;

/// Most tokens of texts that a worker turns into vectors in one step: each text is evaluated as a whole.
pub const EMBED_TOKENS: u64 = 2048;

/// Longest check prompt, and longest text that its answer must hold, in bytes.
pub const CHECK_TEXT_LEN_MAX: usize = 4096;

/// Most exceptions of one kind from what vetting accepts: more of them are no longer exceptions.
pub const VETTING_EXCEPTIONS_MAX: usize = 64;

/// Longest name of an architecture, in bytes.
pub const VETTING_NAME_LEN_MAX: usize = 64;

/// Most groups in a fleet document.
pub const GROUPS_MAX: usize = 1024;

/// Most nodes that belong to another group than the one they enrolled into; more than this enroll again.
pub const MOVES_MAX: usize = 4096;

/// Most recalls that are undone at once, so that each node can hold the list against its own.
pub const UNRECALLS_MAX: usize = 1024;

/// Most runtimes for which a baseline sets a minimum: a fleet has a few builds of the worker.
pub const RUNTIME_MINIMUMS_MAX: usize = 16;

/// Most variants of one bundle, with the first: there are about as many useful quantizations.
pub const VARIANTS_MAX: usize = 8;

const _: () = assert!(BUNDLE_FILES_MAX * 64 < MANIFEST_LEN_MAX);
const _: () = assert!(FACTS_MAX >= CHECKS_MAX);
