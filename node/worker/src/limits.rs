//! Every bound of the worker in one place, each with its unit and its reason.

/// Most requests answered at the same time; the manifest's own bound.
pub const SLOTS_MAX: u32 = 64;

/// Smallest context, in tokens: llama.cpp pads below it anyway, and no chat fits.
pub const CONTEXT_TOKENS_MIN: u32 = 64;

/// Largest context of one request, in tokens. The manifest's own bound.
pub const CONTEXT_TOKENS_MAX: u32 = 1 << 24;

/// Most computing threads; beyond any workstation, and a bound on what a wrong argument can start.
pub const THREADS_MAX: u32 = 512;

/// Most tokens in one decode step. More of a prompt at once is no faster on a CPU and makes the others wait.
pub const BATCH_TOKENS_MAX: usize = 512;

/// Least prompt tokens taken in a step that also feeds running streams: prefill must get on, and as many are evaluated in
/// hardly more time than one.
pub const PREFILL_SHARED_TOKENS_MIN: usize = 16;

/// Least prompt tokens taken in a step of prompts alone: in smaller parts, weights are read more often than used.
pub const PREFILL_TOKENS_MIN: usize = 128;

/// What prompts may add to a step that feeds running streams, in microseconds, where the step alone takes less: a reader
/// does not notice it. Where it takes more, they may double it.
pub const STEP_SHARED_AIM_US: u64 = 30_000;

/// Aim for the length of a step of prompts alone, in microseconds: how late another request may join. A cancellation ends
/// the step.
pub const STEP_PREFILL_AIM_US: u64 = 1_000_000;

/// Most requests that wait in the worker for a slot. The gateway has the real queue; this covers what is under way.
pub const WAITING_MAX: usize = 64;

/// Most frames read ahead of the engine: then the socket fills and the gateway waits.
pub const INBOUND_MAX: usize = 64;

/// Most stop strings in a request, as the protocol says.
pub const STOPS_MAX: usize = 16;

/// Longest stop string, in bytes: so much text at most is held back.
pub const STOP_LEN_MAX: usize = 256;

/// Most messages in a conversation.
pub const MESSAGES_MAX: usize = 2048;

/// Longest text of declared tools, or of the calls in one message, in bytes.
pub const TOOLS_LEN_MAX: usize = 256 * 1024;

/// Most functions that a request declares; what OpenAI takes.
pub const TOOLS_MAX: usize = 128;

/// Longest grammar or schema of an answer, in bytes.
pub const FORMAT_LEN_MAX: usize = 64 * 1024;

/// Most parts of a grammar that may be left out in a row, written out: a token costs the square of it.
pub const FORM_OPTIONAL_MAX: u64 = 96;

/// Most parts of a rule or pattern, with repetitions written out.
pub const FORM_PARTS_MAX: u64 = 16 * 1024;

/// Deepest nesting of a schema; the reader's own bound is 128.
pub const SCHEMA_DEPTH_MAX: usize = 96;

/// Most properties in a schema, all together: 800 that may be left out take seconds.
pub const SCHEMA_PROPERTIES_MAX: usize = 512;

/// Most biased tokens in a request.
pub const BIASES_MAX: usize = 1024;

/// Most alternatives that are told of each token; what OpenAI takes.
pub const TOP_LOGPROBS_MAX: usize = 20;

/// Tokens that must repeat before what followed them is guessed to follow again.
pub const DRAFT_MATCH_TOKENS: usize = 3;

/// Longest repetition that is told apart when the likeliest continuation is chosen, in tokens.
pub const DRAFT_MATCH_TOKENS_MAX: usize = 32;

/// Most tokens guessed ahead for one stream: each costs a part of a step if it is wrong. A step of sixteen tokens would take
/// another way through attention than a step of one, and round otherwise: answers would not be the same with guesses.
pub const DRAFT_TOKENS_MAX: usize = 11;

/// Tokens whose rows the back end multiplies at once. What is left of a step goes row by row, each as dear as a step by itself.
pub const ROWS_AT_ONCE: usize = 4;

/// Most tokens guessed ahead in one step of all streams.
pub const DRAFT_STEP_TOKENS_MAX: usize = 48;

/// Steps without guesses after several that were all wrong.
pub const DRAFT_PAUSE_STEPS: u32 = 16;

/// Most texts in one Embed frame.
pub const EMBED_TEXTS_MAX: usize = 256;

/// Most tokens of one text to embed: it is evaluated as a whole.
pub const EMBED_TOKENS_MAX: u32 = 2048;

/// Most texts that are embedded in one step.
pub const EMBED_SEQUENCES_MAX: usize = 16;

/// Longest chat template, in bytes. The largest published ones are about 20 KiB.
pub const TEMPLATE_LEN_MAX: u64 = 256 * 1024;

/// Longest rendering of a probe, in bytes. The probes are short: a template that makes more of one is refused for it.
pub const RENDERING_LEN_MAX: usize = 256 * 1024;

/// Most check prompts; the manifest's own bound.
pub const CHECKS_MAX: usize = 16;

/// Longest trial, in bytes: so many checks of the longest texts that a manifest may have.
pub const TRIAL_LEN_MAX: u64 = 256 * 1024;

/// Most tokens of the answer to a check prompt: whoever needs more to come to the point fails.
pub const CHECK_TOKENS_MAX: u32 = 256;

/// Longest that all check prompts of a model may take together.
pub const CHECKS_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(180);

/// Most streams of a measurement.
pub const MEASURE_STREAMS_MAX: u32 = 64;

/// Rounds of a measurement, of which the best counts.
pub const MEASURE_ROUNDS: u64 = 4;

/// Words of each stream's prompt in a measurement: a hundred tokens or so.
pub const MEASURE_PROMPT_WORDS: u32 = 32;

/// Longest answer of each stream in a round, in tokens. Half of it is waited for.
pub const MEASURE_ANSWER_TOKENS: u32 = 96;

/// Longest that a measurement may take, whatever is asked.
pub const MEASURE_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(60);

/// Tokens that penalties look back on.
pub const PENALTY_WINDOW_TOKENS: i32 = 256;

/// Stack of the engine's thread, in bytes: llama.cpp's tokenizers recurse on long input. Address space, not memory.
pub const ENGINE_STACK_BYTES: usize = 64 * 1024 * 1024;

/// Memory granted beyond twice the model and its context, in bytes: code, buffers of a step, vocabulary.
pub const MEMORY_BASE_BYTES: u64 = 4 * 1024 * 1024 * 1024;

/// Memory granted for one token of context, in bytes: twice that of the largest 7-billion model without grouped heads.
pub const MEMORY_TOKEN_BYTES: u64 = 1024 * 1024;

/// Descriptors that may be open at once: six inherited ones and what a start needs for moments.
pub const OPEN_FILES_MAX: u64 = 64;

/// Processes and threads of the same user, as the kernel counts them where there is no user namespace.
pub const PROCESSES_MAX: u64 = 4096;

/// How often the daemon hears that a step goes on, in milliseconds: often enough that silence means something.
pub const BEAT_EVERY_MS: u64 = 1000;

/// How often the daemon hears that an idle worker lives, in milliseconds: seldom, because it wakes the processor.
pub const IDLE_BEAT_EVERY_MS: u64 = 10_000;

/// Steps of load progress worth a frame, in percent: the daemon need not read while a model loads.
pub const PROGRESS_STEP_PERCENT: u32 = 5;

/// Frames taken in a row while streams run: then a step is due, whatever else the gateway sends.
pub const FRAMES_PER_STEP_MAX: usize = 16;

/// Longest complaint of llama.cpp about a model that is passed on, in bytes.
pub const COMPLAINT_LEN_MAX: usize = 200;

const _: () =
    assert!((DRAFT_TOKENS_MAX + 1).is_multiple_of(ROWS_AT_ONCE) && DRAFT_TOKENS_MAX <= DRAFT_STEP_TOKENS_MAX);
const _: () = assert!(SLOTS_MAX as usize + PREFILL_TOKENS_MIN + DRAFT_STEP_TOKENS_MAX <= BATCH_TOKENS_MAX);
// The memory plan counts with them.
const _: () = assert!(BATCH_TOKENS_MAX as u64 == croft_domain::limits::BATCH_TOKENS);
const _: () = assert!(DRAFT_STEP_TOKENS_MAX as u64 == croft_domain::limits::DRAFT_TOKENS);
const _: () = assert!(EMBED_TOKENS_MAX as u64 == croft_domain::limits::EMBED_TOKENS);
const _: () = assert!((CONTEXT_TOKENS_MAX as u64) < i32::MAX as u64);
const _: () = assert!(PREFILL_SHARED_TOKENS_MIN <= PREFILL_TOKENS_MIN);
const _: () = assert!(STEP_SHARED_AIM_US < STEP_PREFILL_AIM_US);
