//! Recalls: add-only. There is no query that removes one.

use croft_domain::digest::Sha256Digest;
use croft_domain::id::RecallId;
use croft_domain::signed::Envelope;
use croft_domain::time::Timestamp;

use super::{Store, StoreError, blob, bytes, failed, signed};

impl Store {
    /// Keeps a recall, exactly as signed. Returns false if it was known.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn add_recall(
        &self,
        id: RecallId,
        recall: &Envelope,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut write = self.begin().await?;
        let done = sqlx::query(
            "INSERT INTO recalls (id, payload, signature, key_id, received_at) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (id) DO NOTHING",
        )
        .bind(id.0.to_vec())
        .bind(recall.payload.clone())
        .bind(recall.signature.clone())
        .bind(recall.key_id.0.to_vec())
        .bind(signed(now.0))
        .execute(&mut *write.tx)
        .await
        .map_err(failed("keep a recall"))?;
        write.commit().await?;
        Ok(done.rows_affected() == 1)
    }

    /// Every recall, oldest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn recalls(&self) -> Result<Vec<Envelope>, StoreError> {
        let rows = sqlx::query("SELECT payload, signature, key_id FROM recalls ORDER BY received_at, id")
            .fetch_all(&self.pool)
            .await
            .map_err(failed("list recalls"))?;
        rows.iter()
            .map(|row| {
                Ok(Envelope {
                    payload: bytes(row, "payload")?,
                    signature: bytes(row, "signature")?,
                    key_id: Sha256Digest(blob(row, "key_id")?),
                })
            })
            .collect()
    }
}
