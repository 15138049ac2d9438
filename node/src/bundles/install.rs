//! From quarantine into the store. The order of the steps is a value; a crash between any two leaves a state from which
//! the same rule goes on, and nothing is in the store that was not judged and measured whole (P9).

use std::fs::File;
use std::io;

use croft_domain::bundle::BundleFile;
use croft_domain::code::Code;
use croft_link::fetch::HttpsClient;
use croft_trust::digest::verify_chunk;

use super::fetch::{FetchError, fetch};
use super::have::Have;
use super::quarantine::{self, unwritable};
use super::stores::Stores;
use super::verity;
use super::vet::Vetting;
use crate::failure::Failure;
use crate::limits::REFETCH_MAX;
use crate::state::paths::Paths;

/// What is known about one blob: what the disk shows, and what this process has established since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// It is in the store.
    pub stored: bool,
    /// Its bitmap is still in quarantine.
    pub bitmap: bool,
    /// Every chunk has landed.
    pub complete: bool,
    /// The linter passed it, in this process.
    pub vetted: bool,
    /// Its SHA-256 is the approved one, in this process.
    pub measured: bool,
    /// It is read-only, synced, and sealed where the filesystem can.
    pub sealed: bool,
}

/// One step of installing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Fetch what is missing.
    Fetch,
    /// Have it judged in a confined process.
    Vet,
    /// Measure it whole.
    Measure,
    /// Take away the permission to write, sync, and seal where the filesystem can.
    Seal,
    /// Rename it into the store.
    Store,
    /// Remove its bitmap.
    Forget,
}

/// The next step, or none when all is done.
#[must_use]
pub const fn next(known: Known) -> Option<Step> {
    match known {
        Known { stored: true, bitmap: true, .. } => Some(Step::Forget),
        Known { stored: true, .. } => None,
        Known { complete: false, .. } => Some(Step::Fetch),
        Known { vetted: false, .. } => Some(Step::Vet),
        Known { measured: false, .. } => Some(Step::Measure),
        Known { sealed: false, .. } => Some(Step::Seal),
        _ => Some(Step::Store),
    }
}

/// What the disk shows. What only a process can know begins as not known.
///
/// # Errors
/// If the bitmap cannot be read.
pub fn look(paths: &Paths, blob: &BundleFile) -> io::Result<Known> {
    let (part, have) = (paths.part(&blob.sha256), paths.have(&blob.sha256));
    let mut known =
        Known { stored: paths.blob(&blob.sha256).is_file(), bitmap: have.exists(), ..Known::default() };
    if !known.stored && part.is_file() && known.bitmap {
        known.complete = Have::open(&have, blob)?.missing().is_empty()
            && part.metadata().is_ok_and(|meta| meta.len() == blob.len_bytes);
    }
    Ok(known)
}

/// Brings blobs into the store.
pub struct Installer<'a> {
    /// The controller, or any mirror of it.
    pub client: &'a HttpsClient,
    /// Where everything is kept.
    pub paths: &'a Paths,
    /// How files are judged.
    pub vetting: &'a Vetting,
    /// Where other tools on this machine keep models.
    pub stores: &'a Stores,
    /// Called before the controller is asked for bytes.
    pub ask: &'a (dyn Fn(&BundleFile) -> Result<(), Failure> + Send + Sync),
    /// Told how many bytes of the blob have landed.
    pub progress: &'a (dyn Fn(u64) + Send + Sync),
    /// Told whose store held the bytes.
    pub found: &'a (dyn Fn(&'static str) + Send + Sync),
}

impl Installer<'_> {
    /// Installs one blob.
    ///
    /// # Errors
    /// A failure with its code. What landed stays for the next attempt, unless it was refused.
    pub async fn install(&self, blob: &BundleFile) -> Result<(), Failure> {
        let (paths, part) = (self.paths, self.paths.part(&blob.sha256));
        let mut known = look(paths, blob).map_err(|e| unwritable(&e))?;
        let mut refetches = 0;
        while let Some(step) = next(known) {
            match step {
                Step::Fetch => {
                    self.fetch(blob).await?;
                    known = Known { complete: true, bitmap: true, sealed: false, ..known };
                }
                Step::Vet => {
                    let judged = quarantine::vet(&part, self.vetting).await;
                    judged.inspect_err(|_| discard(paths, blob))?;
                    known.vetted = true;
                }
                Step::Measure => {
                    known.measured = measure(paths, blob).await?;
                    if !known.measured {
                        refetches += 1;
                        if refetches > REFETCH_MAX {
                            discard(paths, blob);
                            return Err(Failure::new(
                                Code::BlobCorrupt,
                                "the bytes on disk keep differing from what landed; look at the disk's health",
                            ));
                        }
                        // What was judged is not what will be there next.
                        known = Known { complete: false, vetted: false, ..known };
                    }
                }
                Step::Seal => {
                    let sealed = seal(paths, blob).await;
                    sealed.inspect_err(|e| {
                        if e.code() == Code::BlobCorrupt {
                            discard(paths, blob);
                        }
                    })?;
                    known.sealed = true;
                }
                Step::Store => {
                    quarantine::store(paths, &part, &blob.sha256).map_err(|e| unwritable(&e))?;
                    known.stored = true;
                }
                Step::Forget => {
                    forget(paths, blob).map_err(|e| unwritable(&e))?;
                    known.bitmap = false;
                }
            }
        }
        (self.progress)(blob.len_bytes);
        Ok(())
    }

    /// From another tool's store where one has it, else and for the rest from the controller.
    async fn fetch(&self, blob: &BundleFile) -> Result<(), Failure> {
        let failed = |e: FetchError| Failure::caused(e.code(), &e);
        let (stores, paths, wanted) = (self.stores.clone(), self.paths.clone(), blob.clone());
        let looked = tokio::task::spawn_blocking(move || stores.land(&wanted, &paths));
        let looked = looked.await.map_err(|e| Failure::caused(Code::Internal, &e))?;
        if let Some(whose) = looked.map_err(failed)? {
            (self.found)(whose);
        }
        if !look(self.paths, blob).map_err(|e| unwritable(&e))?.complete {
            (self.ask)(blob)?;
            fetch(self.client, blob, self.paths, self.progress).await.map_err(failed)?;
        }
        Ok(())
    }
}

async fn seal(paths: &Paths, blob: &BundleFile) -> Result<(), Failure> {
    let (paths, blob) = (paths.clone(), blob.clone());
    let part = paths.part(&blob.sha256);
    let sealed = tokio::task::spawn_blocking(move || quarantine::seal(&paths, &part, &blob));
    sealed.await.map_err(|e| Failure::caused(Code::Internal, &e))?
}

/// Whether the file is, whole, the approved one. If not, the chunks that differ count as missing again.
async fn measure(paths: &Paths, blob: &BundleFile) -> Result<bool, Failure> {
    let (paths, blob) = (paths.clone(), blob.clone());
    let measured = tokio::task::spawn_blocking(move || {
        let path = paths.part(&blob.sha256);
        if quarantine::is_approved(&path, &blob)? {
            return Ok(true);
        }
        let part = File::open(&path)?;
        if verity::measure(&part).is_some() {
            // Sealed before a crash, and damaged since: it cannot be written any more.
            discard(&paths, &blob);
            return Ok(false);
        }
        let cleared = clear_differing(&paths, &blob, &part)?;
        if cleared == 0 {
            // Every chunk is the approved one and the whole is not: the manifest contradicts itself.
            return Err(io::Error::other("the manifest's digests contradict each other"));
        }
        Ok(false)
    });
    measured
        .await
        .unwrap_or_else(|e| Err(io::Error::other(e)))
        .map_err(|e| Failure::caused(Code::BlobCorrupt, &e))
}

/// Clears the bits of the chunks that do not hold, and says of how many.
pub(super) fn clear_differing(paths: &Paths, blob: &BundleFile, part: &File) -> io::Result<usize> {
    use std::os::unix::fs::FileExt;
    let mut have = Have::open(&paths.have(&blob.sha256), blob)?;
    let mut cleared = 0;
    for (index, expected) in blob.chunks.iter().enumerate() {
        let Some(range) = blob.chunk_range(index) else { continue };
        let mut bytes = vec![0; usize::try_from(range.end - range.start).map_err(io::Error::other)?];
        let is_whole = part.read_exact_at(&mut bytes, range.start).is_ok();
        if !is_whole || !verify_chunk(&bytes, expected) {
            have.clear(index)?;
            cleared += 1;
        }
    }
    Ok(cleared)
}

fn forget(paths: &Paths, blob: &BundleFile) -> io::Result<()> {
    match std::fs::remove_file(paths.have(&blob.sha256)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Throws away what is in quarantine: bytes that were refused are not kept.
fn discard(paths: &Paths, blob: &BundleFile) {
    let _ = std::fs::remove_file(paths.part(&blob.sha256));
    let _ = std::fs::remove_file(paths.have(&blob.sha256));
}

/// The blobs in the store.
///
/// # Errors
/// If the folder cannot be read.
pub fn stored(paths: &Paths) -> io::Result<Vec<croft_domain::digest::Sha256Digest>> {
    let entries = match std::fs::read_dir(paths.store().join("sha256")) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    Ok(entries
        .filter_map(Result::ok)
        .filter_map(|entry| format!("sha256:{}", entry.file_name().to_str()?).parse().ok())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(step: Step, known: Known) -> Known {
        match step {
            Step::Fetch => Known { complete: true, bitmap: true, ..known },
            Step::Vet => Known { vetted: true, ..known },
            Step::Measure => Known { measured: true, ..known },
            Step::Seal => Known { sealed: true, ..known },
            Step::Store => Known { stored: true, ..known },
            Step::Forget => Known { bitmap: false, ..known },
        }
    }

    /// A crash takes away what only the process knew.
    const fn crashed(known: Known) -> Known {
        Known { vetted: false, measured: false, sealed: false, ..known }
    }

    #[test]
    fn p9_installing_converges_from_a_crash_between_any_two_steps() {
        for crash_after in 0..8 {
            for second_crash_after in 0..8 {
                let mut known = Known::default();
                let mut crashes = vec![second_crash_after, crash_after];
                let mut budget = crashes.pop();
                let mut steps = 0;
                while let Some(step) = next(known) {
                    if budget == Some(0) {
                        known = crashed(known);
                        budget = crashes.pop();
                        continue;
                    }
                    // Nothing gets into the store that this process has not judged and measured.
                    assert!(step != Step::Store || known.vetted && known.measured && known.sealed);
                    known = after(step, known);
                    budget = budget.map(|left| left - 1);
                    steps += 1;
                    assert!(steps < 64, "does not converge");
                }
                assert!(known.stored && !known.bitmap);
            }
        }
    }
}
