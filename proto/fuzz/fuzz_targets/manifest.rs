//! Any bytes as a manifest. What holds its own bounds is written and read again without a change, and its chunks cover
//! each file exactly.
#![no_main]

use croft_domain::bundle::Manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(manifest) = serde_json::from_slice::<Manifest>(bytes) else { return };
    let _ = manifest.license.terms();
    if manifest.validate().is_err() {
        return;
    }
    for file in manifest.every_file() {
        let mut end = 0;
        for index in 0..file.chunks.len() {
            let range = file.chunk_range(index).expect("a range for each chunk");
            assert!(range.start == end && range.end > range.start);
            end = range.end;
        }
        assert_eq!(end, file.len_bytes);
        assert_eq!(file.chunk_range(file.chunks.len()), None);
    }
    let written = serde_json::to_vec(&manifest).expect("it was read, so it can be written");
    assert_eq!(serde_json::from_slice::<Manifest>(&written).expect("it was written, so it can be read"), manifest);
});
