//! Taking over signed documents, whatever channel they came by: a set of metadata through the trust store, or a single
//! recall. Who brought them makes no difference to what is believed.

use croft_domain::recall::Recall;
use croft_domain::signed::Envelope;
use croft_trust::store::TrustSource;

use super::memory::Shared;
use crate::bundles::recalled;
use crate::clock;
use crate::failure::Failure;
use crate::limits::RECALLS_MAX;
use crate::state::recalls;

/// Brings the trust store up to date from `source` and takes over what it then holds.
///
/// # Errors
/// A failure with its code; the old set stays in force.
pub async fn update(shared: &Shared, source: &impl TrustSource) -> Result<(), Failure> {
    if take_over(shared, source).await? {
        shared.fetch.notify_one();
    }
    Ok(())
}

/// As [`update`], but says whether there is news instead of telling who fetches.
///
/// # Errors
/// As [`update`].
pub async fn take_over(shared: &Shared, source: &impl TrustSource) -> Result<bool, Failure> {
    let updated = {
        let mut store = shared.trust_store.lock().await;
        let Some(store) = store.as_mut() else { return Ok(false) };
        store.update(source, clock::now()).await
    };
    let view = updated.map_err(|e| Failure::caused(e.code(), &e))?;
    let is_new = {
        let mut memory = shared.memory();
        let is_new = memory.trust.as_ref().is_none_or(|old| old.versions != view.versions);
        memory.accept_trust(view);
        memory.alarm = None;
        is_new
    };
    if is_new {
        // The newest signed time is kept.
        if let Err(e) = shared.keep(|_| {}) {
            tracing::error!(error = %Failure::caused(e.code(), &e), "cannot keep state");
        }
    }
    shared.changed();
    Ok(is_new)
}

/// A recall counts from the moment it is verified; keeping it comes second, and failing to keep it is an alarm.
pub fn take_recall(shared: &Shared, envelope: &Envelope) {
    let trust = shared.memory().trust.clone();
    let Some(trust) = trust else { return };
    let recall = match recalled::verify(envelope, &trust.fleet, clock::now()) {
        Ok(recall) => recall,
        Err(e) => {
            let failure = Failure::caused(e.code(), &e);
            tracing::error!(code = %failure.code(), detail = failure.message(), "recall refused");
            shared.memory().alarm = Some(failure);
            return;
        }
    };
    obey(shared, &recall, envelope);
}

/// Takes in a recall that was verified. Says whether it is new.
pub fn obey(shared: &Shared, recall: &Recall, envelope: &Envelope) -> bool {
    {
        let mut memory = shared.memory();
        if memory.recalls.iter().any(|known| known.id == recall.id) || memory.recalls.len() >= RECALLS_MAX {
            return false;
        }
        // A recall dated into the future must not make this clock look set back.
        memory.kept.latest_seen = memory.kept.latest_seen.max(recall.issued_at.min(clock::now()));
        memory.recalls.push(recall.clone());
    }
    tracing::warn!(id = %recall.id, reason = recall.reason, "recall");
    shared.changed();
    shared.fetch.notify_one();
    if let Err(e) = recalls::keep(&shared.paths, recall.id, envelope) {
        shared.memory().alarm = Some(Failure::caused(e.code(), &e));
    }
    true
}
