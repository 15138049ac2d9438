//! Any bytes as an OMS signature, and any bytes as the statement that a key we believe has signed.
#![no_main]

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use croft_trust::oms::{check_files, key_hint, verify};
use croft_trust::sign::{Signer as _, SigningKey};
use libfuzzer_sys::fuzz_target;

static KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::generate().expect("a key"));

const TYPE: &str = "application/vnd.in-toto+json";

/// What a dishonest publisher could sign.
fn signed(payload: &[u8]) -> Vec<u8> {
    let over = [format!("DSSEv1 {} {TYPE} {} ", TYPE.len(), payload.len()).as_bytes(), payload].concat();
    let signature = KEY.sign_message(&over).expect("a signature");
    serde_json::to_vec(&serde_json::json!({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": key_hint(&KEY.point())}, "tlogEntries": []},
        "dsseEnvelope": {"payload": STANDARD.encode(payload), "payloadType": TYPE,
            "signatures": [{"sig": STANDARD.encode(signature), "keyid": ""}]},
    }))
    .expect("texts only")
}

fuzz_target!(|bytes: &[u8]| {
    assert!(verify(bytes, &KEY.point()).is_err(), "nobody else signs with this key");
    let Ok(resources) = verify(&signed(bytes), &KEY.point()) else { return };
    for resource in &resources {
        let name = &resource.name;
        assert!(!name.starts_with('/') && !name.split('/').any(|part| matches!(part, "" | "." | "..")), "{name}");
    }
    check_files(&resources, &resources).expect("the files that were signed");
});
