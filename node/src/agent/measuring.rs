//! Measures, once, each variant whose turn it is: when no model was used for a while, the machine is not on battery, and
//! serving is not forbidden. The result decides among approved variants.

use std::sync::Arc;
use std::time::Duration;

use croft_domain::bundle::Manifest;
use croft_domain::digest::Sha256Digest;
use croft_domain::id::BundleRef;
use tokio_util::sync::CancellationToken;

use super::keeper::may_load;
use super::memory::{Memory, Shared};
use super::order::order;
use crate::bundles::plan::OwnedDecision;
use crate::bundles::quarantine;
use crate::capacity::is_on_battery;
use crate::clock;
use crate::failure::Failure;
use crate::limits::{MEASURE_AFTER_IDLE, MEASURE_LOOK_EVERY, MEASURE_RETRY_AFTER};
use crate::state::measured::{Measurement, Record, Under};
use crate::supervisor::measuring::{Stopwatch, Timed};

/// A variant whose turn it is.
struct Turn {
    bundle: BundleRef,
    manifest: Box<Manifest>,
    manifest_sha256: Sha256Digest,
    variant: Sha256Digest,
}

/// Runs until stopped.
pub async fn run(shared: Arc<Shared>, stopwatch: Stopwatch, stop: CancellationToken) {
    let mut changes = shared.changes();
    loop {
        changes.borrow_and_update();
        let pause = match turn(&shared) {
            None => None,
            Some(_) if !stopwatch.is_calm(MEASURE_AFTER_IDLE) || is_on_battery() => Some(MEASURE_LOOK_EVERY),
            Some(turn) => {
                let attempt = order(&shared.paths, &turn.bundle, &turn.manifest, 0);
                let timed = tokio::select! {
                    () = stop.cancelled() => return,
                    timed = stopwatch.run(&attempt) => timed,
                };
                Some(take(&shared, &turn, timed))
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = wait(pause) => {}
            _ = changes.changed(), if pause.is_none() => {}
        }
    }
}

async fn wait(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}

/// The next variant that is here and is to be measured.
fn turn(shared: &Shared) -> Option<Turn> {
    let memory = shared.memory();
    if !may_load(&memory.serving(clock::now(), clock::boottime_ms())) {
        return None;
    }
    let trust = memory.trust.clone()?;
    let decisions = Memory::decisions(&trust, &memory);
    drop(memory);
    decisions.into_iter().find_map(|(bundle, decision)| {
        let OwnedDecision::Keep { manifest_sha256, trial: Some(manifest), .. } = decision else {
            return None;
        };
        let is_here = manifest.files.iter().all(|file| shared.paths.blob(&file.sha256).is_file());
        let variant = manifest.files.first()?.sha256;
        is_here.then_some(Turn { bundle, manifest, manifest_sha256, variant })
    })
}

/// Takes in what came of a run; says how long to wait for the next.
fn take(shared: &Shared, turn: &Turn, timed: Timed) -> Duration {
    let name = turn.manifest.header.quantization.to_ascii_lowercase();
    let (measurement, cpu) = match timed {
        Timed::Done(measured, cpu) => {
            let tokens_per_s = measured.millitokens_per_s / 1000;
            tracing::info!(bundle = %turn.bundle, variant = name, tokens_per_s, "measured");
            let rate = Measurement::Rate {
                millitokens_per_s: measured.millitokens_per_s,
                prompt_millitokens_per_s: measured.prompt_millitokens_per_s,
                streams: measured.streams,
            };
            (rate, cpu)
        }
        Timed::Failed(failure) => {
            tracing::warn!(bundle = %turn.bundle, variant = name, code = %failure.code(), detail = failure.message(), "a variant does not come up");
            (Measurement::Failed { reason: format!("{}: {failure}", failure.code()) }, String::new())
        }
        Timed::Later(failure) => {
            tracing::info!(bundle = %turn.bundle, variant = name, code = %failure.code(), reason = failure.message(), "not measured now");
            return later(shared, turn, &failure);
        }
    };
    note(shared, turn.manifest_sha256, turn.variant, measurement, cpu);
    Duration::ZERO
}

/// What is damaged on disk is fetched again; everything else only takes another attempt.
fn later(shared: &Shared, turn: &Turn, failure: &Failure) -> Duration {
    use croft_domain::code::Code;
    match failure.code() {
        Code::BlobCorrupt | Code::BlobTruncated => {
            for file in &turn.manifest.files {
                let _ = quarantine::remove(&shared.paths, &file.sha256);
            }
            shared.fetch.notify_one();
            MEASURE_RETRY_AFTER
        }
        Code::QueueFull => MEASURE_LOOK_EVERY,
        _ => MEASURE_RETRY_AFTER,
    }
}

/// Writes down what was found out about a variant, and has everybody decide anew.
pub(super) fn note(
    shared: &Shared,
    manifest: Sha256Digest,
    variant: Sha256Digest,
    measurement: Measurement,
    cpu: String,
) {
    let kept = {
        let mut memory = shared.memory();
        let Some(under) = memory.under() else { return };
        let under = if cpu.is_empty() { under } else { Under { cpu, ..under } };
        memory.measured.note(Record { manifest, variant, under, measurement, at: clock::now() });
        memory.measured.clone()
    };
    if let Err(e) = kept.save(&shared.paths) {
        tracing::error!(error = %Failure::caused(e.code(), &e), "cannot keep what was measured");
    }
    shared.changed();
    shared.fetch.notify_one();
}
