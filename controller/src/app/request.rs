//! What people ask for: texts for an admin to read, bounded, and nothing that the controller acts on.

use croft_domain::id::{GroupName, RequestId};
use croft_domain::limits::{MODEL_SOURCE_LEN_MAX, TEXT_LEN_MAX};
use croft_domain::request::RequestOutcome;
use croft_domain::time::Timestamp;

use super::{Actor, App, AppError, bounded, random};
use crate::limits::{REQUESTS_OF_NODE_MAX, REQUESTS_OF_NODE_SHOWN_MAX, REQUESTS_SHOWN_MAX};
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
        let (id, source, reason) = (RequestId(random()?), source.to_owned(), reason.to_owned());
        let request = RequestRow::pending(id, node.id, source, reason, now);
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
        for request in self.store.open_requests(REQUESTS_SHOWN_MAX).await? {
            if let Some(node) = self.store.node(request.node).await? {
                found.push((request, self.settled(node).group));
            }
        }
        Ok(found)
    }

    /// What became of a node's own requests, newest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn requests_of(&self, node: &NodeRow) -> Result<Vec<RequestRow>, AppError> {
        Ok(self.store.requests_of(node.id, REQUESTS_OF_NODE_SHOWN_MAX).await?)
    }

    /// Answers a request; gives what it was for. The person's sentence goes; who asked can read outcome and note, and the
    /// audit log keeps them with the address.
    ///
    /// # Errors
    /// [`AppError::NotFound`] if there is none that is open, [`AppError::Input`] if the note is out of bounds.
    pub async fn close_request(
        &self,
        actor: &Actor,
        id: RequestId,
        outcome: RequestOutcome,
        note: &str,
        now: Timestamp,
    ) -> Result<String, AppError> {
        bounded("note", note, TEXT_LEN_MAX)?;
        if outcome == RequestOutcome::Pending {
            return Err(AppError::Input("outcome: expected approved or denied".to_owned()));
        }
        let source = self.store.close_request(id, outcome, note, now).await?;
        let source = source.ok_or_else(|| AppError::NotFound(format!("open request {id}")))?;
        let detail = [outcome.as_str(), note].join(": ");
        self.audit(actor, "request.close", &source, detail.trim_end_matches(": "), now).await?;
        Ok(source)
    }
}
