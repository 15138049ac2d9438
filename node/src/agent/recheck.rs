//! Once a week each stored blob is read again in the background. Damage is told at once: the model is unloaded, what is
//! broken of it is fetched again, and owner and organization hear of it.

use std::sync::{Arc, mpsc};

use croft_domain::bundle::BundleFile;
use croft_domain::code::Code;
use croft_domain::digest::Sha256Digest;
use croft_domain::evidence::BundleState;
use croft_domain::id::BundleRef;
use croft_domain::time::Timestamp;
use tokio_util::sync::CancellationToken;

use super::memory::Shared;
use crate::bundles::install::stored;
use crate::bundles::recheck::{Found, read_calmly, set_aside};
use crate::clock;
use crate::failure::Failure;
use crate::limits::RECHECK_LOOK_EVERY;
use crate::state::recheck::Damage;

/// Runs until stopped.
pub async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    loop {
        while round(&shared, &stop, clock::now()).await {}
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(RECHECK_LOOK_EVERY) => {}
        }
    }
}

/// Verifies the blob whose turn it is at `now`. Says whether there may be another.
async fn round(shared: &Arc<Shared>, stop: &CancellationToken, now: Timestamp) -> bool {
    let Ok(blobs) = stored(&shared.paths) else { return false };
    let due = keep(shared, |checked| {
        checked.follow(&blobs, now);
        checked.due(now)
    });
    let Some(digest) = due else { return false };
    // What no manifest describes any more is removed by who fetches; until then it has no turn.
    let file = described(shared, &digest);
    let found = match &file {
        Some(file) => read(shared, file, stop).await,
        None => Found::Sound,
    };
    match (found, file) {
        (Found::Stopped, _) => return false,
        (Found::Damaged(chunks), Some(file)) => damaged(shared, &file, &chunks, now),
        _ => {}
    }
    keep(shared, |checked| checked.verified.insert(digest, now));
    !stop.is_cancelled()
}

/// Changes what is remembered, durably if the disk lets us.
fn keep<T>(shared: &Shared, change: impl FnOnce(&mut crate::state::recheck::Checked) -> T) -> T {
    let mut memory = shared.memory();
    let before = memory.checked.clone();
    let result = change(&mut memory.checked);
    let checked = memory.checked.clone();
    drop(memory);
    if checked != before
        && let Err(e) = checked.save(&shared.paths)
    {
        tracing::error!(error = %Failure::caused(e.code(), &e), "cannot keep when blobs were verified");
    }
    result
}

fn described(shared: &Shared, digest: &Sha256Digest) -> Option<BundleFile> {
    let trust = shared.memory().trust.clone()?;
    let mut files = trust.bundles.values().flat_map(|bundle| bundle.manifest.every_file());
    files.find(|file| file.sha256 == *digest).cloned()
}

/// On a thread of its own: its low priority is for good.
async fn read(shared: &Shared, file: &BundleFile, stop: &CancellationToken) -> Found {
    let (keep, ended) = mpsc::channel();
    let (answer, found) = tokio::sync::oneshot::channel();
    let (paths, file) = (shared.paths.clone(), file.clone());
    let started = std::thread::Builder::new().name("recheck".to_owned()).spawn(move || {
        let _ = answer.send(read_calmly(&paths, &file, &ended));
    });
    let found = async {
        match found.await {
            Ok(Ok(found)) => found,
            // It went away meanwhile: whoever wants it fetches it.
            Ok(Err(_)) => Found::Sound,
            Err(_) => Found::Stopped,
        }
    };
    if started.is_err() {
        return Found::Stopped;
    }
    let found = tokio::select! {
        found = found => found,
        () = stop.cancelled() => Found::Stopped,
    };
    drop(keep);
    found
}

fn damaged(shared: &Shared, file: &BundleFile, chunks: &[usize], now: Timestamp) {
    let message = match chunks {
        [chunk] => format!("chunk {chunk} of {} changed on disk; it is fetched again", file.sha256),
        chunks => {
            format!("{} chunks of {} changed on disk; they are fetched again", chunks.len(), file.sha256)
        }
    };
    tracing::error!(code = %Code::BlobCorrupt, "{message}");
    if let Err(e) = set_aside(&shared.paths, file, chunks) {
        tracing::error!(error = %e, "cannot set the damaged file aside");
    }
    keep(shared, |checked| {
        checked.damage = Some(Damage { at: now, blob: file.sha256, message: message.clone() });
    });
    {
        let mut memory = shared.memory();
        let holds = |bundle: &BundleRef| memory.uses(bundle, &file.sha256);
        let affected: Vec<BundleRef> =
            memory.bundles.keys().filter(|bundle| holds(bundle)).cloned().collect();
        for bundle in affected {
            if let Some(progress) = memory.bundles.get_mut(&bundle) {
                // Whoever keeps the processes unloads what is being fetched.
                progress.state = BundleState::Fetching;
                progress.problem = Some(Failure::new(Code::BlobCorrupt, message.clone()));
            }
            memory.receipts.push((bundle, Some(Code::BlobCorrupt), 0));
        }
    }
    shared.changed();
    shared.fetch.notify_one();
    shared.attest.notify_one();
}

#[cfg(test)]
#[path = "recheck_tests.rs"]
mod tests;
