//! A mirror needs no trust, and what was interrupted costs no chunk that had landed.

use std::sync::atomic::{AtomicU64, Ordering};

use croft_domain::bundle::{BundleFile, FileRole};
use croft_domain::code::Code;
use croft_domain::digest::Blake3Digest;
use croft_domain::evidence::Mode;
use croft_node::bundles::fetch::fetch;
use croft_node::bundles::load::open_verified;
use croft_node::state::files::prepare;
use croft_node::state::paths::Paths;
use croft_trust::digest::sha256;
use tempfile::TempDir;

use crate::mirror::{Behavior, Mirror};

const CHUNK_LEN: usize = 1 << 16;

fn blob(chunks: usize) -> (Vec<u8>, BundleFile) {
    // No two chunks are alike, and the last one is short.
    let bytes: Vec<u8> = (0..chunks * CHUNK_LEN - 7).map(|i| (i / CHUNK_LEN * 31 + i % 251) as u8).collect();
    let file = BundleFile {
        role: FileRole::Weights,
        sha256: sha256(&bytes),
        len_bytes: bytes.len() as u64,
        chunk_len_bytes: CHUNK_LEN as u64,
        chunks: bytes.chunks(CHUNK_LEN).map(|c| Blake3Digest(*blake3::hash(c).as_bytes())).collect(),
    };
    (bytes, file)
}

fn node() -> (TempDir, Paths) {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let paths = Paths { mode: Mode::User, run: state.join("run"), config: state.join("node.toml"), state };
    prepare(&paths).expect("folders");
    (folder, paths)
}

#[tokio::test]
async fn p9_a_fetch_that_was_cut_off_resumes_where_it_stopped() {
    let (bytes, file) = blob(20);
    let (_folder, paths) = node();
    let mirror = Mirror::start(bytes.clone(), Behavior::CutAfter(8)).await;
    let landed = AtomicU64::new(0);
    let progress = |bytes: u64| landed.store(bytes, Ordering::SeqCst);
    let cut = fetch(&mirror.client, &file, &paths, &progress).await.expect_err("cut off");
    assert_eq!(cut.code(), Code::Unreachable);

    mirror.behave(Behavior::Honest);
    fetch(&mirror.client, &file, &paths, &progress).await.expect("fetched");
    // Eight had been answered whole; up to four were under way, and only what was under way may be asked for again.
    assert!((12..=16).contains(&mirror.answered()), "{} requests", mirror.answered());
    assert_eq!(landed.load(Ordering::SeqCst), file.len_bytes);
    assert_eq!(std::fs::read(paths.part(&file.sha256)).expect("the file"), bytes);

    // What is complete is not asked for again.
    mirror.behave(Behavior::Missing);
    fetch(&mirror.client, &file, &paths, &progress).await.expect("nothing left to fetch");
}

#[tokio::test]
async fn p2_a_flipped_bit_or_a_swapped_chunk_never_lands() {
    for behavior in [Behavior::Flip, Behavior::Swap] {
        let (bytes, file) = blob(3);
        let (_folder, paths) = node();
        let mirror = Mirror::start(bytes, behavior).await;
        let refused = fetch(&mirror.client, &file, &paths, &|_| {}).await.expect_err("refused");
        assert_eq!(refused.code(), Code::BlobCorrupt, "{behavior:?}");
        mirror.behave(Behavior::Honest);
        fetch(&mirror.client, &file, &paths, &|_| {}).await.expect("fetched from an honest mirror");
    }
}

#[tokio::test]
async fn a_missing_blob_is_told_as_such() {
    let (bytes, file) = blob(2);
    let (_folder, paths) = node();
    let mirror = Mirror::start(bytes, Behavior::Missing).await;
    let missing = fetch(&mirror.client, &file, &paths, &|_| {}).await.expect_err("missing");
    assert_eq!(missing.code(), Code::BlobMissing);
}

#[test]
fn p2_every_load_verifies_the_bytes_it_hands_on() {
    let (bytes, file) = blob(3);
    let (_folder, paths) = node();
    let stored = paths.blob(&file.sha256);
    assert_eq!(open_verified(&paths, &file).expect_err("absent").code(), Code::BlobMissing);
    std::fs::write(&stored, &bytes).expect("written");
    open_verified(&paths, &file).expect("approved");
    let mut flipped = bytes.clone();
    flipped[CHUNK_LEN + 5] ^= 0x80;
    std::fs::write(&stored, &flipped).expect("written");
    assert_eq!(open_verified(&paths, &file).expect_err("flipped").code(), Code::BlobCorrupt);
    std::fs::write(&stored, &bytes[..bytes.len() - 1]).expect("written");
    assert_eq!(open_verified(&paths, &file).expect_err("short").code(), Code::BlobTruncated);
    // A link in the store leads nowhere, even if what it leads to is right.
    let elsewhere = paths.state_file("elsewhere");
    std::fs::write(&elsewhere, &bytes).expect("written");
    std::fs::remove_file(&stored).expect("removed");
    std::os::unix::fs::symlink(&elsewhere, &stored).expect("linked");
    assert!(open_verified(&paths, &file).is_err());
}
