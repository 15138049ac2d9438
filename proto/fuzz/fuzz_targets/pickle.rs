//! Any bytes as a pickle. A verdict must come back, whatever they are, and the same one each time.
#![no_main]

use std::io::Cursor;

use croft_vetting::limits::FINDINGS_MAX;
use croft_vetting::scan::scan;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let whole = [b"\x80\x04", bytes].concat();
    let report = scan(&mut Cursor::new(&whole), whole.len() as u64);
    assert!(report.findings.len() <= FINDINGS_MAX);
    assert_eq!(report, scan(&mut Cursor::new(&whole), whole.len() as u64));
    // What the bytes are when nothing says that they are a pickle.
    scan(&mut Cursor::new(bytes), bytes.len() as u64);
});
