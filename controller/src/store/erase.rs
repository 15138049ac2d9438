//! Erasing bodies of verdicts: what was said and judged goes, that it was said and judged stays (P7).
//!
//! A link commits to salted hashes. Once a body and its salt are gone, the hash says nothing about what it was, not even to
//! somebody who guesses; so what would confirm a guess goes along: the node's signature, its TPM's quote, and the lease that
//! names the evidence's hash. No query here touches a head, a commitment or a position.

use croft_domain::id::{NodeId, VerdictId};
use croft_domain::time::Timestamp;
use sqlx::query::Query;
use sqlx::{Any, AssertSqlSafe};

use super::audit::insert_audit;
use super::{AuditEntry, Store, StoreError, failed, signed};

/// Which bodies. All that is given must hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Erasure {
    /// Of this node only.
    pub node: Option<NodeId>,
    /// Judged before this time only.
    pub before: Option<Timestamp>,
    /// This verdict only.
    pub verdict: Option<VerdictId>,
}

// An active node's last verdict is what its grace runs from: it stays until a newer one takes its place.
const NOT_NEEDED: &str = "(position < (SELECT chain_length FROM nodes WHERE nodes.id = verdicts.node)
     OR (SELECT standing FROM nodes WHERE nodes.id = verdicts.node) <> 'active')";

impl Store {
    /// Erases evidence from before `before`, but for each active node's last. Verdicts stay. If there was any, `entry` goes
    /// into the audit log under `id`, with the number.
    ///
    /// # Errors
    /// If the database fails; then nothing is erased.
    pub async fn erase_evidence(
        &self,
        before: Timestamp,
        id: [u8; 16],
        entry: &AuditEntry,
    ) -> Result<u64, StoreError> {
        let statement = format!(
            "UPDATE verdicts SET evidence = $1, salt = $1, evidence_signature = $1, quote = $1, lease = $1
             WHERE at < $2 AND evidence <> $1 AND {NOT_NEEDED}"
        );
        let query = sqlx::query(AssertSqlSafe(statement)).bind(Vec::<u8>::new()).bind(signed(before.0));
        self.erase(query, id, entry).await
    }

    /// Erases evidence and verdicts, but for each active node's last and with the same entry. Returns how many verdicts lost their bodies.
    ///
    /// # Errors
    /// If the database fails; then nothing is erased.
    pub async fn erase_bodies(
        &self,
        erasure: &Erasure,
        id: [u8; 16],
        entry: &AuditEntry,
    ) -> Result<u64, StoreError> {
        let statement = format!(
            "UPDATE verdicts SET evidence = $1, salt = $1, evidence_signature = $1, quote = $1, lease = $1, verdict = $1,
                 verdict_salt = $1
             WHERE (node = $2 OR $2 = $1) AND at < $3 AND (id = $4 OR $4 = $1)
             AND (evidence <> $1 OR verdict <> $1) AND {NOT_NEEDED}"
        );
        let query = sqlx::query(AssertSqlSafe(statement))
            .bind(Vec::<u8>::new())
            .bind(erasure.node.map_or_else(Vec::new, |node| node.0.to_vec()))
            .bind(erasure.before.map_or(i64::MAX, |before| signed(before.0)))
            .bind(erasure.verdict.map_or_else(Vec::new, |verdict| verdict.0.to_vec()));
        self.erase(query, id, entry).await
    }

    async fn erase(
        &self,
        query: Query<'_, Any, <Any as sqlx::Database>::Arguments>,
        id: [u8; 16],
        entry: &AuditEntry,
    ) -> Result<u64, StoreError> {
        let mut write = self.begin().await?;
        let done = query.execute(&mut *write.tx).await.map_err(failed("erase bodies"))?;
        let count = done.rows_affected();
        if count > 0 {
            let detail = format!("{count} bodies: {}", entry.detail);
            insert_audit(&mut write.tx, id, &AuditEntry { detail, ..entry.clone() }).await?;
        }
        write.commit().await?;
        Ok(count)
    }
}
