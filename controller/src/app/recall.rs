//! Stopping things: recalls take effect on receipt, and nothing here can take one back. Assigning is their mild sibling.

use std::collections::BTreeMap;

use croft_domain::recall::Recall;
use croft_domain::signed::{Domain, Envelope};
use croft_domain::time::Timestamp;

use super::hub::News;
use super::{Actor, App, AppError, bounded};
use crate::store::Assignment;

impl App {
    /// Keeps a recall and tells every node at once. Returns how many were told. Sending it again is harmless.
    ///
    /// # Errors
    /// [`AppError::Forged`] if no recall key of the fleet signed it.
    pub async fn submit_recall(
        &self,
        actor: &Actor,
        envelope: &Envelope,
        now: Timestamp,
    ) -> Result<usize, AppError> {
        let published = self.mirror.current().ok_or(AppError::Unpublished)?;
        let keys = &published.view.fleet.recall_keys;
        croft_trust::sign::verify_listed(envelope, Domain::Recall, keys, now)
            .map_err(|_| AppError::Forged("the recall"))?;
        let recall: Recall = serde_json::from_slice(&envelope.payload)
            .map_err(|e| AppError::Input(format!("the recall does not parse: {e}")))?;
        bounded("reason", &recall.reason, croft_domain::limits::TEXT_LEN_MAX)?;
        self.store.add_recall(recall.id, envelope, now).await?;
        let told = self.hub.tell_all(&News::Recalled(envelope.clone()));
        self.audit(actor, "recall.submit", &recall.id.to_string(), &recall.reason, now).await?;
        Ok(told)
    }

    /// Assigns a bundle to a group or takes it away. Returns how many nodes were told.
    ///
    /// # Errors
    /// [`AppError::NotFound`] or [`AppError::Unapproved`] if the signed state does not allow it.
    pub async fn assign(
        &self,
        actor: &Actor,
        assignment: &Assignment,
        assigned: bool,
        now: Timestamp,
    ) -> Result<usize, AppError> {
        let Assignment { group, bundle } = assignment;
        if assigned {
            let published = self.mirror.current().ok_or(AppError::Unpublished)?;
            let view = &published.view;
            let policy = view
                .fleet
                .groups
                .get(group)
                .ok_or_else(|| AppError::NotFound(format!("group {group} in the fleet document")))?;
            if !view.bundles.contains_key(bundle) {
                return Err(AppError::NotFound(format!("published bundle {bundle}")));
            }
            if !policy.allows_bundle(bundle) {
                return Err(AppError::Unapproved(format!(
                    "the fleet document does not allow {bundle} to group {group}"
                )));
            }
        }
        let changed = self.store.set_assignment(assignment, assigned, now).await?;
        let action = if assigned { "bundle.assign" } else { "bundle.unassign" };
        self.audit(actor, action, &bundle.to_string(), &format!("group {group}"), now).await?;
        if !changed {
            return Ok(0);
        }
        let published = self.mirror.current();
        let none = BTreeMap::new();
        let moves = published.as_ref().map_or(&none, |published| &published.view.fleet.moves);
        Ok(self.hub.tell_group(group, moves, &News::State))
    }
}
