//! Noticing that a node's state was restored from an older one or copied to a second machine.
//!
//! Three signs: the counter of evidence does not rise, a boot comes back after another one was seen (one machine never
//! returns to an earlier boot, two that share a key take turns), and the machine's own id is another one than at enrollment
//! (files that were copied to another system, at first contact, whether the original ever returns or not). Each is kept until
//! an admin takes it back. What none shows: a copy of a whole disk, its id included, that is started only once the original
//! is gone for good; that takes a key in a TPM.

use croft_domain::evidence::Evidence;
use croft_domain::report::Notice;
use croft_domain::time::Timestamp;
use croft_trust::digest::sha256;

use super::{App, AppError, random};
use crate::store::{AuditEntry, NodeRow};

/// Boots that are remembered of a node.
const BOOTS_MAX: usize = 16;

/// Digits of a boot's hash that are kept: enough to tell sixteen apart.
const BOOT_DIGITS: usize = 16;

impl App {
    /// Refuses evidence that comes from an older state, notices what shows a copy, and gives the node's boots with this one.
    pub(super) async fn check_for_copies(
        &self,
        node: &NodeRow,
        evidence: &Evidence,
        now: Timestamp,
    ) -> Result<String, AppError> {
        self.check_counter(node, evidence, now).await?;
        self.check_machine(node, evidence, now).await?;
        self.check_boot(node, evidence, now).await
    }

    /// Refuses evidence whose counter does not rise, and keeps that it came.
    async fn check_counter(
        &self,
        node: &NodeRow,
        evidence: &Evidence,
        now: Timestamp,
    ) -> Result<(), AppError> {
        if evidence.counter > node.counter {
            return Ok(());
        }
        let what = format!(
            "evidence {} came after evidence {}: this node's state was restored from an older one, or runs on two machines",
            evidence.counter, node.counter
        );
        self.notice(node, &what, now).await?;
        Err(AppError::Cloned)
    }

    /// The node's boots with this one, and whether that shows two machines.
    async fn check_boot(
        &self,
        node: &NodeRow,
        evidence: &Evidence,
        now: Timestamp,
    ) -> Result<String, AppError> {
        let (boots, came_back) = boots_with(&node.boots, &evidence.boot_id);
        if came_back {
            let what = "an earlier boot came back after another one: two machines use this node's key";
            self.notice(node, what, now).await?;
        }
        Ok(boots)
    }

    /// Notices that the evidence comes from another machine than the one that enrolled.
    async fn check_machine(
        &self,
        node: &NodeRow,
        evidence: &Evidence,
        now: Timestamp,
    ) -> Result<(), AppError> {
        // A machine that lost its id, or never had one, shows nothing.
        if node.machine.is_none() || evidence.machine.is_none() || node.machine == evidence.machine {
            return Ok(());
        }
        let what = "the machine's id is another one than at enrollment: this node's state was copied to another machine, \
                    or the system was installed anew around it";
        self.notice(node, what, now).await
    }

    async fn notice(&self, node: &NodeRow, what: &str, now: Timestamp) -> Result<(), AppError> {
        let entry = AuditEntry {
            at: now,
            actor: "controller".to_owned(),
            action: "node.notice".to_owned(),
            object: node.id.to_string(),
            detail: what.to_owned(),
        };
        if self.store.notice(node.id, random()?, &entry).await? {
            tracing::warn!(node = %node.id, what, "a node's state was restored or copied");
        }
        Ok(())
    }
}

/// What was noticed of a node and not taken back.
pub(super) fn notice_of(row: &NodeRow) -> Option<Notice> {
    (row.notice_at > Timestamp(0)).then(|| Notice { at: row.notice_at, what: row.notice.clone() })
}

fn boots_with(before: &str, boot_id: &str) -> (String, bool) {
    let boot = hex::encode(sha256(boot_id.as_bytes()).0);
    let boot = &boot[..BOOT_DIGITS];
    let mut boots: Vec<&str> = before.split_whitespace().collect();
    if boots.last() == Some(&boot) {
        return (before.to_owned(), false);
    }
    let came_back = boots.contains(&boot);
    boots.retain(|known| *known != boot);
    boots.push(boot);
    let from = boots.len().saturating_sub(BOOTS_MAX);
    (boots[from..].join(" "), came_back)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p7_a_boot_that_comes_back_after_another_shows_two_machines() {
        let (first, came_back) = boots_with("", "a");
        assert!(!came_back);
        let (same, came_back) = boots_with(&first, "a");
        assert!(!came_back && same == first);
        let (second, came_back) = boots_with(&first, "b");
        assert!(!came_back && second.split(' ').count() == 2);
        let (third, came_back) = boots_with(&second, "a");
        assert!(came_back && third.split(' ').count() == 2, "{third}");
        let many = (0..100).fold(String::new(), |boots, n| boots_with(&boots, &format!("boot {n}")).0);
        assert_eq!(many.split(' ').count(), BOOTS_MAX);
    }
}
