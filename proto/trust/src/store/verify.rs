//! Running `tough` over files that are already in memory, on a scratch copy of the client's state.
//!
//! `tough` judges signatures, thresholds, the chain of roots and what each role lists of the next (TUF 5.3 to 5.6). It is
//! told not to judge time, because it asks the system's clock itself; [`super::times`] does it with the caller's. Its
//! rollback checks work on a scratch copy, because it writes each role before it has seen the next, and skips a check
//! when a stored file does not parse.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use croft_domain::evidence::TrustSeen;
use croft_domain::time::Timestamp;
use tough::schema::{Root, Signed, Targets};
use tough::{
    ExpirationEnforcement, Limits, RepositoryLoader, Transport, TransportError, TransportErrorKind,
    TransportStream,
};
use url::Url;

use super::TrustError;
use super::set::{Current, Set};
use crate::limits::{ROOT_LEN_MAX, SNAPSHOT_LEN_MAX, TARGETS_LEN_MAX, TARGETS_MAX, TIMESTAMP_LEN_MAX};
use crate::repository::SIGNED_AT;

/// Metadata whose signatures hold. There is no other way to make one than [`verify`].
pub(super) struct Verified {
    pub(super) versions: TrustSeen,
    /// Expiry of each role.
    pub(super) expires: [(&'static str, Timestamp); 4],
    pub(super) signed_at: Timestamp,
    pub(super) targets: Targets,
}

/// Verifies `offered` from its root of version `start` on. `stored` is what was believed before.
pub(super) async fn verify(
    offered: &Set,
    start: u64,
    stored: Option<&Current>,
    scratch_parent: &Path,
) -> Result<Verified, TrustError> {
    let root = offered.roots.get(&start).ok_or(TrustError::Limit("the chain of roots has no beginning"))?;
    let scratch = scratch(scratch_parent, stored)?;
    let files = offered.metadata().into_iter().map(|(name, bytes)| (name, Bytes::from(bytes))).collect();
    let base = Url::parse("memory://set/").expect("a constant");
    let repository = RepositoryLoader::new(root, base.clone(), base)
        .transport(MemoryTransport(Arc::new(files)))
        .limits(Limits {
            max_root_size: ROOT_LEN_MAX,
            max_targets_size: TARGETS_LEN_MAX,
            max_timestamp_size: TIMESTAMP_LEN_MAX,
            max_snapshot_size: SNAPSHOT_LEN_MAX,
            // The caller has counted the roots; tough needs one step more to see that there is no further one.
            max_root_updates: offered.roots.len() as u64 + 1,
        })
        .datastore(scratch.path())
        .expiration_enforcement(ExpirationEnforcement::Unsafe)
        .load()
        .await
        .map_err(refused)?;
    let (root, targets) = (repository.root(), repository.targets());
    let (snapshot, timestamp) = (repository.snapshot(), repository.timestamp());
    check_shape(&root.signed, &targets.signed, snapshot.signed.meta.len())?;
    let signed_at = timestamp.signed._extra.get(SIGNED_AT).and_then(serde_json::Value::as_u64);
    let signed_at = signed_at
        .ok_or_else(|| TrustError::malformed("timestamp.json", "does not say when it was signed"))?;
    Ok(Verified {
        versions: TrustSeen {
            root: root.signed.version.get(),
            targets: targets.signed.version.get(),
            snapshot: snapshot.signed.version.get(),
            timestamp: timestamp.signed.version.get(),
        },
        expires: [
            ("root", seconds(root.signed.expires)),
            ("targets", seconds(targets.signed.expires)),
            ("snapshot", seconds(snapshot.signed.expires)),
            ("timestamp", seconds(timestamp.signed.expires)),
        ],
        signed_at: Timestamp(signed_at),
        targets: targets.signed.clone(),
    })
}

/// Verifies that `bytes` are a root that its own keys have signed, and gives its version.
pub(super) fn verify_first_root(bytes: &[u8]) -> Result<u64, TrustError> {
    let root: Signed<Root> =
        serde_json::from_slice(bytes).map_err(|error| TrustError::malformed("root.json", error))?;
    root.signed.verify_role(&root).map_err(|error| TrustError::malformed("root.json", error))?;
    Ok(root.signed.version.get())
}

/// Parts of TUF that Croft does not use are refused rather than carried along.
fn check_shape(root: &Root, targets: &Targets, snapshot_len: usize) -> Result<(), TrustError> {
    if !root.consistent_snapshot {
        return Err(TrustError::malformed("root.json", "consistent snapshots are off"));
    }
    if targets.delegations.is_some() || snapshot_len != 1 {
        return Err(TrustError::malformed("targets.json", "delegations are not used"));
    }
    if targets.targets.len() > TARGETS_MAX {
        return Err(TrustError::Limit("more than 4096 targets"));
    }
    Ok(())
}

fn scratch(parent: &Path, stored: Option<&Current>) -> Result<tempfile::TempDir, TrustError> {
    let failed = |error: std::io::Error| TrustError::State {
        path: parent.to_owned(),
        reason: format!("no scratch folder: {error}"),
    };
    let dir = tempfile::Builder::new().prefix(super::SCRATCH_PREFIX).tempdir_in(parent).map_err(failed)?;
    if let Some(current) = stored {
        std::fs::write(dir.path().join("timestamp.json"), &current.timestamp).map_err(failed)?;
        std::fs::write(dir.path().join("snapshot.json"), &current.snapshot.1).map_err(failed)?;
        std::fs::write(dir.path().join("targets.json"), &current.targets.1).map_err(failed)?;
    }
    Ok(dir)
}

fn refused(error: tough::error::Error) -> TrustError {
    use tough::error::Error;
    let rollback = |what: String, seen: u64, offered: u64| TrustError::Rollback { what, seen, offered };
    match error {
        Error::OlderMetadata { role, current_version, new_version, .. } => {
            rollback(role.to_string(), current_version, new_version)
        }
        Error::OlderSnapshotInTimestamp { snapshot_old, snapshot_new, .. } => {
            rollback("snapshot".to_owned(), snapshot_old, snapshot_new)
        }
        Error::SnapshotRoleRollback { role, old_role_version, new_role_version, .. } => {
            rollback(role, old_role_version, new_role_version)
        }
        other => TrustError::Forged(Box::new(other)),
    }
}

/// Metadata's times as whole seconds; before the epoch counts as the epoch, which is expired.
fn seconds(at: jiff::Timestamp) -> Timestamp {
    Timestamp(u64::try_from(at.as_second()).unwrap_or(0))
}

/// Gives tough the files that were gathered before, and nothing else.
#[derive(Clone, Debug)]
struct MemoryTransport(Arc<HashMap<String, Bytes>>);

#[tough::async_trait]
impl Transport for MemoryTransport {
    async fn fetch(&self, url: Url) -> Result<TransportStream, TransportError> {
        let name = url.path().trim_start_matches('/');
        let bytes = self.0.get(name).cloned();
        let bytes = bytes.ok_or_else(|| TransportError::new(TransportErrorKind::FileNotFound, &url))?;
        Ok(Box::pin(futures_util::stream::iter([Ok(bytes)])))
    }
}

/// [`verify`] for callers that are not asynchronous, on a thread of its own: the caller's may already run a runtime.
pub(super) fn verify_blocking(offered: &Set, start: u64, scratch: &Path) -> Result<Verified, TrustError> {
    let failed = |reason: String| TrustError::State { path: scratch.to_owned(), reason };
    std::thread::scope(|scope| {
        let work = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .map_err(|error| failed(format!("no runtime: {error}")))?;
            runtime.block_on(verify(offered, start, None, scratch))
        });
        work.join().unwrap_or_else(|_| Err(failed("verification stopped unexpectedly".to_owned())))
    })
}

/// Digests and lengths of all targets by name, sorted.
pub(super) fn listed(targets: &Targets) -> Result<BTreeMap<String, ([u8; 32], u64)>, TrustError> {
    let mut listed = BTreeMap::new();
    for (name, target) in &targets.targets {
        let name = name.raw().to_owned();
        let digest = <[u8; 32]>::try_from(&target.hashes.sha256[..]);
        let digest = digest.map_err(|_| TrustError::malformed(&name, "its listed hash is not SHA-256"))?;
        if !crate::repository::is_target_name(&name) {
            return Err(TrustError::malformed(&name, "not a flat target name"));
        }
        listed.insert(name, (digest, target.length));
    }
    Ok(listed)
}
