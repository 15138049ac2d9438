//! Bounds of the node, with units and reasons.

use std::time::Duration;

/// Largest `node.toml`, in bytes. It holds a handful of lines.
pub const CONFIG_LEN_MAX: u64 = 64 * 1024;

/// Largest state file, in bytes: history and enrollment are a few KiB.
pub const STATE_FILE_LEN_MAX: u64 = 1024 * 1024;

/// Messages kept for `croft privacy`. At four attestations an hour this is more than two days.
pub const SENT_COUNT_MAX: usize = 512;

/// Longest content kept of one sent message, in bytes; evidence is at most 16 KiB.
pub const SENT_CONTENT_LEN_MAX: usize = 64 * 1024;

/// Chunks fetched at once. One connection seldom fills a line; more than four only crowd the controller.
pub const FETCH_PARALLEL: usize = 4;

/// Attempts for one chunk before the bundle waits for the next round.
pub const CHUNK_ATTEMPTS_MAX: u32 = 4;

/// Delay between attempts for a chunk.
pub const CHUNK_RETRY_MIN: Duration = Duration::from_millis(200);

/// Longest delay between attempts for a chunk.
pub const CHUNK_RETRY_MAX: Duration = Duration::from_secs(5);

/// Times one file may be fetched again because bytes at rest were wrong, before it counts as failed.
pub const REFETCH_MAX: u32 = 2;

/// Until looking at this machine must be done. It takes a fraction of a second, and a minute where tools are slow.
pub const OBSERVE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long the daemon waits at its end for work on blocking threads.
pub const RUNTIME_END_TIMEOUT: Duration = Duration::from_secs(5);

/// Until the confined lint of one file must be done. It reads headers, not weights.
pub const VET_TIMEOUT: Duration = Duration::from_secs(120);

/// Until the confined scan of one file in another tool's store must be done: evidence waits for it.
pub const SCAN_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest report of a confined lint, in bytes.
pub const VET_REPORT_LEN_MAX: u64 = 256 * 1024;

/// How often each stored blob is read again and verified, in seconds: a week.
pub const RECHECK_EVERY_S: u64 = 7 * 86_400;

/// How often it is looked whose turn it is.
pub const RECHECK_LOOK_EVERY: Duration = Duration::from_secs(3600);

/// Fastest reading while verifying again, in bytes a second: a tenth of what a common disk gives.
pub const RECHECK_BYTES_PER_S: u64 = 32 * 1024 * 1024;

/// Bundles kept that came by archives and that the controller has not heard of.
pub const IMPORTED_MAX: usize = 256;

/// Longest part of an archive in one message of the local socket, in bytes.
pub const IMPORT_PART_LEN_MAX: usize = 2 * 1024 * 1024;

/// Parts of an archive that wait between the socket and the disk: what the disk does not take, the caller keeps.
pub const IMPORT_QUEUE: usize = 4;

/// Entries looked at in one folder of another tool's store. People have dozens of models.
pub const STORE_ENTRIES_MAX: usize = 4096;

/// Longest settings of another tool that are read, in bytes.
pub const STORE_SETTINGS_LEN_MAX: u64 = 1 << 20;

/// Bytes copied from another tool's store between two syncs.
pub const STORE_SYNC_EVERY: u64 = 64 * 1024 * 1024;

/// How often it is checked whether serving is still allowed.
pub const TICK: Duration = Duration::from_secs(1);

/// How long a version stays after its successor serves, at least: what was on its way to it arrives.
pub const RETIRE_PAUSE: Duration = Duration::from_secs(2);

/// How long it stays at most, to end the answers it has begun: a long one takes minutes on a slow machine, and two
/// versions take the memory of two.
pub const RETIRE_TIME_MAX: Duration = Duration::from_secs(600);

/// Longest time between two attestations while connected, in seconds: the age of a verdict.
pub const ATTEST_EVERY_S: u64 = 15 * 60;

/// Shortest time between two attestations that changes ask for, in seconds: changes come in bursts.
pub const ATTEST_GAP_S: u64 = 2;

/// Delay before the controller is tried again.
pub const RECONNECT_MIN: Duration = Duration::from_secs(1);

/// Longest delay before the controller is tried again. 10,000 nodes then come back at some 300 a second.
pub const RECONNECT_MAX: Duration = Duration::from_secs(30);

/// How often the controller is asked when it cannot be watched.
pub const POLL_EVERY: Duration = Duration::from_secs(60);

/// How often fresh metadata is looked for, besides when the controller says so, in seconds.
pub const TRUST_EVERY_S: u64 = 3600;

/// Until one call to the controller must be answered.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How far the counted time goes on before it is made durable, in seconds: what a reboot with the clock set back can gain.
pub const COUNTED_TIME_EVERY_S: u64 = 600;

/// Until the controller must answer a farewell; leaving works without it.
pub const FAREWELL_TIMEOUT: Duration = Duration::from_secs(5);

/// Delay before a process that ended is started again.
pub const RESTART_MIN: Duration = Duration::from_millis(500);

/// Longest delay before a process that keeps ending is started again.
pub const RESTART_MAX: Duration = Duration::from_secs(60);

/// A process that ran this long is taken for well: its next start is not delayed.
pub const RESTART_RESET_AFTER: Duration = Duration::from_secs(60);

/// Until a process asked to end is killed.
pub const STOP_GRACE: Duration = Duration::from_secs(5);

/// Until a model must be loaded. 200 GB from a slow disk takes minutes.
pub const LOAD_TIMEOUT: Duration = Duration::from_secs(900);

/// How often requests that wait for a model hear that it is still being loaded.
pub const LOADING_TOLD_EVERY: Duration = Duration::from_secs(5);

/// How often an idle worker says that it lives; the worker's own bound.
pub const IDLE_BEAT_EVERY: Duration = Duration::from_secs(10);

/// Shortest time between two questions to the gateway whether a model may rest.
pub const REST_ASKED_EVERY: Duration = Duration::from_secs(5);

/// What a worker may allocate beyond its plan, in bytes: address space of allocators and of its own stacks.
pub const MEMORY_SLACK_BYTES: u64 = 256 * 1024 * 1024;

/// The same for each thread that computes, in bytes: its stack and its arena.
pub const MEMORY_THREAD_BYTES: u64 = 16 * 1024 * 1024;

/// Streams of a measurement: as many as the figure that people compare.
pub const MEASURE_STREAMS: u32 = 4;

/// How long a measurement computes at most; loading comes before it.
pub const MEASURE_TIME_MAX: Duration = Duration::from_secs(20);

/// How long no model was used before one is measured: whoever reads an answer has not gone.
pub const MEASURE_AFTER_IDLE: Duration = Duration::from_secs(10);

/// How often it is looked whether the machine is idle and not on battery while something is to be measured.
pub const MEASURE_LOOK_EVERY: Duration = Duration::from_secs(3);

/// Pause after a measurement that could not be made.
pub const MEASURE_RETRY_AFTER: Duration = Duration::from_secs(60);

/// How long a measurement waits for models that are idle to leave.
pub const MEASURE_ROOM_TIMEOUT: Duration = Duration::from_secs(30);

/// Most measurements kept: bundles of a group, with eight variants each.
pub const MEASURED_KEPT_MAX: usize = 128;

/// Until a gateway must have proven its sandbox.
pub const SELF_TEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Packets taken from a dead worker's slot at most; the socket's buffer holds fewer.
pub const STALE_PACKETS_MAX: usize = 65_536;

/// Messages that may wait inside the daemon between two of its parts.
pub const CHANNEL_LEN: usize = 256;

/// Most recalls kept. A fleet that recalls more has other troubles; the list travels with evidence (its own bound).
pub const RECALLS_MAX: usize = 128;

/// Most uids that may use the local API besides the daemon's own.
pub const UIDS_MAX: usize = 64;

/// Attempts of a freshly started worker to load before the bundle counts as failed for this desired state.
pub const LOAD_ATTEMPTS_MAX: u32 = 3;

/// How long what accounts used may wait to be written, so that a burst of answers is one write.
pub const SPENT_WRITE_EVERY: Duration = Duration::from_secs(2);

/// Most accounts whose use is kept: those that the gateway counts.
pub const SPENT_KEPT_MAX: usize = 256;

/// How often it is looked whether the owner is to be told something.
pub const HERALD_EVERY: Duration = Duration::from_secs(5);

/// Longest sentence that the owner's program gets, in bytes: a desktop shows two lines.
pub const NOTICE_LEN_MAX: usize = 300;

/// Most sentences that are told before one of them is over: more than this nobody reads.
pub const NOTICES_TOLD_MAX: usize = 64;

/// How long the owner's program may take.
pub const NOTIFY_TIMEOUT: Duration = Duration::from_secs(10);

/// Most arguments of the owner's program.
pub const NOTIFY_ARGUMENTS_MAX: usize = 16;

/// Requests for other models that are shown, newest first: no controller sends more.
pub const ASKED_SHOWN_MAX: usize = 32;

const _: () = assert!(SENT_CONTENT_LEN_MAX >= croft_domain::limits::EVIDENCE_LEN_MAX);
const _: () = assert!(RECALLS_MAX <= croft_domain::limits::FACTS_MAX);
const _: () = assert!(RECONNECT_MIN.as_secs() < RECONNECT_MAX.as_secs());
