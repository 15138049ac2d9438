//! What an attacker can do who holds some of the keys: sign anything, in any version.

use croft_trust::digest::sha256;
use croft_trust::sign::SigningKey;
use croft_trust::store::MemorySource;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tough::schema::{Role, Root, Signature, Signed, Snapshot, Targets, Timestamp};

/// The signed part of a served file, to be changed.
pub fn signed_part(source: &MemorySource, name: &str) -> Value {
    let whole: Value = serde_json::from_slice(&source.0[name]).expect("metadata");
    whole["signed"].clone()
}

fn sign<T: Role + Serialize + DeserializeOwned>(signed: Value, keys: &[&SigningKey], root: &Root) -> Vec<u8> {
    let signed: T = serde_json::from_value(signed).expect("a role");
    let canonical = signed.canonical_form().expect("canonical");
    let signatures = keys
        .iter()
        .map(|key| {
            let random = SystemRandom::new();
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key.pkcs8(), &random);
            let pair = pair.expect("a key");
            let point = key.point().to_vec();
            let found = root.keys.iter().find(|(_, listed)| {
                matches!(listed, tough::schema::key::Key::Ecdsa { keyval, .. } if keyval.public == point)
            });
            // A key that the root does not list has some id of its own.
            let keyid = found.map_or_else(|| sha256(&point).0.to_vec().into(), |(id, _)| id.clone());
            let sig = pair.sign(&random, &canonical).expect("signed").as_ref().to_vec().into();
            Signature { keyid, sig }
        })
        .collect();
    serde_json::to_vec(&Signed { signed, signatures }).expect("written")
}

fn root_of(source: &MemorySource) -> Root {
    let newest = (1..).take_while(|version| source.0.contains_key(&format!("{version}.root.json"))).last();
    let name = format!("{}.root.json", newest.expect("a root"));
    serde_json::from_value(signed_part(source, &name)).expect("a root")
}

/// Signs `signed` as targets and stores it under its version.
pub fn put_targets(source: &mut MemorySource, signed: Value, keys: &[&SigningKey]) {
    let name = format!("{}.targets.json", signed["version"]);
    let bytes = sign::<Targets>(signed, keys, &root_of(source));
    source.0.insert(name, bytes);
}

/// Signs `signed` as a root and stores it as version `served_as`.
pub fn put_root(source: &mut MemorySource, signed: Value, served_as: u64, keys: &[&SigningKey]) {
    let bytes = sign::<Root>(signed, keys, &root_of(source));
    source.0.insert(format!("{served_as}.root.json"), bytes);
}

/// Signs a snapshot and a timestamp, both of version `version`, over the targets of version `targets_version`, after
/// `change` has changed each of them.
pub fn seal(
    source: &mut MemorySource,
    targets_version: u64,
    version: u64,
    key: &SigningKey,
    mut change: impl FnMut(&mut Value),
) {
    let old_timestamp = signed_part(source, "timestamp.json");
    let listed = &old_timestamp["meta"]["snapshot.json"]["version"];
    let mut snapshot = signed_part(source, &format!("{listed}.snapshot.json"));
    let root = root_of(source);
    let targets = &source.0[&format!("{targets_version}.targets.json")];
    snapshot["version"] = version.into();
    snapshot["meta"]["targets.json"] = metafile(targets_version, targets);
    change(&mut snapshot);
    let snapshot = sign::<Snapshot>(snapshot, &[key], &root);
    let mut timestamp = old_timestamp;
    timestamp["version"] = version.into();
    timestamp["meta"]["snapshot.json"] = metafile(version, &snapshot);
    change(&mut timestamp);
    let timestamp = sign::<Timestamp>(timestamp, &[key], &root);
    source.0.insert(format!("{version}.snapshot.json"), snapshot);
    source.0.insert("timestamp.json".to_owned(), timestamp);
}

fn metafile(version: u64, bytes: &[u8]) -> Value {
    json!({"version": version, "length": bytes.len(), "hashes": {"sha256": sha256(bytes).hex()}})
}
