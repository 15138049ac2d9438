//! The log of what admins did. Append-only: there is no query that changes or removes an entry.

use croft_domain::time::Timestamp;

use sqlx::{Any, Transaction};

use super::{Store, StoreError, failed, signed, text, time};

/// One action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// Whose certificate.
    pub actor: String,
    /// What was done, for example `node.ban`.
    pub action: String,
    /// To what.
    pub object: String,
    /// With which reason or outcome.
    pub detail: String,
}

pub(super) async fn insert_audit(
    tx: &mut Transaction<'static, Any>,
    id: [u8; 16],
    entry: &AuditEntry,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO audit (id, at, actor, action, object, detail) VALUES ($1, $2, $3, $4, $5, $6)")
        .bind(id.to_vec())
        .bind(signed(entry.at.0))
        .bind(entry.actor.as_str())
        .bind(entry.action.as_str())
        .bind(entry.object.as_str())
        .bind(entry.detail.as_str())
        .execute(&mut **tx)
        .await
        .map(drop)
        .map_err(failed("write the audit log"))
}

impl Store {
    /// Appends an action under a fresh id.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn add_audit(&self, id: [u8; 16], entry: &AuditEntry) -> Result<(), StoreError> {
        let mut write = self.begin().await?;
        insert_audit(&mut write.tx, id, entry).await?;
        write.commit().await
    }

    /// The newest `limit` actions since `since`, newest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn audit_since(&self, since: Timestamp, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        let rows = sqlx::query(
            "SELECT at, actor, action, object, detail FROM audit WHERE at >= $1 ORDER BY at DESC, id LIMIT $2",
        )
        .bind(signed(since.0))
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(failed("read the audit log"))?;
        rows.iter()
            .map(|row| {
                Ok(AuditEntry {
                    at: time(row, "at")?,
                    actor: text(row, "actor")?,
                    action: text(row, "action")?,
                    object: text(row, "object")?,
                    detail: text(row, "detail")?,
                })
            })
            .collect()
    }
}
