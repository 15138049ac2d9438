//! Looking for a blob in the stores of other tools on this machine before it is fetched: Ollama, LM Studio and the
//! Hugging Face hub cache.
//!
//! A store is never believed. Its names only say where to look; each chunk is verified in our memory before it is written,
//! or in our own file after it was cloned, exactly as if it had come over the network. The way down is walked without
//! following a link, and what is opened must be a regular file of the approved length: a store cannot make the daemon
//! wait on a pipe, nor take in another account's secret.

mod settings;

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use croft_domain::bundle::BundleFile;
use croft_domain::digest::Sha256Digest;
use croft_trust::digest::verify_chunk;
use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, fstat, ioctl_ficlone, openat};

use super::fetch::{FetchError, Landing, chunk_len, open};
use crate::limits::{STORE_ENTRIES_MAX, STORE_SYNC_EVERY};
use crate::state::paths::Paths;

/// How a tool lays out its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// `blobs/sha256-HEX`.
    Ollama,
    /// `PUBLISHER/MODEL/FILE.gguf`, named by people.
    LmStudio,
    /// `models--ORG--REPO/blobs/HEX`; its snapshots are links to these.
    HuggingFace,
}

impl Layout {
    const fn whose(self) -> &'static str {
        match self {
            Self::Ollama => "the Ollama store",
            Self::LmStudio => "the LM Studio folder",
            Self::HuggingFace => "the Hugging Face cache",
        }
    }
}

/// One store: folders to walk down from a folder that nobody but its owner can replace.
#[derive(Clone, Debug)]
struct Place {
    layout: Layout,
    base: PathBuf,
    below: &'static [&'static str],
}

/// The stores of this machine's people.
#[derive(Clone, Debug, Default)]
pub struct Stores(Vec<Place>);

impl Stores {
    /// The stores of these accounts; `own_home` is that of the daemon's own account, if a person's.
    #[must_use]
    pub fn of_accounts(uids: &[u32], own_home: Option<&Path>) -> Self {
        let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let own = rustix::process::getuid().as_raw();
        let homes = uids.iter().filter_map(|uid| match own_home {
            Some(home) if *uid == own => Some(home.to_owned()),
            _ => home_of(&accounts, *uid),
        });
        let mut stores = Self::of_homes(&homes.collect::<Vec<_>>());
        // Where people have moved them to is looked at last: each is named by one who may have a reason to.
        stores.0.extend(settings::of_environment(|name| std::env::var(name).ok()));
        stores.0.extend(settings::of_ollama_service());
        stores
    }

    /// The usual places below these home folders, those that LM Studio's settings there name, and the one that Ollama's own service account has.
    #[must_use]
    pub fn of_homes(homes: &[PathBuf]) -> Self {
        let mut places: Vec<Place> = homes.iter().flat_map(|home| below_home(home)).collect();
        places.push(Place {
            layout: Layout::Ollama,
            base: PathBuf::from("/usr/share/ollama"),
            below: &[".ollama", "models"],
        });
        places.extend(homes.iter().flat_map(|home| settings::of_lm_studio(home)));
        Self(places)
    }

    /// Copies what it finds of `blob` into quarantine, and says in whose store it was found if that was all of it.
    /// A store that has other bytes under the name is passed over.
    ///
    /// # Errors
    /// Our own disk fails; a store that cannot be read is one that has nothing.
    pub fn land(&self, blob: &BundleFile, paths: &Paths) -> Result<Option<&'static str>, FetchError> {
        for place in &self.0 {
            for file in place.candidates(blob) {
                if take(&file, blob, paths)? {
                    return Ok(Some(place.layout.whose()));
                }
            }
        }
        Ok(None)
    }
}

/// The home folder of an account, by the lines of `/etc/passwd`.
fn home_of(accounts: &str, uid: u32) -> Option<PathBuf> {
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':').skip(2);
        let is_it = fields.next()?.parse() == Ok(uid);
        fields.nth(2).filter(|home| is_it && home.starts_with('/')).map(PathBuf::from)
    })
}

fn below_home(home: &Path) -> [Place; 4] {
    let place = |layout, below| Place { layout, base: home.to_owned(), below };
    [
        place(Layout::Ollama, &[".ollama", "models"]),
        place(Layout::HuggingFace, &[".cache", "huggingface", "hub"]),
        place(Layout::LmStudio, &[".lmstudio", "models"]),
        place(Layout::LmStudio, &[".cache", "lm-studio", "models"]),
    ]
}

impl Place {
    /// Regular files of the right length that could be the blob.
    fn candidates(&self, blob: &BundleFile) -> Vec<File> {
        let Ok(base) = openat(CWD, &self.base, FOLDER, Mode::empty()) else { return Vec::new() };
        let Some(root) = self.below.iter().try_fold(base, |at, name| folder(&at, name)) else {
            return Vec::new();
        };
        match self.layout {
            Layout::Ollama => ollama(&root, &blob.sha256, blob.len_bytes),
            Layout::HuggingFace => hugging_face(&root, &blob.sha256, blob.len_bytes),
            Layout::LmStudio => lm_studio(&root, blob.len_bytes),
        }
    }
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// A pipe that is opened without this waits for its other end.
const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

fn folder(at: &OwnedFd, name: &str) -> Option<OwnedFd> {
    openat(at, name, FOLDER, Mode::empty()).ok()
}

fn file(at: &OwnedFd, name: &str, len_bytes: u64) -> Option<File> {
    let opened = openat(at, name, FILE, Mode::empty()).ok()?;
    let stat = fstat(&opened).ok()?;
    let is_it = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
        && u64::try_from(stat.st_size) == Ok(len_bytes);
    is_it.then(|| File::from(opened))
}

/// Names in a folder, as many as are looked at.
fn names(at: &OwnedFd) -> Vec<String> {
    let Ok(entries) = Dir::read_from(at) else { return Vec::new() };
    let names = entries.filter_map(Result::ok).take(STORE_ENTRIES_MAX);
    let names = names.filter_map(|entry| entry.file_name().to_str().ok().map(str::to_owned));
    names.filter(|name| name != "." && name != "..").collect()
}

fn ollama(root: &OwnedFd, digest: &Sha256Digest, len_bytes: u64) -> Vec<File> {
    let blobs = folder(root, "blobs");
    blobs.and_then(|blobs| file(&blobs, &format!("sha256-{}", digest.hex()), len_bytes)).into_iter().collect()
}

fn hugging_face(root: &OwnedFd, digest: &Sha256Digest, len_bytes: u64) -> Vec<File> {
    let repositories = names(root).into_iter().filter(|name| name.starts_with("models--"));
    repositories
        .filter_map(|name| {
            let blobs = folder(&folder(root, &name)?, "blobs")?;
            file(&blobs, &digest.hex(), len_bytes)
        })
        .collect()
}

fn lm_studio(root: &OwnedFd, len_bytes: u64) -> Vec<File> {
    let mut found = Vec::new();
    let mut left = STORE_ENTRIES_MAX;
    for publisher in names(root).iter().filter_map(|name| folder(root, name)) {
        for model in names(&publisher).iter().filter_map(|name| folder(&publisher, name)) {
            for name in names(&model).into_iter().filter(|name| name.ends_with(".gguf")) {
                if left == 0 {
                    return found;
                }
                left -= 1;
                found.extend(file(&model, &name, len_bytes));
            }
        }
    }
    found
}

/// Takes in the chunks that hold, up to the first that does not. Says whether that was all of them.
fn take(source: &File, blob: &BundleFile, paths: &Paths) -> Result<bool, FetchError> {
    if !begins_alike(source, blob) {
        return Ok(false);
    }
    let landing = open(blob, paths)?;
    let missing = landing.missing();
    // A clone shares the bytes on disk until one side changes; only a filesystem that can does it, and only whole files.
    let is_cloned = missing.len() == blob.chunks.len() && ioctl_ficlone(&landing.part, source).is_ok();
    // What was appended to the source since it was looked at came along.
    let cut = if is_cloned { landing.part.set_len(blob.len_bytes) } else { Ok(()) };
    let taken = cut.and_then(|()| copy(source, blob, &landing, &missing, is_cloned));
    taken.map_err(|error| FetchError::Disk {
        operation: "write",
        path: paths.part(&blob.sha256),
        source: error,
    })
}

/// Most files that could be it are not: one chunk tells, before anything is written.
fn begins_alike(source: &File, blob: &BundleFile) -> bool {
    chunk(source, blob, 0).is_some()
}

/// A chunk's bytes, if they are the approved ones.
fn chunk(source: &File, blob: &BundleFile, index: usize) -> Option<Vec<u8>> {
    let offset = blob.chunk_range(index)?.start;
    let mut bytes = vec![0; usize::try_from(chunk_len(blob, index)).ok()?];
    source.read_exact_at(&mut bytes, offset).ok()?;
    verify_chunk(&bytes, blob.chunks.get(index)?).then_some(bytes)
}

fn copy(
    source: &File,
    blob: &BundleFile,
    landing: &Landing,
    missing: &[usize],
    is_cloned: bool,
) -> std::io::Result<bool> {
    let mut written = Vec::new();
    let mut since_sync = 0;
    let mut is_whole = true;
    for index in missing.iter().copied() {
        // The owner of a cloned source can change it no more, so what is verified is what is kept.
        let from = if is_cloned { &landing.part } else { source };
        let Some(bytes) = chunk(from, blob, index) else {
            is_whole = false;
            break;
        };
        if !is_cloned {
            let offset = blob.chunk_range(index).map_or(0, |range| range.start);
            landing.part.write_all_at(&bytes, offset)?;
        }
        written.push(index);
        since_sync += bytes.len() as u64;
        if since_sync >= STORE_SYNC_EVERY {
            landing.landed(&written)?;
            written.clear();
            since_sync = 0;
        }
    }
    landing.landed(&written)?;
    Ok(is_whole)
}

#[cfg(test)]
#[path = "stores_tests.rs"]
mod tests;
