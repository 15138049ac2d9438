//! What people ask for with `croft request`, until an admin closes it.

use croft_domain::id::{NodeId, RequestId};
use croft_domain::time::Timestamp;

use super::{Store, StoreError, blob, failed, number, signed, text, time};

/// One open request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRow {
    /// Which.
    pub id: RequestId,
    /// Whose node asked.
    pub node: NodeId,
    /// For what.
    pub source: String,
    /// Why.
    pub reason: String,
    /// When it was asked last.
    pub at: Timestamp,
}

impl Store {
    /// Keeps a request; one of the same node for the same source gets the new reason. Returns false, and keeps nothing,
    /// if the node has `most` open requests for other sources.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn add_request(&self, request: &RequestRow, most: u64) -> Result<bool, StoreError> {
        let step = "keep a request";
        let RequestRow { id, node, source, reason, at } = request;
        let mut write = self.begin().await?;
        let row =
            sqlx::query("SELECT COUNT(*) AS others FROM model_requests WHERE node = $1 AND source <> $2")
                .bind(node.0.to_vec())
                .bind(source.clone())
                .fetch_one(&mut *write.tx)
                .await
                .map_err(failed(step))?;
        if number(&row, "others")? >= most {
            return Ok(false);
        }
        sqlx::query(
            "INSERT INTO model_requests (id, node, source, reason, at) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (node, source) DO UPDATE SET reason = $4, at = $5",
        )
        .bind(id.0.to_vec())
        .bind(node.0.to_vec())
        .bind(source.clone())
        .bind(reason.clone())
        .bind(signed(at.0))
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
    pub async fn requests(&self, most: i64) -> Result<Vec<RequestRow>, StoreError> {
        let query = "SELECT id, node, source, reason, at FROM model_requests ORDER BY at, id LIMIT $1";
        let rows =
            sqlx::query(query).bind(most).fetch_all(&self.pool).await.map_err(failed("list requests"))?;
        rows.iter()
            .map(|row| {
                Ok(RequestRow {
                    id: RequestId(blob(row, "id")?),
                    node: NodeId(blob(row, "node")?),
                    source: text(row, "source")?,
                    reason: text(row, "reason")?,
                    at: time(row, "at")?,
                })
            })
            .collect()
    }

    /// Removes a request; gives what it was for, if there was one.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn remove_request(&self, id: RequestId) -> Result<Option<String>, StoreError> {
        let step = "close a request";
        let mut write = self.begin().await?;
        let row = sqlx::query("DELETE FROM model_requests WHERE id = $1 RETURNING source")
            .bind(id.0.to_vec())
            .fetch_optional(&mut *write.tx)
            .await
            .map_err(failed(step))?;
        write.commit().await?;
        row.map(|row| text(&row, "source")).transpose()
    }
}
