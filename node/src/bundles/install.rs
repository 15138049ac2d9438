//! From quarantine into the store. The order of the steps is a value; a crash between any two leaves a state from which
//! the same rule goes on, and nothing is in the store that was not judged and measured whole (P9).

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use croft_domain::bundle::BundleFile;
use croft_domain::code::Code;
use croft_link::fetch::HttpsClient;
use croft_trust::digest::{sha256_reader, verify_chunk};
use croft_trust::disk::sync_dir;

use super::fetch::fetch;
use super::have::Have;
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
    /// It is read-only and synced.
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
    /// Take away the permission to write, and sync.
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

/// Installs one blob.
///
/// # Errors
/// A failure with its code. What landed stays for the next attempt, unless it was refused.
pub async fn install(
    client: &HttpsClient,
    blob: &BundleFile,
    paths: &Paths,
    vetting: &Vetting,
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<(), Failure> {
    let mut known = look(paths, blob).map_err(|e| Failure::caused(Code::StateUnwritable, &e))?;
    let mut refetches = 0;
    while let Some(step) = next(known) {
        match step {
            Step::Fetch => {
                fetch(client, blob, paths, progress).await.map_err(|e| Failure::caused(e.code(), &e))?;
                known = Known { complete: true, bitmap: true, sealed: false, ..known };
            }
            Step::Vet => {
                vet(paths, blob, vetting).await?;
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
                seal(&paths.part(&blob.sha256)).map_err(|e| Failure::caused(Code::StateUnwritable, &e))?;
                known.sealed = true;
            }
            Step::Store => {
                store(paths, blob).map_err(|e| Failure::caused(Code::StateUnwritable, &e))?;
                known.stored = true;
            }
            Step::Forget => {
                forget(paths, blob).map_err(|e| Failure::caused(Code::StateUnwritable, &e))?;
                known.bitmap = false;
            }
        }
    }
    progress(blob.len_bytes);
    Ok(())
}

async fn vet(paths: &Paths, blob: &BundleFile, vetting: &Vetting) -> Result<(), Failure> {
    let file = File::open(paths.part(&blob.sha256)).map_err(|e| Failure::caused(Code::BlobMissing, &e))?;
    let judged = vetting.judge(&file).await;
    if judged.is_err() {
        discard(paths, blob);
    }
    judged
}

/// Whether the file is, whole, the approved one. If not, the chunks that differ count as missing again.
async fn measure(paths: &Paths, blob: &BundleFile) -> Result<bool, Failure> {
    let (paths, blob) = (paths.clone(), blob.clone());
    let measured = tokio::task::spawn_blocking(move || {
        let part = File::open(paths.part(&blob.sha256))?;
        let (digest, len) = sha256_reader(&part)?;
        if digest == blob.sha256 && len == blob.len_bytes {
            return Ok(true);
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

fn clear_differing(paths: &Paths, blob: &BundleFile, part: &File) -> io::Result<usize> {
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

fn seal(part: &Path) -> io::Result<()> {
    let file = File::open(part)?;
    file.set_permissions(Permissions::from_mode(0o444))?;
    file.sync_all()
}

fn store(paths: &Paths, blob: &BundleFile) -> io::Result<()> {
    let target: PathBuf = paths.blob(&blob.sha256);
    std::fs::rename(paths.part(&blob.sha256), &target)?;
    target.parent().map_or(Ok(()), |folder| sync_dir(folder).map_err(io::Error::other))
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
