//! What people ask for: texts for an admin to read, bounded, and nothing that the controller acts on.

use croft_domain::id::{GroupName, RequestId};
use croft_domain::limits::{MODEL_SOURCE_LEN_MAX, TEXT_LEN_MAX};
use croft_domain::time::Timestamp;

use super::{Actor, App, AppError, bounded, random};
use crate::limits::{REQUESTS_OF_NODE_MAX, REQUESTS_SHOWN_MAX};
use crate::store::{NodeRow, RequestRow};

impl App {
    /// Keeps what a person at a node asks for.
    ///
    /// # Errors
    /// [`AppError::Input`] if a text is out of bounds, [`AppError::Full`] if too many of that node are open.
    pub async fn request_model(
        &self,
        node: &NodeRow,
        source: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), AppError> {
        bounded("source", source, MODEL_SOURCE_LEN_MAX)?;
        bounded("reason", reason, TEXT_LEN_MAX)?;
        if !source.starts_with("https://") || reason.trim().is_empty() {
            return Err(AppError::Input("expected an https:// address and a reason".to_owned()));
        }
        let request = RequestRow {
            id: RequestId(random()?),
            node: node.id,
            source: source.to_owned(),
            reason: reason.to_owned(),
            at: now,
        };
        if self.store.add_request(&request, REQUESTS_OF_NODE_MAX).await? {
            return Ok(());
        }
        Err(AppError::Full(format!(
            "{REQUESTS_OF_NODE_MAX} requests of this machine wait for your admin's answer already"
        )))
    }

    /// Open requests, oldest first, each with the group of its node.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn model_requests(&self) -> Result<Vec<(RequestRow, GroupName)>, AppError> {
        let mut found = Vec::new();
        for request in self.store.requests(REQUESTS_SHOWN_MAX).await? {
            if let Some(node) = self.store.node(request.node).await? {
                found.push((request, self.settled(node).group));
            }
        }
        Ok(found)
    }

    /// Closes a request; gives what it was for. The text goes, the audit log keeps that and by whom.
    ///
    /// # Errors
    /// [`AppError::NotFound`] if there is none, [`AppError::Input`] if the note is out of bounds.
    pub async fn close_request(
        &self,
        actor: &Actor,
        id: RequestId,
        note: &str,
        now: Timestamp,
    ) -> Result<String, AppError> {
        bounded("note", note, TEXT_LEN_MAX)?;
        let source = self.store.remove_request(id).await?;
        let source = source.ok_or_else(|| AppError::NotFound(format!("open request {id}")))?;
        self.audit(actor, "request.close", &source, note, now).await?;
        Ok(source)
    }
}
