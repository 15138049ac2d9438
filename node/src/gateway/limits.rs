//! Every bound of the gateway in one place, each with its unit and its reason.

use std::time::Duration;

use croft_proto::frames::FRAME_LEN_MAX;

/// Largest request body, in bytes: what one frame to the worker can carry.
pub const BODY_LEN_MAX: usize = 8 * 1024 * 1024;

/// Largest request to a worker, in bytes: a frame, less its envelope and the request's number.
pub const GENERATE_LEN_MAX: usize = FRAME_LEN_MAX - 64;

/// All bodies held at once, read or waiting in queues, in bytes. Keeps many large requests from exhausting memory.
pub const BODIES_LEN_MAX: usize = 64 * 1024 * 1024;

/// Longest request head, in bytes; also the read buffer of one connection.
pub const HEAD_LEN_MAX: usize = 32 * 1024;

/// Most headers in a request. Editors send about fifteen.
pub const HEADERS_MAX: usize = 64;

/// Longest list of header names that a browser may ask for, in bytes: an OpenAI client's is 300.
pub const PREFLIGHT_LEN_MAX: usize = 2 * 1024;

/// Most open connections. More wait in the kernel's backlog.
pub const CONNECTIONS_MAX: usize = 256;

/// Longest a client may take for a request head, and longest an idle connection is kept.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest a client may take to send a body that is already on this machine.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest an unwanted body is read on, so that its sender gets to the refusal.
pub const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);

/// Requests that wait for one worker. Beyond it, an honest 429 is better than a client's own timeout.
pub const WAITING_MAX: usize = 64;

/// Requests of one caller that wait for one worker, so that one caller cannot fill the queue.
pub const WAITING_PER_CALLER_MAX: usize = 32;

/// Callers whose use is counted. More accounts than this share no workstation.
pub const CALLERS_MAX: usize = 256;

/// What a caller may spend in one turn, in tokens: a short question with its answer. Larger requests take several turns.
pub const TURN_TOKENS: u64 = 512;

/// What an answer without a bound is taken to cost, in tokens, when turns are given.
pub const ANSWER_TOKENS_GUESS: u64 = 512;

/// Bytes of a prompt that are taken for one token when turns are given. Tokenizers of code make three to four.
pub const BYTES_PER_TOKEN_GUESS: u64 = 4;

/// Longest a request waits for a worker that is being loaded or started again: within the 30 s that editors grant.
pub const WORKER_WAIT: Duration = Duration::from_secs(25);

/// After this long without a first token, the response head of a stream is sent anyway: editors time out at 30 s.
pub const HEAD_DELAY_MAX: Duration = Duration::from_secs(10);

/// How often a waiting answer looks whether the machine may still serve, in case nothing else wakes it.
pub const STANDING_CHECK_EVERY: Duration = Duration::from_secs(1);

/// Longest a worker may take to acknowledge a cancellation before its place is given to another request.
pub const CANCEL_WAIT: Duration = Duration::from_secs(10);

/// Longest the gateway drains before it ends.
pub const DRAIN_WAIT: Duration = Duration::from_secs(10);

/// Longest the gateway waits at its end until the daemon has read the last counters.
pub const LAST_WORDS_WAIT: Duration = Duration::from_secs(1);

/// What a refused client is told to wait, in seconds.
pub const RETRY_AFTER_S: u32 = 2;

/// Events that wait for a slow client. Past it, the request is cancelled: the worker's other streams go on.
pub const EVENTS_MAX: usize = 4096;

/// Largest piece of text in one event, in bytes. A worker that exceeds it is not listened to any more.
pub const PIECE_LEN_MAX: usize = 64 * 1024;

/// Longest answer, in bytes. No context holds more.
pub const ANSWER_LEN_MAX: usize = 16 * 1024 * 1024;

/// Longest message taken over from a worker, in bytes.
pub const WORKER_MESSAGE_LEN_MAX: usize = 512;

/// Most parallel streams believed of a worker.
pub const STREAMS_MAX: u32 = 256;

/// Most stop texts.
pub const STOP_MAX: usize = 16;

/// Longest stop text, in bytes.
pub const STOP_LEN_MAX: usize = 256;

/// How much of a text is looked through for forbidden content before others get their turn, in bytes: about a
/// millisecond.
pub const SCAN_STEP_LEN: usize = 64 * 1024;

/// How much of an answer that went out is kept to look through what follows it, in bytes: keywords stand that close.
pub const CONTEXT_KEPT_LEN: usize = 1024;

/// Longest piece of an answer without any gap that waits to be looked through, in bytes.
pub const HELD_LEN_MAX: usize = 4096;

/// Longest run of groups of digits that waits, in bytes: an IBAN in groups has 42.
pub const NUMBER_HELD_LEN_MAX: usize = 64;

/// Longest private key that waits for its end, in bytes.
pub const KEY_HELD_LEN_MAX: usize = 16 * 1024;

/// Longest description of tools, in bytes: what a worker takes.
pub const TOOLS_LEN_MAX: usize = 256 * 1024;

/// Longest JSON schema or grammar, in bytes: what a worker takes.
pub const FORMAT_LEN_MAX: usize = 64 * 1024;

/// Most alternatives of a token whose probability is told.
pub const TOP_LOGPROBS_MAX: u32 = 20;

/// Most tokens with a bias.
pub const LOGIT_BIAS_MAX: usize = 1024;

/// Most texts in one request for vectors, as OpenAI's own API has it.
pub const EMBED_INPUTS_MAX: usize = 2048;

/// Most texts in one frame to a worker, which bounds them alike. A request with more takes several turns.
pub const EMBED_FRAME_TEXTS_MAX: usize = 256;

/// Longest vector believed of a worker, in numbers. The widest models have 8,192.
pub const VECTOR_LEN_MAX: usize = 16 * 1024;

/// Most other texts that a request for an insertion brings along.
pub const INFILL_EXTRA_MAX: usize = 256;

/// Most messages in a conversation.
pub const MESSAGES_MAX: usize = 4096;

/// Longest model name that is looked up, in bytes.
pub const MODEL_NAME_LEN_MAX: usize = 256;

/// Longest API key, in bytes.
pub const API_KEY_LEN_MAX: usize = 512;

/// Anonymous memory of the gateway, in bytes: all bodies, their parsed form, and room.
pub const DATA_LEN_MAX: u64 = 512 * 1024 * 1024;

/// Open descriptors: connections, slots and a few of our own.
pub const OPEN_FILES_MAX: u64 = 320;

const _: () = assert!(BODY_LEN_MAX <= FRAME_LEN_MAX);
const _: () = assert!(BODIES_LEN_MAX >= 2 * BODY_LEN_MAX);
const _: () = assert!(EMBED_FRAME_TEXTS_MAX < EVENTS_MAX);
const _: () = assert!(WAITING_PER_CALLER_MAX < WAITING_MAX);
const _: () = assert!(OPEN_FILES_MAX as usize > CONNECTIONS_MAX + croft_proto::frames::SLOTS + 16);
