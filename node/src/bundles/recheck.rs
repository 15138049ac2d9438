//! Reading a stored blob again, slowly and after everybody else: bits rot, and a model that is loaded for weeks is not
//! verified by loading.

#![allow(unsafe_code)] // The priority of input and output is set by a system call that no safe wrapper offers.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use croft_domain::bundle::BundleFile;
use croft_trust::digest::verify_chunk;
use rustix::fs::{Advice, fadvise};

use super::have::Have;
use super::{quarantine, verity};
use crate::limits::RECHECK_BYTES_PER_S;
use crate::state::paths::Paths;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Every chunk is the approved one.
    Sound,
    /// These are not, or cannot be read.
    Damaged(Vec<usize>),
    /// It was asked to stop before the end.
    Stopped,
}

/// Reads a blob of the store at the lowest priority, at most [`RECHECK_BYTES_PER_S`] bytes a second. To be called on a
/// thread of its own, which keeps that priority; `stop` ends it when its other side is dropped.
///
/// # Errors
/// It cannot be opened.
pub fn read_calmly(paths: &Paths, blob: &BundleFile, stop: &Receiver<()>) -> io::Result<Found> {
    step_back();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(paths.blob(&blob.sha256))?;
    // Length and chunks are judged apart: a file that grew is damaged in a chunk that is not there.
    let mut damaged = Vec::new();
    if file.metadata()?.len() != blob.len_bytes {
        damaged.push(blob.chunks.len().saturating_sub(1));
    }
    for (index, expected) in blob.chunks.iter().enumerate() {
        let Some(range) = blob.chunk_range(index) else { continue };
        let len = range.end - range.start;
        // From the disk and not from memory, as far as nobody has it mapped.
        let _ = fadvise(&file, range.start, std::num::NonZeroU64::new(len), Advice::DontNeed);
        let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
        let is_sound = file.read_exact_at(&mut bytes, range.start).is_ok() && verify_chunk(&bytes, expected);
        if !is_sound && !damaged.contains(&index) {
            damaged.push(index);
        }
        let pause = Duration::from_secs_f64(len as f64 / RECHECK_BYTES_PER_S as f64);
        if !matches!(stop.recv_timeout(pause), Err(RecvTimeoutError::Timeout)) {
            return Ok(Found::Stopped);
        }
    }
    damaged.sort_unstable();
    Ok(if damaged.is_empty() { Found::Sound } else { Found::Damaged(damaged) })
}

/// The lowest priority for processor and disk that this thread can have. Failing to get it only makes it less polite.
fn step_back() {
    const WHO_PROCESS: libc::c_int = 1;
    const CLASS_IDLE: libc::c_int = 3 << 13;
    let _ = rustix::process::setpriority_process(None, 19);
    // SAFETY: the call takes three numbers and touches no memory of ours; 0 means this thread.
    unsafe {
        libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, CLASS_IDLE);
    }
}

/// Takes a damaged blob out of the store and into quarantine, where what is still good of it need not be fetched again.
/// A sealed file cannot be mended and is removed.
///
/// # Errors
/// The disk fails.
pub fn set_aside(paths: &Paths, blob: &BundleFile, damaged: &[usize]) -> io::Result<()> {
    let file = File::open(paths.blob(&blob.sha256))?;
    if verity::measure(&file).is_some() || file.metadata()?.len() != blob.len_bytes {
        return quarantine::remove(paths, &blob.sha256);
    }
    file.set_permissions(Permissions::from_mode(0o600))?;
    // The name first: bytes without a bitmap are only fetched again.
    std::fs::rename(paths.blob(&blob.sha256), paths.part(&blob.sha256))?;
    let mut have = Have::open(&paths.have(&blob.sha256), blob)?;
    for index in 0..blob.chunks.len() {
        if damaged.contains(&index) { have.clear(index)? } else { have.set(index)? }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::verity::tests::{blob_of, bytes, install, paths_in};
    use super::*;

    fn look(paths: &Paths, blob: &BundleFile) -> Found {
        let (_keep, stop) = std::sync::mpsc::channel();
        read_calmly(paths, blob, &stop).expect("read")
    }

    #[test]
    fn p2_a_bit_that_flips_on_disk_is_found_and_only_its_chunk_is_fetched_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let (paths, bytes) = (paths_in(folder.path()), bytes());
        let blob = blob_of(&bytes);
        install(&paths, &blob, &bytes);
        assert_eq!(look(&paths, &blob), Found::Sound);
        let mut bent = bytes.clone();
        bent[70_000] ^= 1;
        let path = paths.blob(&blob.sha256);
        std::fs::remove_file(&path).expect("removed");
        std::fs::write(&path, &bent).expect("bent");
        assert_eq!(look(&paths, &blob), Found::Damaged(vec![1]));
        set_aside(&paths, &blob, &[1]).expect("set aside");
        assert!(!path.exists());
        let have = Have::open(&paths.have(&blob.sha256), &blob).expect("a bitmap");
        assert_eq!(have.missing(), [1]);
    }

    #[test]
    fn another_length_is_damage_and_nothing_of_it_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let (paths, bytes) = (paths_in(folder.path()), bytes());
        let blob = blob_of(&bytes);
        for len in [bytes.len() - 1, bytes.len() + 1] {
            let mut other = bytes.clone();
            other.resize(len, 0);
            std::fs::write(paths.blob(&blob.sha256), &other).expect("written");
            assert_eq!(look(&paths, &blob), Found::Damaged(vec![2]), "{len}");
            set_aside(&paths, &blob, &[2]).expect("set aside");
            assert!(!paths.blob(&blob.sha256).exists() && !paths.part(&blob.sha256).exists());
        }
    }

    #[test]
    fn it_ends_when_the_daemon_does() {
        let folder = tempfile::tempdir().expect("a folder");
        let (paths, bytes) = (paths_in(folder.path()), bytes());
        let blob = blob_of(&bytes);
        install(&paths, &blob, &bytes);
        let (stopped, stop) = std::sync::mpsc::channel();
        drop(stopped);
        assert_eq!(read_calmly(&paths, &blob, &stop).expect("read"), Found::Stopped);
    }
}
