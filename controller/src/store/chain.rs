//! Reading chains: for a node that missed an answer, and for an auditor who recomputes everything.

use croft_domain::digest::Sha256Digest;
use croft_domain::id::NodeId;
use croft_domain::time::Timestamp;

use super::{Store, StoreError, bytes, failed, number, signed, time};

/// One link of a chain with all that an auditor needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainRow {
    /// Counted from 1.
    pub position: u64,
    /// When.
    pub at: Timestamp,
    /// The head after it, as stored.
    pub head: Vec<u8>,
    /// The commitment's salt; empty when erased.
    pub salt: Vec<u8>,
    /// SHA-256 of salt and evidence, as stored.
    pub evidence_commitment: Vec<u8>,
    /// The evidence as signed; empty when erased.
    pub evidence: Vec<u8>,
    /// The node's signature over it; empty when erased.
    pub evidence_signature: Vec<u8>,
    /// The verdict as JSON; empty when erased.
    pub verdict: Vec<u8>,
    /// The salt of its commitment; empty when erased.
    pub verdict_salt: Vec<u8>,
    /// SHA-256 of that salt and the verdict, as stored.
    pub verdict_commitment: Vec<u8>,
    /// Which signed baseline and waivers it rests on, as stored.
    pub rules: Vec<u8>,
    /// What the node's TPM quoted with the evidence; empty if nothing, or when erased.
    pub quote: Vec<u8>,
}

impl Store {
    /// Up to `limit` links of a node's chain behind `position`, in order. What is stored is given as it is: an auditor must
    /// see damage, not an error.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn chain(
        &self,
        node: NodeId,
        position: u64,
        limit: usize,
    ) -> Result<Vec<ChainRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT position, at, head, salt, evidence_commitment, evidence, evidence_signature, verdict,
                 verdict_salt, verdict_commitment, rules, quote
             FROM verdicts WHERE node = $1 AND position > $2 ORDER BY position LIMIT $3",
        )
        .bind(node.0.to_vec())
        .bind(signed(position))
        .bind(signed(limit as u64))
        .fetch_all(&self.pool)
        .await
        .map_err(failed("read a chain"))?;
        rows.iter()
            .map(|row| {
                Ok(ChainRow {
                    position: number(row, "position")?,
                    at: time(row, "at")?,
                    head: bytes(row, "head")?,
                    salt: bytes(row, "salt")?,
                    evidence_commitment: bytes(row, "evidence_commitment")?,
                    evidence: bytes(row, "evidence")?,
                    evidence_signature: bytes(row, "evidence_signature")?,
                    verdict: bytes(row, "verdict")?,
                    verdict_salt: bytes(row, "verdict_salt")?,
                    verdict_commitment: bytes(row, "verdict_commitment")?,
                    rules: bytes(row, "rules")?,
                    quote: bytes(row, "quote")?,
                })
            })
            .collect()
    }

    /// Where in a node's chain a head stands: 0 for none at all, and nothing if the chain never had it.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn position_of(
        &self,
        node: NodeId,
        head: Option<Sha256Digest>,
    ) -> Result<Option<u64>, StoreError> {
        let Some(head) = head else { return Ok(Some(0)) };
        let row = sqlx::query("SELECT position FROM verdicts WHERE node = $1 AND head = $2")
            .bind(node.0.to_vec())
            .bind(head.0.to_vec())
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("find a head"))?;
        row.as_ref().map(|row| number(row, "position")).transpose()
    }
}
