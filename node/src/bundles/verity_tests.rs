//! fs-verity on a filesystem that has it, made for the test; where the machine cannot, what takes its place.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use croft_domain::bundle::FileRole;
use croft_domain::code::Code;
use croft_domain::digest::Blake3Digest;
use croft_domain::evidence::Mode;
use croft_trust::digest::sha256;

use super::*;
use crate::bundles::load::open_verified;
use crate::bundles::quarantine;

/// Bytes of a blob of three chunks.
pub(crate) fn bytes() -> Vec<u8> {
    (0..150_000_u32).flat_map(|i| (i % 251).to_le_bytes()).take(3 * 65_536 - 100).collect()
}

/// The blob of these bytes, in chunks of 64 KiB.
pub(crate) fn blob_of(bytes: &[u8]) -> BundleFile {
    BundleFile {
        role: FileRole::Weights,
        sha256: sha256(bytes),
        len_bytes: bytes.len() as u64,
        chunk_len_bytes: 1 << 16,
        chunks: bytes.chunks(1 << 16).map(|c| Blake3Digest(*blake3::hash(c).as_bytes())).collect(),
    }
}

/// A state folder as the daemon prepares it.
pub(crate) fn paths_in(folder: &Path) -> Paths {
    let state = folder.join("state");
    let paths = Paths { mode: Mode::System, run: state.join("run"), config: state.join("node.toml"), state };
    crate::state::files::prepare(&paths).expect("prepared");
    paths
}

/// Puts a blob into the store by the only way in.
pub(crate) fn install(paths: &Paths, blob: &BundleFile, bytes: &[u8]) {
    let part = paths.part(&blob.sha256);
    std::fs::write(&part, bytes).expect("written");
    quarantine::seal(paths, &part, blob).expect("sealed");
    quarantine::store(paths, &part, &blob.sha256).expect("stored");
}

/// An ext4 filesystem with fs-verity in a file, mounted for one test.
struct Mounted {
    folder: tempfile::TempDir,
}

impl Mounted {
    /// Says why it cannot be made here.
    fn try_new() -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        let (image, at) = (folder.path().join("image"), folder.path().join("at"));
        std::fs::create_dir(&at).map_err(|e| e.to_string())?;
        let file = File::create(&image).map_err(|e| e.to_string())?;
        file.set_len(32 << 20).map_err(|e| e.to_string())?;
        run(Command::new("mkfs.ext4").args(["-q", "-O", "verity", "-b", "4096"]).arg(&image))?;
        run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&at))?;
        Ok(Self { folder })
    }

    fn at(&self) -> PathBuf {
        self.folder.path().join("at")
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.at()).status();
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|e| format!("{name}: {e}"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{name}: {said}")) }
}

/// Whether files on this filesystem can be sealed. What the kernel says if not.
fn can_seal(folder: &Path) -> Result<(), String> {
    let path = folder.join("probe");
    std::fs::write(&path, b"probe").map_err(|e| e.to_string())?;
    enable(&File::open(&path).map_err(|e| e.to_string())?).map_err(|e| e.to_string())
}

#[test]
fn p2_a_sealed_blob_is_vouched_for_and_another_under_its_name_is_not() {
    let mounted = Mounted::try_new().and_then(|mounted| can_seal(&mounted.at()).map(|()| mounted));
    let mounted = match mounted {
        Ok(mounted) => mounted,
        Err(why) => {
            eprintln!("no fs-verity on this machine ({why}): verifying every chunk is tested in its place");
            return without_verity();
        }
    };
    let paths = paths_in(&mounted.at());
    let bytes = bytes();
    let blob = blob_of(&bytes);
    install(&paths, &blob, &bytes);
    let file = open_verified(&paths, &blob).expect("opened");
    assert!(vouches(&paths, &blob, &file), "the kernel vouches");
    // Nobody writes to it any more, whoever asks.
    assert!(std::fs::OpenOptions::new().write(true).open(paths.blob(&blob.sha256)).is_err());
    // Another file in its place, sealed as well, with a digest of its own.
    let mut bent = bytes.clone();
    bent[70_000] ^= 1;
    std::fs::remove_file(paths.blob(&blob.sha256)).expect("removed");
    std::fs::write(paths.blob(&blob.sha256), &bent).expect("replaced");
    enable(&File::open(paths.blob(&blob.sha256)).expect("opened")).expect("sealed");
    assert_eq!(open_verified(&paths, &blob).expect_err("refused").code(), Code::BlobCorrupt);
    // A sealed file that is not the approved one is never recorded.
    let part = paths.part(&blob.sha256);
    std::fs::write(&part, &bent).expect("written");
    forget(&paths, &blob.sha256);
    assert_eq!(quarantine::seal(&paths, &part, &blob).expect_err("refused").code(), Code::BlobCorrupt);
    assert!(!paths.verity(&blob.sha256).exists());
}

/// Without fs-verity nothing is vouched for, and every chunk is read at each load.
fn without_verity() {
    let folder = tempfile::tempdir().expect("a folder");
    let paths = paths_in(folder.path());
    let bytes = bytes();
    let blob = blob_of(&bytes);
    install(&paths, &blob, &bytes);
    let file = open_verified(&paths, &blob).expect("opened");
    assert!(measure(&file).is_none() && !vouches(&paths, &blob, &file));
    for at in [0, 65_535, 65_536, bytes.len() - 1] {
        flip(&paths.blob(&blob.sha256), at as u64);
        assert_eq!(open_verified(&paths, &blob).expect_err("refused").code(), Code::BlobCorrupt, "byte {at}");
        flip(&paths.blob(&blob.sha256), at as u64);
    }
}

#[test]
fn p2_a_record_alone_vouches_for_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let paths = paths_in(folder.path());
    let bytes = bytes();
    let blob = blob_of(&bytes);
    install(&paths, &blob, &bytes);
    let forged = Measured { sha256: blob.sha256, len_bytes: blob.len_bytes, verity: Sha256Digest([7; 32]) };
    write_json(&paths.verity(&blob.sha256), &forged).expect("written");
    flip(&paths.blob(&blob.sha256), 70_000);
    assert_eq!(open_verified(&paths, &blob).expect_err("refused").code(), Code::BlobCorrupt);
}

#[test]
fn p2_the_worker_reads_the_descriptor_that_was_verified() {
    let folder = tempfile::tempdir().expect("a folder");
    let paths = paths_in(folder.path());
    let bytes = bytes();
    let blob = blob_of(&bytes);
    install(&paths, &blob, &bytes);
    let file = open_verified(&paths, &blob).expect("opened");
    // Another file takes its name between verifying and reading: the descriptor stays with the verified one.
    std::fs::remove_file(paths.blob(&blob.sha256)).expect("removed");
    std::fs::write(paths.blob(&blob.sha256), vec![0; bytes.len()]).expect("replaced");
    let mut read = vec![0; bytes.len()];
    file.read_exact_at(&mut read, 0).expect("read");
    assert!(read == bytes);
}

#[test]
fn p2_nobody_else_can_write_below_the_store() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let paths = paths_in(folder.path());
    let bytes = bytes();
    let blob = blob_of(&bytes);
    install(&paths, &blob, &bytes);
    let mode = |path: &Path| path.metadata().expect("there").permissions().mode() & 0o777;
    for private in
        [&paths.state, &paths.store(), &paths.store().join("sha256"), &paths.store().join("quarantine")]
    {
        assert_eq!(mode(private), 0o700, "{}", private.display());
    }
    assert_eq!(mode(&paths.blob(&blob.sha256)), 0o444);
}

fn flip(path: &Path, at: u64) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("permissions");
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).expect("opened");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("read");
    file.write_all_at(&[byte[0] ^ 1], at).expect("written");
}
