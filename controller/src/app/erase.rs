//! Erasing bodies: on an admin's word, or because they were kept long enough. Either way the audit log says so, in the same
//! transaction: what is gone without an entry was not erased by this program.

use croft_domain::limits::TEXT_LEN_MAX;
use croft_domain::time::Timestamp;

use super::{Actor, App, AppError, bounded, random};
use crate::limits::{ACTIONS_MAX, REQUEST_ANSWER_KEPT_S, USAGE_DAYS};
use crate::store::{AuditEntry, Erasure};

/// How long bodies are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Evidence, in seconds.
    pub evidence_s: u64,
    /// Verdicts, in seconds.
    pub verdicts_s: u64,
}

impl App {
    /// Erases bodies of evidence and verdicts, but for the last of each active node; of a node as a whole, its counters
    /// too. Returns how many verdicts lost theirs.
    ///
    /// # Errors
    /// [`AppError::Input`] without a reason or without saying which, [`AppError::NotFound`] if there is no such node.
    pub async fn erase_bodies(
        &self,
        actor: &Actor,
        erasure: &Erasure,
        reason: &str,
        now: Timestamp,
    ) -> Result<u64, AppError> {
        bounded("reason", reason, TEXT_LEN_MAX)?;
        if reason.is_empty() {
            return Err(AppError::Input("reason: expected why, for the audit log".to_owned()));
        }
        if *erasure == Erasure::default() {
            return Err(AppError::Input("expected which: a node, a time, or a verdict".to_owned()));
        }
        if let Some(node) = erasure.node
            && self.store.node(node).await?.is_none()
        {
            return Err(AppError::NotFound(format!("node {node}")));
        }
        let entry = erasure_entry(actor, erasure, reason, now);
        tracing::info!(actor = %actor.name, object = %entry.object, reason, "bodies are erased");
        let erased = self.store.erase_bodies(erasure, random()?, &entry).await?;
        if let Erasure { node: Some(node), before: None, verdict: None } = erasure {
            self.store.forget_usage(Timestamp(0), Some(*node)).await?;
        }
        Ok(erased)
    }

    /// Erases what was kept long enough.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn erase_what_is_old(&self, now: Timestamp) -> Result<(), AppError> {
        let actor = Actor { name: "schedule".to_owned() };
        let Retention { evidence_s, verdicts_s } = self.retention;
        let old = Erasure { before: Some(now.minus(evidence_s)), ..Erasure::default() };
        let entry = erasure_entry(&actor, &old, "evidence was kept long enough", now);
        self.store.erase_evidence(now.minus(evidence_s), random()?, &entry).await?;
        let old = Erasure { before: Some(now.minus(verdicts_s)), ..Erasure::default() };
        let entry = erasure_entry(&actor, &old, "verdicts were kept long enough", now);
        self.store.erase_bodies(&old, random()?, &entry).await?;
        self.store.forget_usage(now.minus(u64::from(USAGE_DAYS) * 86_400), None).await?;
        self.store.forget_requests(now.minus(REQUEST_ANSWER_KEPT_S)).await?;
        Ok(())
    }

    /// The newest actions of admins, newest first.
    ///
    /// # Errors
    /// [`AppError::Input`] if more are asked for than one answer holds.
    pub async fn actions(&self, limit: u32) -> Result<Vec<AuditEntry>, AppError> {
        if !(1..=ACTIONS_MAX).contains(&limit) {
            return Err(AppError::Input(format!("limit: expected 1 to {ACTIONS_MAX}")));
        }
        Ok(self.store.audit_since(Timestamp(0), limit).await?)
    }
}

fn erasure_entry(actor: &Actor, erasure: &Erasure, reason: &str, now: Timestamp) -> AuditEntry {
    let Erasure { node, before, verdict } = erasure;
    let node = node.map(|node| format!("node {node}"));
    let before = before.map(|before| format!("before {}", crate::clock::text(before)));
    let verdict = verdict.map(|verdict| format!("verdict {verdict}"));
    let object: Vec<String> = [node, before, verdict].into_iter().flatten().collect();
    AuditEntry {
        at: now,
        actor: actor.name.clone(),
        action: "audit.erase".to_owned(),
        object: object.join(", "),
        detail: reason.to_owned(),
    }
}
