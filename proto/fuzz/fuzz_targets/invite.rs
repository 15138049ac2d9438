//! Any text as an invite's line, and any bytes as an invite whose checksum holds.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use croft_trust::digest::sha256;
use croft_trust::invite_line::{PREFIX, decode, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(line) = std::str::from_utf8(bytes) {
        let _ = decode(line);
        let _ = decode(&format!("{PREFIX}{line}"));
    }
    let checked = [bytes, &sha256(bytes).0[..4]].concat();
    if let Ok(invite) = decode(&format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(checked))) {
        assert!(decode(&encode(&invite)).expect("our own line") == invite);
    }
});
