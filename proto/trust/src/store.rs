//! The client's side of The Update Framework (TUF 1.0, section 5), as a transaction.
//!
//! [`TrustStore`] holds the last set of metadata that was believed. An update is judged on a scratch copy and swapped in
//! whole, or not at all: on any doubt the old set stays. `tough` alone does not promise that (it persists each role
//! before it has seen the next), and forgets versions when its files are damaged. So the floors are kept in a second
//! place, and a stored state that is missing, damaged or below its floors is an alarm, never a reason to start afresh.

mod error;
mod floors;
mod gather;
mod seal;
mod set;
mod source;
mod times;
mod verify;
mod view;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use croft_domain::digest::Sha256Digest;
use croft_domain::evidence::TrustSeen;
use croft_domain::time::Timestamp;

use crate::digest::sha256;
use crate::disk::{create_private_dir, recover_dir};
use crate::limits::ROOT_LEN_MAX;
use floors::Guard;
use set::{Set, remove_leftover};

pub use error::TrustError;
pub use floors::Floors;
pub use seal::seal_versions;
pub use source::{Fetched, MemorySource, TrustSource};
pub use view::{ApprovedBundle, TrustView};

/// What scratch folders are called, so that those a crash left are found.
const SCRATCH_PREFIX: &str = "scratch-";

/// What an offered set was found to be.
enum Judged {
    /// The one in force.
    Same(Arc<TrustView>),
    /// Another, which holds.
    New { set: Set, view: Box<TrustView> },
}

/// What an invite says of the first root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpectedRoot {
    /// SHA-256 of its exact bytes.
    pub sha256: Sha256Digest,
}

/// The last believed set, on disk and in memory.
#[derive(Debug)]
pub struct TrustStore {
    dir: PathBuf,
    floors_path: PathBuf,
    guard: Guard,
    set: Set,
    view: Option<Arc<TrustView>>,
    /// Whether the floors on disk are below those in memory, because writing them failed.
    floors_unsaved: bool,
}

impl TrustStore {
    /// Starts a store in `dir` with the root that the invite names, and floors at `floors_path`, a second place.
    ///
    /// # Errors
    /// [`TrustError::RootUnexpected`] when `root_bytes` are not the expected ones, [`TrustError::Exists`] when there is a
    /// store already: a node that has believed something never starts afresh.
    pub fn bootstrap(
        dir: &Path,
        floors_path: &Path,
        root_bytes: &[u8],
        expected: &ExpectedRoot,
        floors: Floors,
    ) -> Result<Self, TrustError> {
        if root_bytes.len() as u64 > ROOT_LEN_MAX {
            return Err(TrustError::TooLarge { name: "root.json".to_owned(), len_max: ROOT_LEN_MAX });
        }
        if sha256(root_bytes) != expected.sha256 {
            return Err(TrustError::RootUnexpected);
        }
        let version = verify::verify_first_root(root_bytes)?;
        // Floors without a set are what a crash between the two writes below leaves, unless something was believed.
        let unfinished = Guard::load(floors_path).is_ok_and(|guard| guard.floors.versions.timestamp == 0);
        if set_path(dir).exists() || floors_path.exists() && !unfinished {
            return Err(TrustError::Exists(dir.to_owned()));
        }
        create_private_dir(dir)?;
        if let Some(parent) = floors_path.parent().filter(|parent| !parent.exists()) {
            create_private_dir(parent)?;
        }
        let mut floors = floors;
        floors.versions.root = floors.versions.root.max(version);
        let guard = Guard { schema: 1, anchor_version: version, anchor_sha256: expected.sha256, floors };
        let set = Set { roots: [(version, root_bytes.to_vec())].into(), ..Set::default() };
        guard.save(floors_path)?;
        set.write(&set_path(dir))?;
        Ok(Self::assemble(dir, floors_path, guard, set))
    }

    fn assemble(dir: &Path, floors_path: &Path, guard: Guard, set: Set) -> Self {
        let (dir, floors_path) = (dir.to_owned(), floors_path.to_owned());
        Self { dir, floors_path, guard, set, view: None, floors_unsaved: false }
    }

    /// Opens the store in `dir`, and verifies everything in it again, from the first root on.
    ///
    /// # Errors
    /// [`TrustError::State`] when anything is missing, damaged or below the floors: an alarm. Expiry is not an error here.
    pub fn open(dir: &Path, floors_path: &Path) -> Result<Self, TrustError> {
        let path = set_path(dir);
        recover_dir(&path)?;
        let guard = Guard::load(floors_path)?;
        let set = Set::read(&path)?;
        remove_leftovers(dir)?;
        let alarm = |reason: &str| TrustError::State { path: path.clone(), reason: reason.to_owned() };
        let first = set.roots.first_key_value().ok_or_else(|| alarm("it holds no root"))?;
        if *first.0 != guard.anchor_version || sha256(first.1) != guard.anchor_sha256 {
            return Err(alarm("its first root is not the one that this node enrolled with"));
        }
        let mut store = Self::assemble(dir, floors_path, guard, set);
        if store.set.current.is_none() {
            if store.guard.floors.signed_at > Timestamp(0) {
                return Err(alarm("metadata that was believed before is gone"));
            }
            return Ok(store);
        }
        let view = store.verify_stored().map_err(|error| error.into_alarm(&path))?;
        // A crash after the swap and before the floors were written leaves them low.
        let mut raised = store.guard.clone();
        raised.floors.raise(&view.floors());
        if raised != store.guard {
            raised.save(floors_path)?;
            store.guard = raised;
        }
        store.view = Some(Arc::new(view));
        Ok(store)
    }

    fn verify_stored(&self) -> Result<TrustView, TrustError> {
        let verified = verify::verify_blocking(&self.set, self.guard.anchor_version, &self.dir)?;
        self.guard.floors.check_not_below(&verified.versions)?;
        gather::check_stored(&verified, &self.set)?;
        let view = view::build(&verified, &self.set.documents)?;
        let offered = view.floors();
        self.guard.floors.check_epochs(offered.fleet_epoch, &offered.bundle_epochs)?;
        Ok(view)
    }

    /// Takes over what `source` offers, if it holds at `now`, all or nothing.
    ///
    /// # Errors
    /// Any [`TrustError`]; the old set is then still in force, and [`Self::view`] still gives it.
    pub async fn update(
        &mut self,
        source: &dyn TrustSource,
        now: Timestamp,
    ) -> Result<Arc<TrustView>, TrustError> {
        match self.judge(source, now).await? {
            Judged::Same(view) => {
                self.save_floors()?;
                Ok(view)
            }
            Judged::New { set, view } => self.commit(set, *view),
        }
    }

    /// What [`Self::update`] would take over, without taking it over: for a file whose other contents are judged by it
    /// before anything of it counts.
    ///
    /// # Errors
    /// Any [`TrustError`] that [`Self::update`] would give, but those of writing.
    pub async fn preview(
        &self,
        source: &dyn TrustSource,
        now: Timestamp,
    ) -> Result<Arc<TrustView>, TrustError> {
        Ok(match self.judge(source, now).await? {
            Judged::Same(view) => view,
            Judged::New { view, .. } => Arc::new(*view),
        })
    }

    async fn judge(&self, source: &dyn TrustSource, now: Timestamp) -> Result<Judged, TrustError> {
        times::check_clock(now, self.guard.floors.signed_at)?;
        let mut offered = gather::metadata(source, &self.set).await?;
        let start = self.set.roots.keys().next_back().copied().unwrap_or(0);
        let verified = verify::verify(&offered, start, self.set.current.as_ref(), &self.dir).await?;
        let floors = &self.guard.floors;
        floors.check_not_below(&verified.versions)?;
        floors.check_jump(&verified.versions)?;
        self.check_equivocation(&offered, &verified.versions)?;
        times::check_clock(now, verified.signed_at)?;
        times::check_expiry(&verified, now)?;
        if let Some(view) = self.view.clone().filter(|_| offered.metadata() == self.set.metadata()) {
            return Ok(Judged::Same(view));
        }
        offered.documents = gather::documents(source, &verified, &self.set).await?;
        let view = view::build(&verified, &offered.documents)?;
        let accepted = view.floors();
        floors.check_epochs(accepted.fleet_epoch, &accepted.bundle_epochs)?;
        Ok(Judged::New { set: offered, view: Box::new(view) })
    }

    /// The same version must be the same bytes: two sets under one version are two truths for two nodes.
    fn check_equivocation(&self, offered: &Set, versions: &TrustSeen) -> Result<(), TrustError> {
        let (Some(old), Some(new), Some(view)) = (&self.set.current, &offered.current, &self.view) else {
            return Ok(());
        };
        let seen = view.versions;
        for (what, same_version, same_bytes, version) in [
            ("targets", versions.targets == seen.targets, old.targets == new.targets, seen.targets),
            ("snapshot", versions.snapshot == seen.snapshot, old.snapshot == new.snapshot, seen.snapshot),
            (
                "timestamp",
                versions.timestamp == seen.timestamp,
                old.timestamp == new.timestamp,
                seen.timestamp,
            ),
        ] {
            if same_version && !same_bytes {
                return Err(TrustError::Equivocation { what, version });
            }
        }
        Ok(())
    }

    /// Swaps the set first and raises the floors second: a crash between leaves floors that are low, which `open` mends;
    /// the other order would leave a set below its floors, which is an alarm.
    fn commit(&mut self, set: Set, view: TrustView) -> Result<Arc<TrustView>, TrustError> {
        set.write(&set_path(&self.dir))?;
        self.guard.floors.raise(&view.floors());
        self.set = set;
        let view = Arc::new(view);
        self.view = Some(Arc::clone(&view));
        self.floors_unsaved = true;
        self.save_floors()?;
        Ok(view)
    }

    fn save_floors(&mut self) -> Result<(), TrustError> {
        if self.floors_unsaved {
            self.guard.save(&self.floors_path)?;
            self.floors_unsaved = false;
        }
        Ok(())
    }

    /// The last believed set; none before the first update. It may have expired: compare `expires_at` with the time.
    #[must_use]
    pub fn view(&self) -> Option<Arc<TrustView>> {
        self.view.clone()
    }

    /// The floors in force.
    #[must_use]
    pub const fn floors(&self) -> &Floors {
        &self.guard.floors
    }

    /// Metadata and targets of the last believed set, under the names in which they are served.
    #[must_use]
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        self.set.files()
    }
}

fn set_path(dir: &Path) -> PathBuf {
    dir.join("set")
}

/// Deletes what interrupted updates left beside the set.
fn remove_leftovers(dir: &Path) -> Result<(), TrustError> {
    remove_leftover(&set_path(dir).with_extension("new"))?;
    let unreadable =
        |error: std::io::Error| TrustError::State { path: dir.to_owned(), reason: error.to_string() };
    for entry in std::fs::read_dir(dir).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if entry.file_name().to_string_lossy().starts_with(SCRATCH_PREFIX) {
            remove_leftover(&entry.path())?;
        }
    }
    Ok(())
}
