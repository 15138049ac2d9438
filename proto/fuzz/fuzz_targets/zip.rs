//! Any bytes as a zip archive, and any member within a sound one.
#![no_main]

use std::io::Cursor;

use croft_vetting::limits::FINDINGS_MAX;
use croft_vetting::report::Verdict;
use croft_vetting::scan::scan;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let report = scan(&mut Cursor::new(bytes), bytes.len() as u64);
    assert!(report.findings.len() <= FINDINGS_MAX);
    // What passes ends where it says: one more byte must not.
    if report.verdict == Verdict::Pass && bytes.starts_with(b"PK") {
        let longer = [bytes, b"\0"].concat();
        assert_ne!(scan(&mut Cursor::new(&longer), longer.len() as u64).verdict, Verdict::Pass);
    }
});
