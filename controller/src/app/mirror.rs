//! The signed state as admins published it. The controller verifies it as a node would and serves it as it came; it
//! holds no key to change a byte of it (P3).

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use croft_domain::time::Timestamp;
use croft_trust::digest::sha256;
use croft_trust::store::{
    ExpectedRoot, Floors, MemorySource, TrustError, TrustStore, TrustView, seal_versions,
};
use tokio::sync::Mutex;

use super::hub::News;
use super::{Actor, App, AppError};
use crate::limits;

/// One file under the name in which it is served.
pub type TrustFile = (String, Vec<u8>);

/// What is published now.
pub struct Published {
    /// What it says.
    pub view: Arc<TrustView>,
    current: BTreeMap<String, Bytes>,
    // What was published just before: a node in the middle of an update still asks for it.
    previous: BTreeMap<String, Bytes>,
}

impl Published {
    /// A file by the name in which it is served.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<Bytes> {
        self.current.get(name).or_else(|| self.previous.get(name)).cloned()
    }

    /// The newest root's exact bytes.
    fn root(&self) -> Option<&Bytes> {
        let version = |name: &str| name.strip_suffix(".root.json")?.parse::<u64>().ok();
        let roots = self.current.iter().filter_map(|(name, bytes)| Some((version(name)?, bytes)));
        roots.max_by_key(|(version, _)| *version).map(|(_, bytes)| bytes)
    }

    /// The same set under another seal.
    fn resealed(&self, version: u64, snapshot: Vec<u8>, timestamp: Vec<u8>) -> Vec<TrustFile> {
        let kept = self.current.iter().filter(|(name, _)| !name.ends_with(".snapshot.json"));
        let mut files: BTreeMap<String, Vec<u8>> =
            kept.map(|(name, bytes)| (name.clone(), bytes.to_vec())).collect();
        files.insert(format!("{version}.snapshot.json"), snapshot);
        files.insert("timestamp.json".to_owned(), timestamp);
        files.into_iter().collect()
    }

    /// Metadata and targets, apart.
    #[must_use]
    pub fn files(&self) -> (Vec<TrustFile>, Vec<TrustFile>) {
        let all = self.current.iter().map(|(name, bytes)| (name.clone(), bytes.to_vec()));
        all.partition(|(name, _)| !is_target(name))
    }
}

// Consistent snapshots: a target's served name begins with its digest, metadata's with a version or its role.
fn is_target(name: &str) -> bool {
    name.split('.').next().is_some_and(|first| first.len() == 64)
}

/// The mirror: a verified store on disk and what is served from it.
pub struct Mirror {
    folder: PathBuf,
    floors: PathBuf,
    store: Mutex<Option<TrustStore>>,
    published: ArcSwapOption<Published>,
}

impl Mirror {
    /// Opens the mirror below the state folder, verifying what it holds again.
    ///
    /// # Errors
    /// If what it holds is damaged or older than its floors: an alarm, never a reason to start afresh.
    pub fn open(state: &Path) -> Result<Self, TrustError> {
        let (folder, floors) = (state.join("trust"), state.join("floors").join("trust.json"));
        let is_fresh = !folder.join("set").exists() && !has_believed(&floors);
        let store = if is_fresh { None } else { Some(TrustStore::open(&folder, &floors)?) };
        let published = store.as_ref().and_then(|store| publish(store, None));
        Ok(Self { folder, floors, store: Mutex::new(store), published: ArcSwapOption::new(published) })
    }

    /// What is published; none before the first time.
    #[must_use]
    pub fn current(&self) -> Option<Arc<Published>> {
        self.published.load_full()
    }

    async fn take_over(
        &self,
        files: BTreeMap<String, Vec<u8>>,
        now: Timestamp,
        accept: impl Fn(&TrustView) -> Result<(), AppError>,
    ) -> Result<Arc<TrustView>, AppError> {
        let mut store = self.store.lock().await;
        // Judged on a copy first: what our own rules refuse must not have been swapped in by then.
        let trial =
            tempfile_in(&self.folder).map_err(|_| AppError::Internal("cannot make a scratch folder"))?;
        let judged = self.judge(&trial, &files, now).await;
        let cleaned = std::fs::remove_dir_all(&trial);
        accept(&*judged?)?;
        cleaned.map_err(|_| AppError::Internal("cannot remove a scratch folder"))?;

        let believed = store.as_ref().is_some_and(|store| store.view().is_some());
        if !believed {
            *store = Some(self.start(&self.folder, &self.floors, &files)?);
        }
        let Some(open) = store.as_mut() else { return Err(AppError::Internal("no trust store")) };
        let view = open.update(&MemorySource(files), now).await.map_err(AppError::Trust)?;
        let before = self.published.load_full();
        self.published.store(publish(open, before.as_deref()));
        Ok(view)
    }

    async fn judge(
        &self,
        trial: &Path,
        files: &BTreeMap<String, Vec<u8>>,
        now: Timestamp,
    ) -> Result<Arc<TrustView>, AppError> {
        let mut store = self.start(trial, &trial.join("floors.json"), files)?;
        store.update(&MemorySource(files.clone()), now).await.map_err(AppError::Trust)
    }

    // The first publish is believed because the first admin's certificate vouches for it; each later one only if it
    // follows from the roots before.
    fn start(
        &self,
        folder: &Path,
        floors: &Path,
        files: &BTreeMap<String, Vec<u8>>,
    ) -> Result<TrustStore, AppError> {
        let root = files
            .iter()
            .filter_map(|(name, bytes)| Some((name.strip_suffix(".root.json")?.parse::<u64>().ok()?, bytes)))
            .min_by_key(|(version, _)| *version)
            .map(|(_, bytes)| bytes)
            .ok_or_else(|| AppError::Input("metadata: expected a root, N.root.json".to_owned()))?;
        // Nothing was believed yet, so what an interrupted first publish left may go.
        for leftover in [folder.join("set"), folder.join("set.new")] {
            remove(&leftover).map_err(|_| AppError::Internal("cannot clear an unfinished mirror"))?;
        }
        remove(floors).map_err(|_| AppError::Internal("cannot clear an unfinished mirror"))?;
        let expected = ExpectedRoot { sha256: sha256(root) };
        TrustStore::bootstrap(folder, floors, root, &expected, Floors::default()).map_err(AppError::Trust)
    }
}

// Floors are written before the set. A crash between the two leaves floors under which nothing was believed yet; every
// other file of floors without a set is an alarm, and `TrustStore::open` raises it.
fn has_believed(floors: &Path) -> bool {
    let Ok(bytes) = std::fs::read(floors) else { return floors.exists() };
    serde_json::from_slice::<serde_json::Value>(&bytes)
        .ok()
        .and_then(|guard| guard.pointer("/floors/versions/timestamp")?.as_u64())
        != Some(0)
}

fn publish(store: &TrustStore, before: Option<&Published>) -> Option<Arc<Published>> {
    let view = store.view()?;
    let current = store.files().into_iter().map(|(name, bytes)| (name, Bytes::from(bytes))).collect();
    let previous = before.map(|published| published.current.clone()).unwrap_or_default();
    Some(Arc::new(Published { view, current, previous }))
}

fn tempfile_in(folder: &Path) -> io::Result<PathBuf> {
    let trial = folder.with_extension("trial");
    remove(&trial)?;
    std::fs::create_dir_all(&trial)?;
    Ok(trial)
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    match removed {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

impl App {
    /// Takes over a published set, all or nothing, and tells every node.
    ///
    /// # Errors
    /// [`AppError::Trust`] if it does not hold; [`AppError::Input`] if it is another fleet's, or would not let this
    /// controller certify nodes and sign leases.
    pub async fn publish(
        &self,
        actor: &Actor,
        files: Vec<TrustFile>,
        now: Timestamp,
    ) -> Result<Arc<TrustView>, AppError> {
        if files.len() > limits::TRUST_FILES_MAX {
            return Err(AppError::Input("metadata, targets: expected at most 4096 files".to_owned()));
        }
        let view = self.mirror.take_over(files.into_iter().collect(), now, |view| self.accepts(view)).await?;
        let versions = format!("targets {}, timestamp {}", view.versions.targets, view.versions.timestamp);
        self.audit(actor, "trust.publish", &self.fleet.to_string(), &versions, now).await?;
        self.metrics.metadata_expires_at.set(i64::try_from(view.expires_at.0).unwrap_or(i64::MAX));
        self.hub.tell_all(&News::State);
        Ok(view)
    }

    /// Takes over a new seal of the published set, from whoever brings it: the freshness key's signature is the right.
    /// Strangers can make this verify two signatures and no more.
    ///
    /// # Errors
    /// [`AppError::Trust`] if the key did not sign it, it is not newer, or it is over other targets.
    pub async fn seal(
        &self,
        snapshot: Vec<u8>,
        timestamp: Vec<u8>,
        now: Timestamp,
    ) -> Result<Arc<TrustView>, AppError> {
        let published = self.mirror.current().ok_or(AppError::Unpublished)?;
        let root = published.root().ok_or(AppError::Internal("a published set without a root"))?;
        let (version, offered) = seal_versions(root, &snapshot, &timestamp).map_err(AppError::Trust)?;
        let seen = published.view.versions.timestamp;
        if offered <= seen {
            let what = "timestamp".to_owned();
            return Err(AppError::Trust(TrustError::Rollback { what, seen, offered }));
        }
        let files = published.resealed(version, snapshot, timestamp);
        self.publish(&Actor { name: "freshness".to_owned() }, files, now).await
    }

    // Signed by the right keys and still a mistake: refused before nodes act on it.
    fn accepts(&self, view: &TrustView) -> Result<(), AppError> {
        let refuse = |what: &str| Err(AppError::Input(format!("fleet.json: {what}")));
        if view.fleet.id != self.fleet {
            return refuse("it is another fleet's");
        }
        if !view.fleet.ca_pins.contains(&self.authority.pin()) {
            return refuse("ca_pins lacks this controller's CA, so no node could reach it");
        }
        let ours = hex::encode(self.lease_key.point());
        if !view.fleet.lease_keys.iter().any(|entry| entry.point == ours) {
            return refuse("lease_keys lacks this controller's key, so no node would accept its leases");
        }
        Ok(())
    }
}
