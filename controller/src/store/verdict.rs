//! Verdicts, chained: each node's are a list that can only be appended to, by compare-and-swap on its head (P7).

use croft_domain::digest::Sha256Digest;
use croft_domain::evidence::{ContentCount, UsageCount};
use croft_domain::id::{NodeId, VerdictId};
use croft_domain::time::Timestamp;

use sqlx::{Any, Transaction};

use super::receipt::{Receipt, upsert_receipt};
use super::{Store, StoreError, blob, bytes, failed, number, signed, time};

/// What is appended.
#[derive(Clone, Debug)]
pub struct NewVerdict {
    /// Which node.
    pub node: NodeId,
    /// The head it was computed from.
    pub head_before: Option<Sha256Digest>,
    /// The head after it.
    pub head: Sha256Digest,
    /// The evidence's counter, above every one before.
    pub counter: u64,
    /// The evidence's boot id.
    pub boot_id: String,
    /// Hashes of the node's last boots with this one, as [`NodeRow`](super::NodeRow) has them.
    pub boots: String,
    /// Version of the daemon that sent it.
    pub agent_version: String,
    /// The verdict's id.
    pub id: VerdictId,
    /// When.
    pub at: Timestamp,
    /// Random, so that the commitment to the evidence says nothing once its body is erased.
    pub salt: [u8; 32],
    /// SHA-256 of salt and evidence.
    pub evidence_commitment: Sha256Digest,
    /// The evidence as signed.
    pub evidence: Vec<u8>,
    /// The node's signature over the evidence.
    pub evidence_signature: Vec<u8>,
    /// What its TPM quoted with the evidence; empty if it did not.
    pub quote: Vec<u8>,
    /// The verdict as JSON, exactly as sent.
    pub verdict: Vec<u8>,
    /// Random, as for the evidence, and another one: each body can be erased by itself.
    pub verdict_salt: [u8; 32],
    /// SHA-256 of that salt and the verdict.
    pub verdict_commitment: Sha256Digest,
    /// Which signed baseline and waivers it rests on.
    pub rules: Sha256Digest,
    /// The lease's payload; empty if none was granted.
    pub lease: Vec<u8>,
    /// Until when the lease lasts; zero if none was granted.
    pub lease_until: Timestamp,
    /// When the evidence was taken, by the node's clock.
    pub taken_at: Timestamp,
    /// The bundles of the evidence. Others that the node had before are gone.
    pub bundles: Vec<BundleNow>,
    /// What was counted since the evidence before.
    pub usage: Vec<UsageCount>,
    /// What the guard found since then.
    pub content: Vec<ContentCount>,
}

/// One bundle as evidence names it.
#[derive(Clone, Debug)]
pub struct BundleNow {
    /// `name@version`.
    pub bundle: String,
    /// SHA-256 of its manifest.
    pub manifest_sha256: Sha256Digest,
    /// How far it is.
    pub state: &'static str,
    /// Stable code of a failure.
    pub code: String,
}

/// What became of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is on disk.
    Done,
    /// The head, the counter or the standing changed meanwhile; nothing was written.
    Raced,
}

/// One link of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerdictRow {
    /// Counted from 1.
    pub position: u64,
    /// The verdict's id.
    pub id: VerdictId,
    /// When.
    pub at: Timestamp,
    /// The head after it.
    pub head: Sha256Digest,
    /// SHA-256 of salt and evidence.
    pub evidence_commitment: Sha256Digest,
    /// The evidence as signed; empty when erased.
    pub evidence: Vec<u8>,
    /// The verdict as JSON; empty when erased.
    pub verdict: Vec<u8>,
}

impl Store {
    /// Appends a verdict to its node's chain and moves the node's books with it: all or nothing.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn append_verdict(&self, new: &NewVerdict) -> Result<Appended, StoreError> {
        let step = "append a verdict";
        let mut write = self.begin().await?;
        let before = new.head_before.map(|head| head.0.to_vec()).unwrap_or_default();
        let moved = sqlx::query(
            "UPDATE nodes SET chain_head = $1, chain_length = chain_length + 1, counter = $2, boot_id = $3,
                 agent_version = $4, last_seen = $5, lease_until = $6, boots = $9
             WHERE id = $7 AND chain_head = $8 AND counter < $2 AND standing = 'active'",
        )
        .bind(new.head.0.to_vec())
        .bind(signed(new.counter))
        .bind(new.boot_id.as_str())
        .bind(new.agent_version.as_str())
        .bind(signed(new.at.0))
        .bind(signed(new.lease_until.0))
        .bind(new.node.0.to_vec())
        .bind(before)
        .bind(new.boots.as_str())
        .execute(&mut *write.tx)
        .await
        .map_err(failed(step))?;
        if moved.rows_affected() != 1 {
            return Ok(Appended::Raced);
        }
        sqlx::query(
            "INSERT INTO verdicts (node, position, id, at, head, salt, evidence_commitment, evidence, verdict, lease,
                 evidence_signature, verdict_salt, verdict_commitment, rules, quote)
             SELECT id, chain_length, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13 FROM nodes WHERE id = $14",
        )
        .bind(new.id.0.to_vec())
        .bind(signed(new.at.0))
        .bind(new.head.0.to_vec())
        .bind(new.salt.to_vec())
        .bind(new.evidence_commitment.0.to_vec())
        .bind(new.evidence.clone())
        .bind(new.verdict.clone())
        .bind(new.lease.clone())
        .bind(new.evidence_signature.clone())
        .bind(new.verdict_salt.to_vec())
        .bind(new.verdict_commitment.0.to_vec())
        .bind(new.rules.0.to_vec())
        .bind(new.quote.clone())
        .bind(new.node.0.to_vec())
        .execute(&mut *write.tx)
        .await
        .map_err(failed(step))?;
        replace_bundles(&mut write.tx, new).await?;
        super::usage::add(&mut write.tx, new).await?;
        write.commit().await?;
        Ok(Appended::Done)
    }

    /// The newest link of a node's chain.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn last_verdict(&self, node: NodeId) -> Result<Option<VerdictRow>, StoreError> {
        let row = sqlx::query(
            "SELECT position, id, at, head, evidence_commitment, evidence, verdict FROM verdicts
             WHERE node = $1 ORDER BY position DESC LIMIT 1",
        )
        .bind(node.0.to_vec())
        .fetch_optional(&self.pool)
        .await
        .map_err(failed("read a verdict"))?;
        row.as_ref().map(verdict_row).transpose()
    }

    /// The newest link of every chain, with its node: evidence and verdict of the whole fleet, for reports.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn last_verdicts(&self) -> Result<Vec<(NodeId, VerdictRow)>, StoreError> {
        let rows = sqlx::query(
            "SELECT v.node AS node, position, v.id AS id, at, head, evidence_commitment, evidence, verdict
             FROM verdicts v JOIN nodes n ON n.id = v.node AND n.chain_length = v.position ORDER BY n.id",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(failed("read the last verdicts"))?;
        rows.iter().map(|row| Ok((NodeId(blob(row, "node")?), verdict_row(row)?))).collect()
    }
}

// A receipt that is newer than the evidence outranks it.
async fn replace_bundles(tx: &mut Transaction<'static, Any>, new: &NewVerdict) -> Result<(), StoreError> {
    let step = "keep the bundles of evidence";
    sqlx::query("UPDATE receipts SET state = 'gone', at = $1 WHERE node = $2 AND at <= $1")
        .bind(signed(new.taken_at.0))
        .bind(new.node.0.to_vec())
        .execute(&mut **tx)
        .await
        .map_err(failed(step))?;
    for bundle in &new.bundles {
        let receipt = Receipt {
            bundle: bundle.bundle.clone(),
            manifest_sha256: bundle.manifest_sha256,
            state: bundle.state,
            code: bundle.code.clone(),
            at: new.taken_at,
            document: Vec::new(),
        };
        upsert_receipt(tx, new.node, &receipt).await.map_err(failed(step))?;
    }
    Ok(())
}

fn verdict_row(row: &sqlx::any::AnyRow) -> Result<VerdictRow, StoreError> {
    Ok(VerdictRow {
        position: number(row, "position")?,
        id: VerdictId(blob(row, "id")?),
        at: time(row, "at")?,
        head: Sha256Digest(blob(row, "head")?),
        evidence_commitment: Sha256Digest(blob(row, "evidence_commitment")?),
        evidence: bytes(row, "evidence")?,
        verdict: bytes(row, "verdict")?,
    })
}
