//! Every bound of the controller, each with its unit and its reason.

use std::time::Duration;

/// Links of a chain in one answer to an auditor: with the largest evidence and verdict, well below a message's bound.
pub const CHAIN_PAGE_MAX: usize = 32;

/// Open connections at once. A fleet of 10,000 nodes holds one each; the rest is room for downloads and a storm.
pub const CONNECTIONS_MAX: usize = 20_000;

/// TLS handshakes at once. They share the CPU with the streams whatever this is; it bounds the memory of peers that connect
/// and say nothing, and is high enough that those cannot lock out a whole fleet that comes back.
pub const HANDSHAKES_MAX: usize = 2_048;

/// How long a peer may take for its handshake, so that a silent one holds no slot.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How often an idle HTTP/2 connection is pinged; below the one-minute idle cut of common middleboxes.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);

/// How long a ping may stay unanswered before the connection counts as dead.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Requests at once on one connection. A node needs four.
pub const STREAMS_PER_CONNECTION_MAX: u32 = 64;

/// How long a revoked peer's connection may take to end by itself before it is cut.
pub const REVOKED_LINGER: Duration = Duration::from_millis(500);

/// How long a stopping controller waits for requests in flight.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Lifetime of a node's certificate: as long as the longest lease.
pub const NODE_CERTIFICATE_TTL_S: u64 = 7 * 86_400;

/// Longest lifetime of a node's certificate that may be asked for: what a stolen one is good for, unless it is noticed.
pub const NODE_CERTIFICATE_TTL_MAX_S: u64 = 30 * 86_400;

/// Lifetime of an admin's certificate.
pub const ADMIN_CERTIFICATE_TTL_S: u64 = 397 * 86_400;

/// Lifetime of the server's own certificate, which is made anew at each start.
pub const SERVER_CERTIFICATE_TTL_S: u64 = 397 * 86_400;

/// Lifetime of the CA: ten years; it is replaced by pinning a second one in `fleet.json`.
pub const CA_TTL_S: u64 = 3650 * 86_400;

/// How far before now a certificate begins, in seconds, so that a client whose clock is behind accepts it.
pub const CERTIFICATE_BACKDATE_S: u64 = 3_600;

/// Largest certificate request, in bytes. One over P-256 is about 300.
pub const CSR_LEN_MAX: usize = 4 * 1024;

/// How long a challenge may be answered, in seconds: collecting facts takes seconds, not minutes.
pub const NONCE_TTL_S: u64 = 120;

/// Most uses of one invite.
pub const INVITE_USES_MAX: u32 = 10_000;

/// Events that wait for one watching node. More means that it does not read: its stream ends and it comes again.
pub const WATCH_QUEUE_MAX: usize = 16;

/// Largest message from a node or from somebody without a certificate, in bytes: evidence with room.
pub const SMALL_MESSAGE_LEN_MAX: usize = 64 * 1024;

/// Most bytes of one upload part.
pub const UPLOAD_PART_LEN_MAX: usize = 1024 * 1024;

/// Largest blob, in bytes (200 GB): the largest model that anybody runs on one workstation.
pub const BLOB_LEN_MAX: u64 = 200_000_000_000;

/// Bytes read from disk at once for a download.
pub const DOWNLOAD_PART_LEN: usize = 256 * 1024;

/// Most files in one published metadata set.
pub const TRUST_FILES_MAX: usize = 4_096;

/// Database connections. One of them writes when the database is `SQLite`.
pub const DATABASE_CONNECTIONS_MAX: u32 = 8;

/// How long a query waits for a database connection.
pub const DATABASE_ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long evidence bodies are kept unless told otherwise, in seconds (ninety days). The chain commits to salted hashes and
/// stands without.
pub const EVIDENCE_KEPT_S: u64 = 90 * 86_400;

/// How long verdict bodies are kept unless told otherwise, in seconds (six years): the usual time in which somebody may ask.
pub const VERDICTS_KEPT_S: u64 = 6 * YEAR_S;

/// Shortest and longest time for which bodies are kept, in seconds.
pub const KEPT_MIN_S: u64 = 86_400;

/// See [`KEPT_MIN_S`]; a hundred years.
pub const KEPT_MAX_S: u64 = 100 * YEAR_S;

/// A year, in seconds (365.25 days).
pub const YEAR_S: u64 = 31_557_600;

/// How often old bodies are looked for, in seconds.
pub const ERASE_EVERY_S: u64 = 86_400;

/// Open requests of one node for other models: more is not read anyway.
pub const REQUESTS_OF_NODE_MAX: u64 = 8;

/// Most open requests in one answer, oldest first: what fits a message.
pub const REQUESTS_SHOWN_MAX: i64 = 1_000;

/// Most admin actions in one answer.
pub const ACTIONS_MAX: u32 = 1000;

/// Smallest and largest distance between scheduled reports, in seconds.
pub const REPORT_EVERY_MIN_S: u64 = 60;

/// See [`REPORT_EVERY_MIN_S`]; a year.
pub const REPORT_EVERY_MAX_S: u64 = 366 * 86_400;

/// Reports that are kept. A daily report for two years.
pub const REPORTS_KEPT: i64 = 731;

/// Smallest group whose census is shown, in nodes: in a smaller one, numbers would be about a person.
pub const CENSUS_GROUP_MIN: usize = 5;

/// Days over which use of models is summed, today with them; counters are kept no longer.
pub const USAGE_DAYS: u32 = 31;

/// Largest counter that is taken from one evidence: more than any machine reaches, and as many as a year has minutes
/// stay below what a sum may hold.
pub const COUNT_MAX: u64 = 1_000_000_000_000;

/// Requests of one node that it is shown, newest first.
pub const REQUESTS_OF_NODE_SHOWN_MAX: i64 = 32;

/// How long an answered request is kept, so that who asked hears of it, in seconds.
pub const REQUEST_ANSWER_KEPT_S: u64 = 90 * 86_400;

const _: () = assert!(HANDSHAKES_MAX < CONNECTIONS_MAX);
const _: () = assert!(NONCE_TTL_S < NODE_CERTIFICATE_TTL_S);
const _: () = assert!(croft_domain::limits::EVIDENCE_LEN_MAX * 2 <= SMALL_MESSAGE_LEN_MAX);
const _: () = assert!(UPLOAD_PART_LEN_MAX < croft_proto::grpc::MESSAGE_LEN_MAX);
