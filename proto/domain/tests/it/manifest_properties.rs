//! Any bytes as a manifest, and good ones with damage: answered, and what holds its rules is written and read again
//! without a change.

use croft_domain::bundle::Manifest;
use proptest::prelude::*;
use serde_json::json;

/// A manifest with every field in use.
fn good() -> Vec<u8> {
    let digest = format!("sha256:{}", "ab".repeat(32));
    let chunk = "cd".repeat(32);
    json!({
        "schema": 1, "name": "starter", "version": 2, "epoch": 3, "architecture": "llama",
        "files": [{"role": "weights", "sha256": digest, "len_bytes": 1_500_000, "chunk_len_bytes": 1 << 20,
            "chunks": [chunk.clone(), chunk]}],
        "template": {"sha256": digest, "source": "{{ messages }}"},
        "parameters": {"context_tokens": 1024, "slots": 1, "temperature": 0.5},
        "aliases": ["chat"],
        "license": {"id": "LicenseRef-X", "use_restrictions": ["none"], "accepted_by": "legal"},
        "provenance": {"source": "test", "vetting_report_sha256": digest},
        "check_prompts": [{"prompt": "1+1", "contains": "2"}],
        "usage_scope": {},
        "header": {"parameters": 10, "quantization": "Q8_0", "context_length": 1024},
    })
    .to_string()
    .into_bytes()
}

fn is_stable(bytes: &[u8]) -> Result<(), TestCaseError> {
    let Ok(manifest) = serde_json::from_slice::<Manifest>(bytes) else { return Ok(()) };
    let _ = (manifest.license.terms(), manifest.reference().to_string());
    if manifest.validate().is_err() {
        return Ok(());
    }
    for file in manifest.every_file() {
        let last = file.chunks.len().checked_sub(1).and_then(|index| file.chunk_range(index));
        prop_assert_eq!(last.map_or(0, |range| range.end), file.len_bytes);
    }
    let written = serde_json::to_vec(&manifest).expect("it was read, so it can be written");
    prop_assert_eq!(serde_json::from_slice::<Manifest>(&written).expect("it was written"), manifest);
    Ok(())
}

#[test]
fn the_sample_is_a_manifest() {
    let manifest: Manifest = serde_json::from_slice(&good()).expect("a manifest");
    manifest.validate().expect("within its rules");
}

proptest! {
    #[test]
    fn p9_any_bytes_as_a_manifest_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        is_stable(&bytes)?;
    }

    #[test]
    fn p9_a_damaged_manifest_is_refused_or_stays_what_it_says(
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = good();
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        is_stable(&bytes)?;
    }

    #[test]
    fn p9_numbers_of_any_size_in_a_manifest_are_answered(
        len_bytes in any::<u64>(),
        chunk_len_bytes in any::<u64>(),
        version in any::<u32>(),
    ) {
        let mut value: serde_json::Value = serde_json::from_slice(&good()).expect("JSON");
        value["files"][0]["len_bytes"] = len_bytes.into();
        value["files"][0]["chunk_len_bytes"] = chunk_len_bytes.into();
        value["version"] = version.into();
        is_stable(value.to_string().as_bytes())?;
    }
}
