//! The weekly turn of a blob, by a clock that is a value.

use croft_domain::bundle::{BundleFile, FileRole};
use croft_domain::digest::Blake3Digest;
use croft_domain::evidence::Mode;
use croft_trust::digest::sha256;
use croft_trust::store::ApprovedBundle;

use super::*;
use crate::agent::floors_tests::view;
use crate::agent::memory::BundleProgress;
use crate::bundles::plan::tests::manifest;
use crate::controller_client::Recorder;
use crate::limits::RECHECK_EVERY_S;
use crate::state::paths::Paths;
use crate::state::recheck::Checked;
use crate::state::sent::SentRing;

const BEGIN: Timestamp = Timestamp(1_000_000_000);

/// A node with one loaded bundle, and the bytes of its blob.
fn node(folder: &std::path::Path) -> (Arc<Shared>, BundleFile, Vec<u8>, BundleRef) {
    let state = folder.to_owned();
    let paths = Paths { mode: Mode::User, run: state.join("run"), config: state.join("node.toml"), state };
    crate::state::files::prepare(&paths).expect("prepared");
    let bytes: Vec<u8> = (0..200_000_u32).map(|i| (i % 251) as u8).collect();
    let file = BundleFile {
        role: FileRole::Weights,
        sha256: sha256(&bytes),
        len_bytes: bytes.len() as u64,
        chunk_len_bytes: 1 << 16,
        chunks: bytes.chunks(1 << 16).map(|c| Blake3Digest(*blake3::hash(c).as_bytes())).collect(),
    };
    std::fs::write(paths.blob(&file.sha256), &bytes).expect("stored");
    let mut manifest = manifest("starter", 1, file.sha256);
    manifest.files = vec![file.clone()];
    let bundle = manifest.reference();
    let mut view = view();
    view.bundles.insert(bundle.clone(), ApprovedBundle { manifest, sha256: sha256(b"manifest") });
    let ring = SentRing::open(&paths).expect("a ring");
    let shared = Arc::new(Shared::open(paths, Recorder::new(ring)));
    {
        let mut memory = shared.memory();
        memory.trust = Some(Arc::new(view));
        let progress = BundleProgress {
            state: BundleState::Loaded,
            manifest_sha256: Some(sha256(b"manifest")),
            len_bytes: file.len_bytes,
            fetched_bytes: file.len_bytes,
            problem: None,
            worker_pid: None,
            load_failures: 0,
            origin: None,
            weights: None,
            memory: None,
            checks_passed: None,
        };
        memory.bundles.insert(bundle.clone(), progress);
    }
    (shared, file, bytes, bundle)
}

#[tokio::test]
async fn p2_a_bit_that_flips_within_a_week_unloads_the_model_and_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let (shared, file, mut bytes, bundle) = node(folder.path());
    let stop = CancellationToken::new();
    // What was just installed has its turn in a week, and is sound then.
    assert!(!round(&shared, &stop, BEGIN).await);
    assert!(!round(&shared, &stop, BEGIN.plus(RECHECK_EVERY_S - 1)).await);
    let first = BEGIN.plus(RECHECK_EVERY_S);
    assert!(round(&shared, &stop, first).await && !round(&shared, &stop, first).await);
    assert_eq!(shared.memory().bundles[&bundle].state, BundleState::Loaded);

    bytes[100_000] ^= 1;
    std::fs::write(shared.paths.blob(&file.sha256), &bytes).expect("bent");
    assert!(!round(&shared, &stop, first.plus(RECHECK_EVERY_S - 1)).await, "not its turn yet");
    let second = first.plus(RECHECK_EVERY_S);
    assert!(round(&shared, &stop, second).await);
    {
        let memory = shared.memory();
        let progress = &memory.bundles[&bundle];
        assert_eq!(progress.state, BundleState::Fetching);
        assert_eq!(progress.problem.as_ref().map(Failure::code), Some(Code::BlobCorrupt));
        // The controller hears of it with the next receipt.
        assert_eq!(memory.receipts, [(bundle.clone(), Some(Code::BlobCorrupt), 0)]);
        let damage = memory.checked.damage.as_ref().expect("remembered");
        assert_eq!((damage.at, damage.blob), (second, file.sha256));
    }
    assert!(!shared.paths.blob(&file.sha256).exists() && shared.paths.part(&file.sha256).exists());
    assert_eq!(
        Checked::load(&shared.paths).damage,
        shared.memory().checked.damage,
        "a restart forgets it not"
    );
}
