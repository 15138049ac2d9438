//! Which bundles are assigned to which groups. What may be assigned is the signed fleet document's affair.

use croft_domain::id::{BundleRef, GroupName};
use croft_domain::time::Timestamp;

use super::{Store, StoreError, failed, name, signed};

/// One assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// To which group.
    pub group: GroupName,
    /// Which bundle.
    pub bundle: BundleRef,
}

impl Store {
    /// Assigns a bundle to a group, or takes it away. Returns whether that changed anything.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn set_assignment(
        &self,
        assignment: &Assignment,
        assigned: bool,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut write = self.begin().await?;
        let statement = if assigned {
            "INSERT INTO assignments (group_name, bundle, at) VALUES ($1, $2, $3)
             ON CONFLICT (group_name, bundle) DO NOTHING"
        } else {
            "DELETE FROM assignments WHERE group_name = $1 AND bundle = $2 AND at <= $3"
        };
        // Taking away must not depend on the clock: everything assigned so far goes.
        let at = if assigned { signed(now.0) } else { i64::MAX };
        let done = sqlx::query(statement)
            .bind(assignment.group.as_str())
            .bind(assignment.bundle.to_string())
            .bind(at)
            .execute(&mut *write.tx)
            .await
            .map_err(failed("change an assignment"))?;
        write.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// Every assignment.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn assignments(&self) -> Result<Vec<Assignment>, StoreError> {
        let rows = sqlx::query("SELECT group_name, bundle FROM assignments ORDER BY group_name, bundle")
            .fetch_all(&self.pool)
            .await
            .map_err(failed("list assignments"))?;
        rows.iter()
            .map(|row| Ok(Assignment { group: name(row, "group_name")?, bundle: name(row, "bundle")? }))
            .collect()
    }
}
