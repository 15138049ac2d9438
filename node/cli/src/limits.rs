//! Every bound of the command in one place, each with its unit and its reason.

use std::time::Duration;

/// Longest the daemon may take to answer what it knows by heart.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// Length of one part of an archive on its way to the daemon, in bytes.
pub const IMPORT_PART_LEN: usize = 1024 * 1024;

/// Parts of an archive that wait to be sent.
pub const IMPORT_QUEUE: usize = 2;

/// Longest enrolling, leaving or previewing may take: the daemon talks to the controller meanwhile.
pub const CONTROLLER_TIMEOUT: Duration = Duration::from_secs(120);

/// How long `service start` waits for the socket to answer: two processes are confined and tested meanwhile.
pub const START_TIMEOUT: Duration = Duration::from_secs(20);

/// How long `service stop` waits for the daemon to drain its workers.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// Pause between two looks while waiting for a process.
pub const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Longest log of a daemon that `service start` started, in bytes; a longer one is begun anew at the next start.
pub const LOG_LEN_MAX: u64 = 8 * 1024 * 1024;

/// Bytes of that log that are shown when the daemon does not come up.
pub const LOG_TAIL_LEN: usize = 2048;

/// Longest text read from stdin, in bytes: an invite line, or a prompt with a source file in it.
pub const STDIN_LEN_MAX: u64 = 1024 * 1024;

/// Longest line of a streamed answer, in bytes. One line holds one decode step.
pub const EVENT_LEN_MAX: usize = 256 * 1024;

/// Longest answer of one request, in bytes.
pub const ANSWER_LEN_MAX: usize = 16 * 1024 * 1024;

/// Longest error body that is read from the gateway, in bytes.
pub const ERROR_BODY_LEN_MAX: u64 = 64 * 1024;

/// Most turns that a chat remembers; older ones are forgotten first.
pub const TURNS_MAX: usize = 64;

const _: () = assert!(EVENT_LEN_MAX < ANSWER_LEN_MAX);

/// Longest lease file, in bytes: a signed lease names a node's bundles and little more.
pub const LEASE_FILE_LEN_MAX: u64 = 256 * 1024;
