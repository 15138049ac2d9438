//! Fetching what a source offers, within bounds and without believing any of it.
//!
//! Everything is fetched before anything is judged. What is read of unverified metadata on the way are version numbers,
//! and each file has its own bound, so a hostile source can waste at most 8 MiB before signatures are checked.

use std::collections::BTreeMap;

use croft_domain::digest::Sha256Digest;
use tough::schema::{Signed, Snapshot, Targets, Timestamp as TimestampRole};

use super::TrustError;
use super::set::{Current, Set};
use super::source::{TrustSource, fetch, fetch_optional};
use super::verify::{Verified, listed};
use crate::digest::sha256;
use crate::limits::{
    ROOT_LEN_MAX, ROOT_UPDATES_MAX, ROOTS_STORED_MAX, SET_LEN_MAX, SNAPSHOT_LEN_MAX, TARGETS_LEN_MAX,
    TIMESTAMP_LEN_MAX,
};
use crate::repository::target_len_max;

/// Fetches the metadata: new roots one by one (TUF 5.3.3), then timestamp, snapshot and targets.
pub(super) async fn metadata(source: &dyn TrustSource, stored: &Set) -> Result<Set, TrustError> {
    let mut roots = stored.roots.clone();
    let newest = roots.keys().next_back().copied().unwrap_or(0);
    let mut version = newest;
    loop {
        version += 1;
        let name = format!("{version}.root.json");
        let Some(bytes) = fetch_optional(source, &name, ROOT_LEN_MAX).await? else { break };
        if version - newest > ROOT_UPDATES_MAX || roots.len() >= ROOTS_STORED_MAX {
            return Err(TrustError::Limit("more than 64 new roots at once, or 1024 in all"));
        }
        roots.insert(version, bytes);
    }
    let timestamp = fetch(source, "timestamp.json", TIMESTAMP_LEN_MAX).await?;
    let role: Signed<TimestampRole> = parse("timestamp.json", &timestamp)?;
    let version = listed_version("timestamp.json", "snapshot.json", &role.signed.meta)?;
    let name = format!("{version}.snapshot.json");
    let snapshot = (version, fetch(source, &name, SNAPSHOT_LEN_MAX).await?);
    let role: Signed<Snapshot> = parse(&name, &snapshot.1)?;
    let version = listed_version(&name, "targets.json", &role.signed.meta)?;
    let name = format!("{version}.targets.json");
    let targets = (version, fetch(source, &name, TARGETS_LEN_MAX).await?);
    let role: Signed<Targets> = parse(&name, &targets.1)?;
    if role.signed.delegations.is_some() {
        return Err(TrustError::malformed(name, "delegations are not used"));
    }
    let current = Some(Current { timestamp, snapshot, targets });
    Ok(Set { roots, current, documents: BTreeMap::new() })
}

/// Fetches every listed target that is not stored yet, and checks all of them against their listed length and digest.
pub(super) async fn documents(
    source: &dyn TrustSource,
    verified: &Verified,
    stored: &Set,
) -> Result<BTreeMap<String, Vec<u8>>, TrustError> {
    let listed = listed(&verified.targets)?;
    check_lengths(&listed)?;
    let mut documents = BTreeMap::new();
    for (name, (digest, length)) in listed {
        let served = served_name(&name, digest);
        let bytes = match stored.documents.get(&served) {
            Some(bytes) => bytes.clone(),
            None => fetch(source, &served, length).await?,
        };
        check_document(&name, &bytes, digest, length)?;
        documents.insert(served, bytes);
    }
    Ok(documents)
}

/// Checks stored targets as [`documents`] checks fetched ones, and that there are no others.
pub(super) fn check_stored(verified: &Verified, stored: &Set) -> Result<(), TrustError> {
    let listed = listed(&verified.targets)?;
    check_lengths(&listed)?;
    for (name, (digest, length)) in &listed {
        let bytes = stored.documents.get(&served_name(name, *digest));
        let bytes = bytes.ok_or_else(|| TrustError::Missing { name: name.clone() })?;
        check_document(name, bytes, *digest, *length)?;
    }
    if listed.len() == stored.documents.len() {
        Ok(())
    } else {
        Err(TrustError::Limit("there are targets that the metadata does not list"))
    }
}

fn check_lengths(listed: &BTreeMap<String, ([u8; 32], u64)>) -> Result<(), TrustError> {
    let mut sum = 0_u64;
    for (name, (_, length)) in listed {
        let len_max = target_len_max(name);
        if *length > len_max {
            return Err(TrustError::TooLarge { name: name.clone(), len_max });
        }
        sum += length;
    }
    if sum > SET_LEN_MAX { Err(TrustError::Limit("targets larger than 256 MiB together")) } else { Ok(()) }
}

fn check_document(name: &str, bytes: &[u8], digest: [u8; 32], length: u64) -> Result<(), TrustError> {
    if bytes.len() as u64 == length && sha256(bytes).0 == digest {
        Ok(())
    } else {
        Err(TrustError::Mixed { name: name.to_owned() })
    }
}

fn served_name(name: &str, digest: [u8; 32]) -> String {
    format!("{}.{name}", Sha256Digest(digest).hex())
}

fn listed_version(
    name: &str,
    of: &str,
    meta: &std::collections::HashMap<String, tough::schema::Metafile>,
) -> Result<u64, TrustError> {
    let listed = meta.get(of).map(|file| file.version.get());
    listed.ok_or_else(|| TrustError::malformed(name, format_args!("does not list {of}")))
}

fn parse<T: serde::de::DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, TrustError> {
    serde_json::from_slice(bytes).map_err(|error| TrustError::malformed(name, error))
}
