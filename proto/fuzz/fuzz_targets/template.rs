//! Whatever the text, the review ends with a bounded report, and says the same twice.
#![no_main]

use croft_vetting::limits::FINDINGS_MAX;
use croft_vetting::template::review;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let report = review(bytes, bytes.len() as u64);
    assert!(report.findings.len() <= FINDINGS_MAX);
    assert!(!report.passed() || review(bytes, bytes.len() as u64).passed());
});
