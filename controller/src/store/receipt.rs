//! Receipts: what nodes said of the bundles they were to load.

use std::collections::BTreeMap;

use croft_domain::digest::Sha256Digest;
use croft_domain::id::NodeId;
use croft_domain::time::Timestamp;
use sqlx::{Any, Row, Transaction};

use super::{Store, StoreError, failed, signed, text};

/// A node's signed word on one bundle.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// Which bundle, `name@version`.
    pub bundle: String,
    /// SHA-256 of its manifest.
    pub manifest_sha256: Sha256Digest,
    /// `loaded` or `failed`.
    pub state: &'static str,
    /// Stable code of a failure.
    pub code: String,
    /// When, by the node's clock.
    pub at: Timestamp,
    /// The exact payload.
    pub document: Vec<u8>,
}

pub(super) async fn upsert_receipt(
    tx: &mut Transaction<'static, Any>,
    node: NodeId,
    receipt: &Receipt,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO receipts (node, bundle, manifest_sha256, state, code, at, document)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (node, bundle) DO UPDATE SET manifest_sha256 = excluded.manifest_sha256,
             state = excluded.state, code = excluded.code, at = excluded.at, document = excluded.document
         WHERE receipts.at <= excluded.at",
    )
    .bind(node.0.to_vec())
    .bind(receipt.bundle.as_str())
    .bind(receipt.manifest_sha256.0.to_vec())
    .bind(receipt.state)
    .bind(receipt.code.as_str())
    .bind(signed(receipt.at.0))
    .bind(receipt.document.clone())
    .execute(&mut **tx)
    .await
    .map(drop)
}

impl Store {
    /// Takes in a receipt; an older one than is known changes nothing.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn put_receipt(&self, node: NodeId, receipt: &Receipt) -> Result<(), StoreError> {
        let mut write = self.begin().await?;
        upsert_receipt(&mut write.tx, node, receipt).await.map_err(failed("keep a receipt"))?;
        write.commit().await
    }

    /// On how many active nodes each bundle (`name@version`) is loaded.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn loaded_counts(&self) -> Result<BTreeMap<String, u32>, StoreError> {
        let step = "count loaded bundles";
        let rows = sqlx::query(
            "SELECT r.bundle AS bundle, COUNT(*) AS nodes FROM receipts r JOIN nodes n ON n.id = r.node
             WHERE r.state = 'loaded' AND n.standing = 'active' GROUP BY r.bundle",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(failed(step))?;
        rows.iter()
            .map(|row| {
                let count: i64 = row.try_get("nodes").map_err(failed(step))?;
                Ok((text(row, "bundle")?, u32::try_from(count).unwrap_or(u32::MAX)))
            })
            .collect()
    }
}
