//! Which models lie in a tool's store: names, lengths and, where the store names files by digest, digests.
//!
//! Nothing is read whole. A store that names its files by digest is believed as far as the length goes along; of a plain
//! file the length and the first chunk are compared with what the fleet lists. Every walk is bounded, and no link is
//! followed: of a link only its last part is used, and only if it is a digest.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use croft_domain::census::{Catalog, ModelStanding};
use croft_domain::digest::{Blake3Digest, Sha256Digest};
use croft_domain::id::BundleRef;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::memo::{Mark, Memo};
use super::rules::Layout;

mod names;

pub(super) use names::is_suspect;
use names::{Named, digest, digest_named, is_gguf, model_named};

/// Most folder entries looked at in one store.
const ENTRIES_MAX: usize = 20_000;

/// Deepest folder looked at below a store.
const DEPTH_MAX: usize = 6;

/// Most models told of one store; a store with more is somebody's archive.
const MODELS_MAX: usize = 512;

/// Longest manifest that is read, in bytes.
const MANIFEST_LEN_MAX: u64 = 256 * 1024;

/// Smallest file that is a model without being marked as one, in bytes: templates and settings are smaller.
const MODEL_LEN_MIN: u64 = 1 << 20;

/// Longest first chunk that is read to know a file again, in bytes.
const HEAD_LEN_MAX: u64 = 16 << 20;

/// One model file, for this machine's own screen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Model {
    /// As its store names it.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
    /// Its digest, if its store names it so or the fleet lists it.
    pub sha256: Option<Sha256Digest>,
    /// Length, in bytes.
    pub len_bytes: u64,
    /// What the fleet knows of it; none if there was no list to compare with.
    pub standing: Option<ModelStanding>,
    /// The bundle that lists it.
    pub bundle: Option<BundleRef>,
    /// What the confined scan said, of a file whose format can carry code.
    pub scan: Option<Scan>,
}

/// What the confined scan said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scan {
    /// No rule is broken.
    Pass,
    /// It can run code when it is loaded, or breaks another rule.
    Refused,
    /// It could not be judged, or not yet.
    Unknown,
}

/// A store that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoreFound {
    /// Where.
    pub path: PathBuf,
    /// Its models.
    pub models: Vec<Model>,
    /// Names of models that run elsewhere: prompts for them leave this machine.
    pub remote: Vec<String>,
    /// Why not all of it could be read.
    pub unread: Option<String>,
}

/// Looks at a store. None if there is none, or if it is another account's and only `owner`'s count.
pub(super) fn look(
    path: &Path,
    layout: Layout,
    owner: Option<u32>,
    catalog: Option<&Catalog>,
    memo: &Memo,
) -> Option<StoreFound> {
    let facts = match fs::symlink_metadata(path) {
        Ok(facts) => facts,
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            let unread = Some("this account may not look there".to_owned());
            return Some(StoreFound {
                path: path.to_owned(),
                models: Vec::new(),
                remote: Vec::new(),
                unread,
            });
        }
        Err(_) => return None,
    };
    if !facts.is_dir() || owner.is_some_and(|uid| uid != facts.uid()) {
        return None;
    }
    let mut walk = Walk { root: path, entries: 0, files: Vec::new(), remote: Vec::new(), unread: None };
    match layout {
        Layout::Ollama => walk.ollama(),
        Layout::HuggingFace => walk.hugging_face(),
        Layout::Digests => walk.folder(path, 0, &digest_named),
        Layout::Files => walk.folder(path, 0, &model_named),
    }
    let Walk { mut files, mut remote, mut unread, .. } = walk;
    remote.sort();
    remote.truncate(MODELS_MAX);
    files.sort_by(|a, b| a.name.cmp(&b.name));
    if files.len() > MODELS_MAX {
        files.truncate(MODELS_MAX);
        unread.get_or_insert_with(|| format!("it holds more than {MODELS_MAX} files"));
    }
    let models = files.into_iter().map(|file| reconcile(file, catalog, memo)).collect();
    Some(StoreFound { path: path.to_owned(), models, remote, unread })
}

/// A file before it is compared.
struct Candidate {
    name: String,
    path: PathBuf,
    sha256: Option<Sha256Digest>,
    len_bytes: u64,
}

fn reconcile(file: Candidate, catalog: Option<&Catalog>, memo: &Memo) -> Model {
    let Candidate { name, path, sha256, len_bytes } = file;
    let listed = catalog.and_then(|catalog| match sha256 {
        Some(digest) => catalog.by_digest(&digest, len_bytes).map(|(digest, file)| (*digest, file)),
        None => catalog
            .by_len(len_bytes)
            .find(|(_, file)| begins_with(&path, file.head_len_bytes, file.head, memo))
            .map(|(digest, file)| (*digest, file)),
    });
    Model {
        name,
        path,
        sha256: sha256.or(listed.map(|(digest, _)| digest)),
        len_bytes,
        standing: catalog.map(|_| listed.map_or(ModelStanding::Unknown, |(_, file)| file.standing)),
        bundle: listed.map(|(_, file)| file.bundle.clone()),
        scan: None,
    }
}

/// Whether a file's first chunk is the listed one. Asked only for files of the listed length.
fn begins_with(path: &Path, len: u64, expected: Blake3Digest, memo: &Memo) -> bool {
    let Some(file) = open(path).filter(|_| len <= HEAD_LEN_MAX) else { return false };
    let Some(mark) = Mark::of(&file) else { return false };
    let head = memo.head(mark, len, || {
        let mut bytes = Vec::new();
        let read = (&file).take(len).read_to_end(&mut bytes).ok()?;
        (read as u64 == len).then(|| Blake3Digest(*blake3::hash(&bytes).as_bytes()))
    });
    head == Some(expected)
}

/// Opens a regular file without following a link or waiting for a pipe.
pub(super) fn open(path: &Path) -> Option<File> {
    let mut options = fs::OpenOptions::new();
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = options.read(true).custom_flags(flags.bits().cast_signed()).open(path).ok()?;
    file.metadata().is_ok_and(|facts| facts.is_file()).then_some(file)
}

struct Walk<'a> {
    root: &'a Path,
    entries: usize,
    files: Vec<Candidate>,
    remote: Vec<String>,
    unread: Option<String>,
}

impl Walk<'_> {
    fn entries(&mut self, folder: &Path) -> Vec<fs::DirEntry> {
        match fs::read_dir(folder) {
            Ok(entries) => {
                let left = ENTRIES_MAX.saturating_sub(self.entries);
                let entries: Vec<_> = entries.flatten().take(left + 1).collect();
                self.entries += entries.len();
                if entries.len() > left {
                    self.unread = Some(format!("it holds more than {ENTRIES_MAX} entries"));
                }
                entries
            }
            Err(error) => {
                self.unread.get_or_insert_with(|| format!("a folder in it cannot be read: {}", error.kind()));
                Vec::new()
            }
        }
    }

    /// Every file below `folder` that `named` takes for a model.
    fn folder(&mut self, folder: &Path, depth: usize, named: &dyn Fn(&str, &Path) -> Option<Named>) {
        for entry in self.entries(folder) {
            let Ok(kind) = entry.file_type() else { continue };
            let path = entry.path();
            if kind.is_dir() && depth < DEPTH_MAX {
                self.folder(&path, depth + 1, named);
            } else if kind.is_file()
                && let Some(found) = named(&entry.file_name().to_string_lossy(), &path)
            {
                let len_bytes = entry.metadata().map_or(0, |facts| facts.len());
                if found.is_sure || len_bytes >= MODEL_LEN_MIN || is_gguf(&path) {
                    let name = self.name_of(&path, found.sha256.is_some());
                    self.files.push(Candidate { name, path, sha256: found.sha256, len_bytes });
                }
            }
        }
    }

    /// The part of a path that people know a model by: without the store, and without blobs and digests.
    fn name_of(&self, path: &Path, is_digest: bool) -> String {
        let below = path.strip_prefix(self.root).unwrap_or(path);
        let below = if is_digest { below.parent().unwrap_or(below) } else { below };
        let parts = below.components().map(|part| part.as_os_str().to_string_lossy().into_owned());
        let parts: Vec<String> =
            parts.filter(|part| !is_digest || !matches!(part.as_str(), "blobs" | "sha256")).collect();
        if parts.is_empty() { "(named by its digest only)".to_owned() } else { parts.join("/") }
    }

    fn ollama(&mut self) {
        let manifests = self.root.join("manifests");
        if !manifests.is_dir() {
            return;
        }
        let mut seen = BTreeSet::new();
        let mut tags = Vec::new();
        self.tags(&manifests, 0, &mut tags);
        for tag in tags {
            let parts: Vec<String> = tag
                .strip_prefix(&manifests)
                .unwrap_or(&tag)
                .components()
                .map(|part| part.as_os_str().to_string_lossy().into_owned())
                .collect();
            let [_, namespace, model, tag_name] = parts.as_slice() else { continue };
            let prefix = if namespace == "library" { String::new() } else { format!("{namespace}/") };
            let name = format!("{prefix}{model}:{tag_name}");
            let blobs = self.root.join("blobs");
            let Manifest { config, layers } = manifest_of(&tag);
            if config.is_some_and(|config| runs_elsewhere(&blobs, config.digest)) {
                self.remote.push(name.clone());
            }
            for digest in layers.into_iter().filter(Layer::is_weights).map(|layer| layer.digest) {
                let path = blobs.join(format!("sha256-{}", digest.hex()));
                let Ok(facts) = fs::symlink_metadata(&path) else { continue };
                if facts.is_file() && seen.insert(digest) {
                    self.files.push(Candidate {
                        name: name.clone(),
                        path,
                        sha256: Some(digest),
                        len_bytes: facts.len(),
                    });
                }
            }
        }
    }

    fn tags(&mut self, folder: &Path, depth: usize, tags: &mut Vec<PathBuf>) {
        for entry in self.entries(folder) {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && depth < 3 => self.tags(&entry.path(), depth + 1, tags),
                Ok(kind) if kind.is_file() && depth == 3 => tags.push(entry.path()),
                _ => {}
            }
        }
    }

    fn hugging_face(&mut self) {
        let mut seen = BTreeSet::new();
        for repository in self.entries(self.root) {
            let name = repository.file_name().to_string_lossy().into_owned();
            let is_folder = repository.file_type().is_ok_and(|kind| kind.is_dir());
            let Some(name) = name.strip_prefix("models--").filter(|_| is_folder) else { continue };
            let (name, place) = (name.replace("--", "/"), repository.path());
            if !place.join("snapshots").is_dir() {
                continue;
            }
            for revision in self.entries(&place.join("snapshots")) {
                if revision.file_type().is_ok_and(|kind| kind.is_dir()) {
                    self.snapshot(&place, &revision.path(), &name, 0, &mut seen);
                }
            }
        }
    }

    fn snapshot(
        &mut self,
        place: &Path,
        folder: &Path,
        name: &str,
        depth: usize,
        seen: &mut BTreeSet<PathBuf>,
    ) {
        for entry in self.entries(folder) {
            let file = entry.file_name().to_string_lossy().into_owned();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && depth < 2 => {
                    self.snapshot(place, &entry.path(), &format!("{name}/{file}"), depth + 1, seen);
                }
                Ok(kind) if kind.is_symlink() || kind.is_file() => {
                    if model_named(&file, &entry.path()).is_none() {
                        continue;
                    }
                    let path = if kind.is_symlink() {
                        let target = fs::read_link(entry.path()).unwrap_or_default();
                        let Some(blob) = target.file_name().filter(|_| target.components().count() < 16)
                        else {
                            continue;
                        };
                        place.join("blobs").join(blob)
                    } else {
                        entry.path()
                    };
                    let Ok(facts) = fs::symlink_metadata(&path) else { continue };
                    if facts.is_file() && seen.insert(path.clone()) {
                        let blob = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                        let sha256 = if kind.is_symlink() { digest(&blob) } else { None };
                        let name = format!("{name}/{file}");
                        self.files.push(Candidate { name, path, sha256, len_bytes: facts.len() });
                    }
                }
                _ => {}
            }
        }
    }
}

/// What a manifest lists. One that cannot be read lists nothing.
#[derive(Default, Deserialize)]
struct Manifest {
    #[serde(default)]
    config: Option<Layer>,
    #[serde(default)]
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    media_type: String,
    digest: Sha256Digest,
}

impl Layer {
    fn is_weights(&self) -> bool {
        let kind = self.media_type.strip_prefix("application/vnd.ollama.image.");
        matches!(kind, Some("model" | "projector" | "adapter" | "tensor"))
    }
}

/// A small JSON file of a store.
fn document<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let mut bytes = Vec::new();
    open(path)?.take(MANIFEST_LEN_MAX).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn manifest_of(tag: &Path) -> Manifest {
    document(tag).unwrap_or_default()
}

/// What a model's configuration says about where it runs (`ConfigV2` in Ollama's `types/model`).
#[derive(Deserialize)]
struct Configuration {
    #[serde(default)]
    remote_host: String,
}

fn runs_elsewhere(blobs: &Path, configuration: Sha256Digest) -> bool {
    let path = blobs.join(format!("sha256-{}", configuration.hex()));
    document(&path).is_some_and(|found: Configuration| !found.remote_host.trim().is_empty())
}
