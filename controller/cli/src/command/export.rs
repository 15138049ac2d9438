//! `bundle export`: one file that brings signed documents and bytes to machines that no network reaches.
//!
//! Nothing is signed here and no key is used: the file holds what was signed before, so making one is no power. The
//! bytes come from where the draft says, or from the controller, and are verified chunk by chunk on their way.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use croft_domain::bundle::{BundleFile, Manifest};
use croft_domain::code::Code;
use croft_domain::digest::Sha256Digest;
use croft_domain::id::{BundleRef, GroupName};
use croft_domain::recall::{Recall, stopping};
use croft_link::fetch::HttpsClient;
use croft_trust::archive::{Documents, Header, Outgoing};
use croft_trust::digest::ChunkReader;
use indicatif::ProgressBar;
use tokio::runtime::Handle;
use url::Url;

use crate::args::Export;
use crate::draft::Draft;
use crate::error::CtlError;
use crate::fleet_dir::FleetDir;
use crate::output::{length, say, write_stdout};
use crate::progress;
use crate::recalls::{self, Recalls};
use crate::workbench::Workbench;

/// One blob, and the file that may hold it.
struct Blob {
    file: BundleFile,
    place: Option<PathBuf>,
}

/// Runs `bundle export`.
///
/// # Errors
/// A bundle is not approved or was recalled, what is signed cannot be published yet, its bytes are nowhere to be had, or
/// the file cannot be written; nothing is left then.
pub async fn run(dir: &FleetDir, arguments: Export) -> Result<(), CtlError> {
    let recalls = gather_recalls(dir, arguments.offline).await?;
    let (documents, manifests) = documents(dir, &arguments, recalls)?;
    let blobs = blobs(dir, &manifests);
    let len: u64 = blobs.values().map(|blob| blob.file.len_bytes).sum();
    let out = arguments.out.unwrap_or_else(|| usual_name(dir, &documents.header.bundles));
    let source = Source { client: client(dir)?, bar: progress::bytes(len, "exporting") };
    let (carried, recalled) = (documents.trust.len(), documents.recalls.len());
    let writing = tokio::task::spawn_blocking(move || {
        let written = write(&out, &documents, &blobs, &source);
        source.bar.finish_and_clear();
        written.map(|()| out)
    });
    let out = writing
        .await
        .map_err(|e| CtlError::Process { operation: "write the archive", source: io::Error::other(e) })??;
    say(&format!(
        "wrote {} of models, {carried} signed files, {recalled} recalls; nothing in it is secret",
        length(len)
    ));
    if !is_stdout(&out) {
        write_stdout(format!("{}\n", out.display()).as_bytes())?;
        say("next, on each machine: croft import FILE");
    }
    Ok(())
}

/// Those signed here and those that the controller knows. Without the controller the file may lack the newest.
async fn gather_recalls(dir: &FleetDir, offline: bool) -> Result<Recalls, CtlError> {
    let mut all = recalls::kept(dir)?;
    if offline {
        return Ok(all);
    }
    match recalls::told(dir).await {
        Ok(told) => all.extend(told),
        Err(error) if error.code() == Code::Unreachable => {
            say("the controller does not answer: the file carries the recalls that this machine knows");
        }
        Err(error) => return Err(error),
    }
    Ok(all)
}

fn documents(
    dir: &FleetDir,
    arguments: &Export,
    recalls: Recalls,
) -> Result<(Documents, Vec<Manifest>), CtlError> {
    let workbench = Workbench::open(dir)?;
    workbench.check_publishable()?;
    let mut wanted: BTreeSet<BundleRef> = arguments.bundles.iter().cloned().collect();
    if let Some(group) = &arguments.group {
        wanted.extend(newest_of_group(&workbench, group)?);
    }
    let orders: Vec<Recall> = recalls.values().filter_map(|e| recalls::meaning(e).ok()).collect();
    let mut manifests = Vec::new();
    for bundle in &wanted {
        let manifest = workbench.bundle(bundle)?.ok_or_else(|| CtlError::NotFound {
            what: format!("approved bundle {bundle}"),
            hint: format!("croftctl bundle approve {bundle} signs its draft"),
        })?;
        if let Some(recall) = stopping(&orders, &manifest) {
            return Err(CtlError::Unapproved {
                message: format!("{bundle} was recalled: {}", crate::output::clean(&recall.reason)),
                hint: "no machine would take it; export another version".to_owned(),
            });
        }
        manifests.push(manifest);
    }
    let header = Header { schema: 1, fleet: workbench.fleet().id, bundles: wanted.into_iter().collect() };
    let trust = workbench.files()?;
    Ok((Documents { header, trust, recalls, leases: BTreeMap::new() }, manifests))
}

/// The newest approved version of each bundle that the signed fleet document lets the group have.
fn newest_of_group(workbench: &Workbench, group: &GroupName) -> Result<Vec<BundleRef>, CtlError> {
    let policy = workbench.fleet().groups.get(group).ok_or_else(|| CtlError::NotFound {
        what: format!("group {group}"),
        hint: "croftctl assign baseline makes one".to_owned(),
    })?;
    let newest = policy.bundles.iter().filter_map(|(name, minimum)| {
        let version = workbench.bundle_versions(name).into_iter().max().filter(|v| v >= minimum)?;
        Some(BundleRef { name: name.clone(), version })
    });
    Ok(newest.collect())
}

/// Every file of these bundles once. A draft that is gone is no failure: the controller has the bytes as well.
fn blobs(dir: &FleetDir, manifests: &[Manifest]) -> BTreeMap<Sha256Digest, Blob> {
    let mut blobs = BTreeMap::new();
    for manifest in manifests {
        let places = Draft::load(dir, &manifest.reference()).map(|draft| draft.sources).unwrap_or_default();
        for (at, file) in manifest.every_file().enumerate() {
            let place = places.get(at).filter(|place| {
                place.metadata().is_ok_and(|meta| meta.is_file() && meta.len() == file.len_bytes)
            });
            blobs.insert(file.sha256, Blob { file: file.clone(), place: place.cloned() });
        }
    }
    blobs
}

fn usual_name(dir: &FleetDir, bundles: &[BundleRef]) -> PathBuf {
    if let [bundle] = bundles {
        return format!("{}-{}.croft", bundle.name, bundle.version).into();
    }
    let fleet = dir.settings().map(|settings| settings.fleet.to_string()).unwrap_or_default();
    format!("fleet-{}.croft", fleet.get(..8).unwrap_or_default()).into()
}

/// For bytes that are no longer on this machine. Connects at the first fetch, so that none is needed for the others.
fn client(dir: &FleetDir) -> Result<HttpsClient, CtlError> {
    let settings = dir.settings()?;
    let link = |error: croft_link::LinkError| CtlError::Link {
        controller: settings.controller.clone(),
        code: error.code(),
        source: Box::new(error),
    };
    let url = Url::parse(&settings.controller)
        .map_err(|_| link(croft_link::LinkError::Address(settings.controller.clone())))?;
    let config = croft_link::tls::client_config(&[settings.ca_pin], None).map_err(link)?;
    HttpsClient::new(&url, &config).map_err(link)
}

fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Writes beside, then renames: whoever finds the file finds all of it.
fn write(
    out: &Path,
    documents: &Documents,
    blobs: &BTreeMap<Sha256Digest, Blob>,
    source: &Source,
) -> Result<(), CtlError> {
    let failed = |path: &Path, error: io::Error| match error.downcast::<CtlError>() {
        Ok(error) => error,
        Err(source) => CtlError::FileWrite { path: path.to_owned(), source },
    };
    if is_stdout(out) {
        return pour(io::stdout().lock(), documents, blobs, source).map(drop).map_err(|e| failed(out, e));
    }
    if out.exists() {
        return Err(CtlError::Conflict {
            message: format!("{} is there already", out.display()),
            hint: "remove it, or name another file with --out".to_owned(),
        });
    }
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = out.with_file_name(name);
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&part)
        .and_then(|file| pour(BufWriter::new(file), documents, blobs, source))
        .and_then(|buffered| buffered.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all())
        .and_then(|()| fs::rename(&part, out));
    if written.is_err() {
        let _ = fs::remove_file(&part);
    }
    written.map_err(|e| failed(out, e))
}

fn pour<W: Write>(
    out: W,
    documents: &Documents,
    blobs: &BTreeMap<Sha256Digest, Blob>,
    source: &Source,
) -> io::Result<W> {
    let mut archive = Outgoing::begin(out, documents)?;
    for (digest, blob) in blobs {
        archive.blob(*digest, blob.file.len_bytes, &mut *source.open(blob)?)?;
    }
    archive.finish()
}

/// Where bytes come from.
struct Source {
    client: HttpsClient,
    bar: ProgressBar,
}

impl Source {
    /// A blob's bytes, verified chunk by chunk as they are read, whatever they are read from.
    fn open<'a>(&'a self, blob: &'a Blob) -> io::Result<Box<dyn Read + 'a>> {
        let Some(place) = &blob.place else {
            let reader = ChunkReader::new(&blob.file, |range| self.fetch(&blob.file, range));
            return Ok(Box::new(self.bar.wrap_read(reader)));
        };
        let file = File::open(place)
            .map_err(|source| io::Error::other(CtlError::FileRead { path: place.clone(), source }))?;
        let reader = ChunkReader::new(&blob.file, move |range| {
            let mut bytes = vec![0; usize::try_from(range.end - range.start).map_err(io::Error::other)?];
            file.read_exact_at(&mut bytes, range.start)?;
            Ok(bytes)
        });
        let reader = Checked { inner: reader, place: place.clone() };
        Ok(Box::new(self.bar.wrap_read(reader)))
    }

    fn fetch(&self, file: &BundleFile, range: std::ops::Range<u64>) -> io::Result<Vec<u8>> {
        let path = format!("/blobs/sha256/{}", file.sha256.hex());
        let len = range.end - range.start;
        let fetched = Handle::current().block_on(self.client.get(&path, Some(range), len));
        fetched.map(|bytes| bytes.to_vec()).map_err(|error| {
            io::Error::other(CtlError::Refused {
                operation: "give the bytes, which are not on this machine either",
                message: error.to_string(),
                code: error.code(),
            })
        })
    }
}

/// Names the file whose bytes are no longer the approved ones.
struct Checked<R> {
    inner: R,
    place: PathBuf,
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).map_err(|e| {
            io::Error::other(CtlError::SourceChanged { path: self.place.clone(), source: Box::new(e) })
        })
    }
}
