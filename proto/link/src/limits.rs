//! Bounds of a link, with units and reasons.

use std::time::Duration;

/// Until a TCP connection stands. A laptop on a bad network needs seconds, a dead host should not hold a task longer.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Until a TLS handshake is done.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// HTTP/2 ping on an idle connection: under the 30 s after which common middleboxes forget one.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);

/// Until a keepalive ping must be answered.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Until one fetched range must be whole: 16 MiB at 140 KB/s.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(120);

/// Most certificates a server may present.
pub const CHAIN_LEN_MAX: usize = 8;

const _: () = assert!(KEEPALIVE_INTERVAL.as_secs() < 30);
