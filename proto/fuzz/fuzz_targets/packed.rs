//! Any bytes as a 7z archive whose checksums are true, or as a stream of one of the formats that compress.
#![no_main]

use std::io::Cursor;

use croft_vetting::limits::FINDINGS_MAX;
use croft_vetting::report::Verdict;
use croft_vetting::scan::scan;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.to_vec();
    if bytes.len() > 32 && bytes.starts_with(b"7z\xbc\xaf\x27\x1c") {
        make_true(&mut bytes);
    }
    let report = scan(&mut Cursor::new(&bytes), bytes.len() as u64);
    assert!(report.findings.len() <= FINDINGS_MAX);
    // What passes ends where it says: one more byte must not.
    let packed = ["7z", "bzip2", "xz", "lzma", "lz4", "zstd"];
    let format = serde_json::to_string(&report.format).expect("a format");
    if report.verdict == Verdict::Pass && packed.contains(&format.trim_matches('"')) {
        bytes.push(0);
        assert_ne!(scan(&mut Cursor::new(&bytes), bytes.len() as u64).verdict, Verdict::Pass);
    }
});

/// Otherwise hardly an input would come further than its first checksum.
fn make_true(bytes: &mut [u8]) {
    let room = bytes.len() - 32;
    let offset = usize::from(u16::from_le_bytes([bytes[12], bytes[13]])) % (room + 1);
    let sum = crc32fast::hash(&bytes[32 + offset..]);
    bytes[12..20].copy_from_slice(&(offset as u64).to_le_bytes());
    bytes[20..28].copy_from_slice(&((room - offset) as u64).to_le_bytes());
    bytes[28..32].copy_from_slice(&sum.to_le_bytes());
    let sum = crc32fast::hash(&bytes[12..32]);
    bytes[8..12].copy_from_slice(&sum.to_le_bytes());
}
