//! Whatever the bytes, the lint ends with a bounded report, and looking deeper never finds less.
#![no_main]

use croft_vetting::gguf::{Depth, lint};
use croft_vetting::limits::FINDINGS_MAX;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let len = bytes.len() as u64;
    let deep = lint(bytes, len, Depth::Full);
    assert!(deep.findings.len() <= FINDINGS_MAX);
    assert!(!deep.passed() || lint(bytes, len, Depth::Header).passed());
    // A caller that states another length is told so, and nothing worse.
    assert!(!lint(bytes, len + 4096, Depth::Full).passed());
    let _ = lint(bytes, u64::MAX, Depth::Header);
});
