//! What people ask for with `croft request`, and what an admin answers.

use croft_domain::id::{NodeId, RequestId};
use croft_domain::request::RequestOutcome;
use croft_domain::time::Timestamp;
use sqlx::any::AnyRow;

use super::{Store, StoreError, blob, failed, number, signed, text, time};

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRow {
    /// Which.
    pub id: RequestId,
    /// Whose node asked.
    pub node: NodeId,
    /// For what.
    pub source: String,
    /// Why; empty once it is answered.
    pub reason: String,
    /// When it was asked last.
    pub at: Timestamp,
    /// What became of it.
    pub outcome: RequestOutcome,
    /// What the admin says of that.
    pub note: String,
    /// When it was answered; 0 until then.
    pub closed_at: Timestamp,
}

impl RequestRow {
    /// One that nobody has answered.
    #[must_use]
    pub fn pending(id: RequestId, node: NodeId, source: String, reason: String, at: Timestamp) -> Self {
        let (outcome, note, closed_at) = (RequestOutcome::Pending, String::new(), Timestamp(0));
        Self { id, node, source, reason, at, outcome, note, closed_at }
    }
}

fn request_row(row: &AnyRow) -> Result<RequestRow, StoreError> {
    Ok(RequestRow {
        id: RequestId(blob(row, "id")?),
        node: NodeId(blob(row, "node")?),
        source: text(row, "source")?,
        reason: text(row, "reason")?,
        at: time(row, "at")?,
        outcome: RequestOutcome::named(&text(row, "outcome")?)
            .ok_or(StoreError::Corrupt { what: "outcome" })?,
        note: text(row, "note")?,
        closed_at: time(row, "closed_at")?,
    })
}

impl Store {
    /// Keeps a request; one of the same node for the same source gets the new reason, and is open again. Returns false, and keeps nothing,
    /// if the node has `most` open requests for other sources.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn add_request(&self, request: &RequestRow, most: u64) -> Result<bool, StoreError> {
        let step = "keep a request";
        let RequestRow { id, node, source, reason, at, .. } = request;
        let mut write = self.begin().await?;
        let row = sqlx::query(
            "SELECT COUNT(*) AS others FROM model_requests WHERE node = $1 AND source <> $2 AND outcome = $3",
        )
        .bind(node.0.to_vec())
        .bind(source.clone())
        .bind(RequestOutcome::Pending.as_str())
        .fetch_one(&mut *write.tx)
        .await
        .map_err(failed(step))?;
        if number(&row, "others")? >= most {
            return Ok(false);
        }
        sqlx::query(
            "INSERT INTO model_requests (id, node, source, reason, at) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (node, source) DO UPDATE SET reason = $4, at = $5, outcome = $6, note = '', closed_at = 0",
        )
        .bind(id.0.to_vec())
        .bind(node.0.to_vec())
        .bind(source.clone())
        .bind(reason.clone())
        .bind(signed(at.0))
        .bind(RequestOutcome::Pending.as_str())
        .execute(&mut *write.tx)
        .await
        .map_err(failed(step))?;
        write.commit().await?;
        Ok(true)
    }

    /// Every open request, oldest first, at most `most`.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn open_requests(&self, most: i64) -> Result<Vec<RequestRow>, StoreError> {
        let query = "SELECT * FROM model_requests WHERE outcome = $1 ORDER BY at, id LIMIT $2";
        let rows = sqlx::query(query)
            .bind(RequestOutcome::Pending.as_str())
            .bind(most)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("list requests"))?;
        rows.iter().map(request_row).collect()
    }

    /// The requests of one node, newest first, at most `most`.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn requests_of(&self, node: NodeId, most: i64) -> Result<Vec<RequestRow>, StoreError> {
        let query = "SELECT * FROM model_requests WHERE node = $1 ORDER BY at DESC, id LIMIT $2";
        let rows = sqlx::query(query)
            .bind(node.0.to_vec())
            .bind(most)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("list a node's requests"))?;
        rows.iter().map(request_row).collect()
    }

    /// Answers an open request, whose reason goes; gives what it was for, if there was one.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn close_request(
        &self,
        id: RequestId,
        outcome: RequestOutcome,
        note: &str,
        at: Timestamp,
    ) -> Result<Option<String>, StoreError> {
        let step = "answer a request";
        let mut write = self.begin().await?;
        let row = sqlx::query(
            "UPDATE model_requests SET outcome = $2, note = $3, closed_at = $4, reason = ''
             WHERE id = $1 AND outcome = $5 RETURNING source",
        )
        .bind(id.0.to_vec())
        .bind(outcome.as_str())
        .bind(note.to_owned())
        .bind(signed(at.0))
        .bind(RequestOutcome::Pending.as_str())
        .fetch_optional(&mut *write.tx)
        .await
        .map_err(failed(step))?;
        write.commit().await?;
        row.map(|row| text(&row, "source")).transpose()
    }

    /// Forgets requests that were answered before `before`.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn forget_requests(&self, before: Timestamp) -> Result<(), StoreError> {
        let mut write = self.begin().await?;
        sqlx::query("DELETE FROM model_requests WHERE outcome <> $1 AND closed_at < $2")
            .bind(RequestOutcome::Pending.as_str())
            .bind(signed(before.0))
            .execute(&mut *write.tx)
            .await
            .map_err(failed("forget answered requests"))?;
        write.commit().await
    }
}
