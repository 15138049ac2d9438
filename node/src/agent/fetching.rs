//! Brings the bundles that belong here into the store, one after another, and removes those that do not.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use croft_domain::bundle::{BundleFile, Manifest};
use croft_domain::code::Code;
use croft_domain::evidence::BundleState;
use croft_domain::id::BundleRef;
use croft_link::backoff::Backoff;
use tokio_util::sync::CancellationToken;

use super::memory::{BundleProgress, Memory, Shared};
use crate::bundles::install::{Installer, stored};
use crate::bundles::load::open_unverified;
use crate::bundles::plan::{OwnedDecision, superfluous};
use crate::bundles::quarantine;
use crate::bundles::stores::Stores;
use crate::bundles::vet::Vetting;
use crate::controller_client::Anonymous;
use crate::failure::Failure;
use crate::limits::{RECONNECT_MAX, RECONNECT_MIN};

/// Runs until stopped. `own_home` is where the daemon's own account keeps other tools' stores.
pub async fn run(shared: Arc<Shared>, vetting: Vetting, own_home: Option<PathBuf>, stop: CancellationToken) {
    let mut backoff = Backoff::new(RECONNECT_MIN, RECONNECT_MAX);
    loop {
        let is_done = tokio::select! {
            () = stop.cancelled() => return,
            is_done = pass(&shared, &vetting, own_home.as_deref()) => is_done,
        };
        let delay = if is_done {
            backoff.reset();
            Duration::MAX
        } else {
            backoff.next_delay()
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = shared.fetch.notified() => {}
            () = tokio::time::sleep(delay) => {}
        }
    }
}

/// Goes over everything assigned once. Says whether nothing is left to be done.
async fn pass(shared: &Arc<Shared>, vetting: &Vetting, own_home: Option<&Path>) -> bool {
    let decisions = decisions(shared);
    note(shared, &decisions);
    let mut is_done = true;
    for (reference, decision) in &decisions {
        let OwnedDecision::Keep { manifest, .. } = decision else { continue };
        let is_here = manifest.files.iter().all(|file| shared.paths.blob(&file.sha256).is_file());
        let is_installed =
            shared.memory().bundles.get(reference).is_some_and(|progress| {
                matches!(progress.state, BundleState::Installed | BundleState::Loaded)
            });
        // What is of several files is judged as a whole, in this process, before it counts as installed.
        if is_here && (is_installed || judge_whole(shared, manifest, vetting).await.is_ok()) {
            set(shared, reference, |progress| {
                progress.fetched_bytes = progress.len_bytes;
                // What failed to come by the network may have come by an archive; what failed to load stays failed.
                let is_unloaded = progress.state == BundleState::Failed && progress.load_failures == 0;
                if progress.state == BundleState::Fetching || is_unloaded {
                    progress.state = BundleState::Installed;
                    progress.problem = None;
                }
            });
            continue;
        }
        set(shared, reference, |progress| progress.state = BundleState::Fetching);
        match bring(shared, (reference, manifest, Purpose::Serve), vetting, own_home).await {
            Ok(()) => {
                tracing::info!(bundle = %reference, "installed");
                set(shared, reference, |progress| {
                    progress.state = BundleState::Installed;
                    progress.fetched_bytes = progress.len_bytes;
                    progress.problem = None;
                    progress.load_failures = 0;
                });
            }
            // Meanwhile another variant of it was chosen.
            Err(_) if !is_decided(shared, reference, manifest) => is_done = false,
            Err(failure) => {
                tracing::warn!(bundle = %reference, code = %failure.code(), detail = failure.message(), "not installed");
                let code = failure.code();
                set(shared, reference, |progress| {
                    progress.state = BundleState::Failed;
                    progress.problem = Some(failure);
                });
                shared.memory().receipts.push((reference.clone(), Some(code), 0));
                shared.attest.notify_one();
                is_done = false;
            }
        }
    }
    // What is only tried comes last: everybody has something to work with by then.
    is_done &= bring_trials(shared, vetting, own_home).await;
    remove_superfluous(shared);
    is_done
}

/// Fetches the variants that are to be measured. Says whether all of them are here.
async fn bring_trials(shared: &Arc<Shared>, vetting: &Vetting, own_home: Option<&Path>) -> bool {
    let mut is_done = true;
    for (reference, decision) in decisions(shared) {
        let OwnedDecision::Keep { trial: Some(manifest), .. } = decision else { continue };
        if manifest.files.iter().all(|file| shared.paths.blob(&file.sha256).is_file()) {
            continue;
        }
        let variant = &manifest.header.quantization;
        match bring(shared, (&reference, &manifest, Purpose::Try), vetting, own_home).await {
            Ok(()) => {
                tracing::info!(bundle = %reference, variant, "here to be measured");
                shared.changed();
            }
            Err(failure) => {
                tracing::info!(bundle = %reference, variant, code = %failure.code(), detail = failure.message(), "not fetched to be measured");
                is_done = false;
            }
        }
    }
    is_done
}

/// What a variant is fetched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// To serve: people are told how far it is.
    Serve,
    /// To be measured, and perhaps to serve then.
    Try,
}

/// Whether this variant is still the one that serves here.
fn is_decided(shared: &Shared, reference: &BundleRef, manifest: &Manifest) -> bool {
    match decisions(shared).remove(reference) {
        Some(OwnedDecision::Keep { manifest: now, .. }) => now.files == manifest.files,
        Some(OwnedDecision::Stop { .. }) | None => true,
    }
}

type Decisions = std::collections::BTreeMap<BundleRef, OwnedDecision>;

fn decisions(shared: &Shared) -> Decisions {
    let memory = shared.memory();
    memory.trust.clone().map(|trust| Memory::decisions(&trust, &memory)).unwrap_or_default()
}

/// Writes down what was decided, for people and for evidence.
fn note(shared: &Shared, decisions: &Decisions) {
    let mut memory = shared.memory();
    memory.bundles.retain(|reference, _| decisions.contains_key(reference));
    for (reference, decision) in decisions {
        let progress = memory.bundles.entry(reference.clone()).or_insert(BundleProgress {
            state: BundleState::Fetching,
            manifest_sha256: None,
            len_bytes: 0,
            fetched_bytes: 0,
            problem: None,
            memory: None,
            worker_pid: None,
            load_failures: 0,
            origin: None,
            weights: None,
            checks_passed: None,
        });
        match decision {
            OwnedDecision::Keep { manifest, manifest_sha256, .. } => {
                progress.manifest_sha256 = Some(*manifest_sha256);
                progress.len_bytes = manifest.len_bytes();
                if progress.state == BundleState::Recalled {
                    progress.state = BundleState::Fetching;
                    progress.problem = None;
                }
            }
            OwnedDecision::Stop { failure, manifest_sha256 } => {
                progress.manifest_sha256 = *manifest_sha256;
                progress.state = if failure.code() == Code::Recalled {
                    BundleState::Recalled
                } else {
                    BundleState::Failed
                };
                progress.problem = Some(failure.clone());
            }
        }
    }
    drop(memory);
    shared.changed();
}

fn set(shared: &Shared, reference: &BundleRef, change: impl FnOnce(&mut BundleProgress)) {
    let is_change = {
        let mut memory = shared.memory();
        memory.bundles.get_mut(reference).is_some_and(|progress| {
            let before = progress.clone();
            change(progress);
            before != *progress
        })
    };
    if is_change {
        shared.changed();
    }
}

/// Installs every file of a bundle, unless it stops belonging here meanwhile.
async fn bring(
    shared: &Arc<Shared>,
    (reference, manifest, purpose): (&BundleRef, &Manifest, Purpose),
    vetting: &Vetting,
    own_home: Option<&Path>,
) -> Result<(), Failure> {
    let (link, stores) = {
        let memory = shared.memory();
        let uids = memory.identity.as_ref().map(|id| id.enrollment.uids.clone()).unwrap_or_default();
        let controller = memory.identity.as_ref().map(|id| id.enrollment.controller.clone());
        let link = Anonymous::new(&controller.unwrap_or_default(), &memory.pins(), shared.recorder.clone());
        (link, Stores::of_accounts(&uids, own_home))
    };
    let client = link.and_then(|link| link.https()).map_err(|e| Failure::caused(e.code(), &e))?;
    let vetting = of_bundle(shared, manifest, vetting);
    let work = async {
        let mut before = 0;
        for file in &manifest.files {
            let ask = |file: &BundleFile| {
                let shown = format!("GET /blobs/sha256/{}", file.sha256.hex());
                let recorded = shared.recorder.record("GET", "an approved bundle is assigned here", shown);
                recorded.map_err(|e| Failure::caused(e.code(), &e))
            };
            let found = |whose| {
                tracing::info!(bundle = %reference, "found in {whose}");
                if purpose == Purpose::Serve {
                    set(shared, reference, |progress| progress.origin = Some(whose));
                }
            };
            let progress = |landed: u64| {
                if purpose == Purpose::Serve {
                    set(shared, reference, |progress| progress.fetched_bytes = before + landed);
                }
            };
            let installer = Installer {
                client: &client,
                paths: &shared.paths,
                vetting: &vetting,
                stores: &stores,
                ask: &ask,
                progress: &progress,
                found: &found,
            };
            installer.install(file).await?;
            before += file.len_bytes;
        }
        judge_whole(shared, manifest, &vetting).await
    };
    tokio::select! {
        done = work => done,
        stopped = no_longer_kept(shared, reference, manifest) => Err(stopped),
    }
}

/// How the files of a bundle are judged: by the rules with what the signed fleet document allows.
fn of_bundle(shared: &Shared, manifest: &Manifest, vetting: &Vetting) -> Vetting {
    let exceptions = shared.memory().trust.as_ref().map(|trust| trust.fleet.vetting.clone());
    vetting.of_file(&exceptions.unwrap_or_default(), manifest.files.len() > 1)
}

/// Judges a bundle of several files as one, where each was judged on its own already.
async fn judge_whole(shared: &Shared, manifest: &Manifest, vetting: &Vetting) -> Result<(), Failure> {
    if manifest.files.len() < 2 {
        return Ok(());
    }
    let files = open_unverified(&shared.paths, &manifest.files)?;
    of_bundle(shared, manifest, vetting).judge_together(&files).await
}

async fn no_longer_kept(shared: &Arc<Shared>, reference: &BundleRef, manifest: &Manifest) -> Failure {
    let mut changes = shared.changes();
    loop {
        let _ = changes.changed().await;
        match decisions(shared).remove(reference) {
            Some(decision @ OwnedDecision::Keep { .. }) => {
                let needs = decision.needs();
                if !manifest.files.iter().all(|file| needs.contains(&file.sha256)) {
                    return Failure::new(Code::Unapproved, "another variant of it is served here");
                }
            }
            Some(OwnedDecision::Stop { failure, .. }) => return failure,
            None => {
                return Failure::new(Code::Unapproved, "it is no longer assigned here");
            }
        }
    }
}

fn remove_superfluous(shared: &Shared) {
    // Before the first answer of the controller nothing is known to be superfluous.
    if shared.memory().attested_at.is_none() {
        return;
    }
    // What is there first, what belongs there second: a bundle that an archive brings meanwhile is wanted before its
    // bytes are there.
    let Ok(blobs) = stored(&shared.paths) else { return };
    let decisions = decisions(shared);
    for digest in superfluous(&blobs, &decisions) {
        // A worker that still has it open keeps it until it ends; the name is gone at once.
        if quarantine::remove(&shared.paths, &digest).is_ok() {
            tracing::info!(%digest, "removed a model that no longer belongs here");
        }
    }
}
