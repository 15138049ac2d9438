//! Recalls that this machine knows: those that it signed, and those that the controller tells. They go into archives,
//! where whoever takes one in verifies them; here they are only carried.

use std::collections::BTreeMap;

use croft_domain::id::RecallId;
use croft_domain::recall::Recall;
use croft_domain::signed::Envelope;
use croft_proto::grpc::ListRecallsRequest;
use croft_trust::envelope::StoredEnvelope;

use crate::client::{connect, refused};
use crate::error::CtlError;
use crate::fleet_dir::{FleetDir, create_private, read, write};
use crate::limits::DOCUMENT_LEN_MAX;

/// Recalls by their ids.
pub type Recalls = BTreeMap<RecallId, Envelope>;

/// Keeps a recall that was signed here.
///
/// # Errors
/// It cannot be written.
pub fn keep(dir: &FleetDir, id: RecallId, envelope: &Envelope) -> Result<(), CtlError> {
    create_private(&dir.recalls())?;
    let bytes = serde_json::to_vec(&StoredEnvelope::from(envelope))
        .map_err(|e| CtlError::AnswerWrite { source: Box::new(e) })?;
    write(&dir.recalls().join(format!("{id}.json")), &bytes, 0o600)
}

/// The recalls that were kept.
///
/// # Errors
/// One cannot be read: a recall that is lost must not go unnoticed.
pub fn kept(dir: &FleetDir) -> Result<Recalls, CtlError> {
    let folder = dir.recalls();
    if !folder.exists() {
        return Ok(Recalls::new());
    }
    let unreadable = |source| CtlError::FileRead { path: folder.clone(), source };
    let mut recalls = Recalls::new();
    for entry in std::fs::read_dir(&folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let damaged = |source: crate::error::Cause| CtlError::FileParse { path: path.clone(), source };
        let stored: StoredEnvelope =
            serde_json::from_slice(&read(&path, DOCUMENT_LEN_MAX)?).map_err(|e| damaged(Box::new(e)))?;
        let envelope = Envelope::try_from(&stored).map_err(|e| damaged(Box::new(e)))?;
        recalls.insert(meaning(&envelope).map_err(|e| damaged(Box::new(e)))?.id, envelope);
    }
    Ok(recalls)
}

/// The recalls that the controller tells.
///
/// # Errors
/// It cannot be reached, or tells something else.
pub async fn told(dir: &FleetDir) -> Result<Recalls, CtlError> {
    let mut admin = connect(dir).await?;
    let answer = admin.list_recalls(ListRecallsRequest {}).await.map_err(refused("list recalls"))?;
    let unusable = |message: String| CtlError::Answer { operation: "list recalls", message };
    let envelopes = answer.into_inner().recalls.into_iter().map(|wire| {
        let envelope = Envelope::try_from(wire).map_err(|e| unusable(e.to_string()))?;
        Ok((meaning(&envelope).map_err(|e| unusable(e.to_string()))?.id, envelope))
    });
    envelopes.collect()
}

/// What a recall says. Nothing is believed of it: its signature is the receiver's to verify.
///
/// # Errors
/// It is no recall.
pub fn meaning(envelope: &Envelope) -> Result<Recall, serde_json::Error> {
    serde_json::from_slice(&envelope.payload)
}
