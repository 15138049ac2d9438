//! A boot log in the form in which firmware leaves it.

use croft_tpm::event_log::Event;

/// A log as the kernel shows it, with SHA-1 and SHA-256 digests and words that must not be read.
pub fn binary(events: &[Event]) -> Vec<u8> {
    let spec = [
        b"Spec ID Event03\0".as_slice(),
        &[0; 8],
        &2_u32.to_le_bytes(),
        &[4, 0, 20, 0, 0x0B, 0, 32, 0],
        &[0],
    ]
    .concat();
    let len = u32::try_from(spec.len()).expect("short").to_le_bytes();
    let head = [&[0; 4][..], &3_u32.to_le_bytes(), &[0; 20], &len, &spec].concat();
    events.iter().fold(head, |log, event| {
        let words = b"root=/dev/mapper/janes-secret-project";
        let digests = [&[4, 0][..], &[5; 20], &[0x0B, 0], &event.sha256].concat();
        let len = u32::try_from(words.len()).expect("short").to_le_bytes();
        let pcr = u32::from(event.pcr).to_le_bytes();
        [&log[..], &pcr, &event.kind.to_le_bytes(), &2_u32.to_le_bytes(), &digests, &len, words].concat()
    })
}
