//! Invites. Only a hash of the secret is here.

use croft_domain::id::{GroupName, InviteId};
use croft_domain::time::Timestamp;

use super::node::{NewNode, insert_node};
use super::{Store, StoreError, blob, failed, name, number, signed, time};

/// An invite as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InviteRow {
    /// Which.
    pub id: InviteId,
    /// SHA-256 of its secret.
    pub secret_sha256: [u8; 32],
    /// The group it leads to.
    pub group: GroupName,
    /// Until when.
    pub expires_at: Timestamp,
    /// How many machines may still enroll with it.
    pub uses_left: u64,
}

/// What became of an attempt to use an invite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redeemed {
    /// The node is in.
    Enrolled,
    /// Its last use was taken meanwhile, or it expired.
    Spent,
}

impl Store {
    /// Keeps a new invite. Returns false if one with this id exists.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn create_invite(
        &self,
        invite: &InviteRow,
        created_by: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut write = self.begin().await?;
        let done = sqlx::query(
            "INSERT INTO invites (id, secret_sha256, group_name, expires_at, uses_left, created_at, created_by)
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING",
        )
        .bind(invite.id.0.to_vec())
        .bind(invite.secret_sha256.to_vec())
        .bind(invite.group.as_str().to_owned())
        .bind(signed(invite.expires_at.0))
        .bind(signed(invite.uses_left))
        .bind(signed(now.0))
        .bind(created_by.to_owned())
        .execute(&mut *write.tx)
        .await
        .map_err(failed("create an invite"))?;
        write.commit().await?;
        Ok(done.rows_affected() == 1)
    }

    /// An invite by id.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn invite(&self, id: InviteId) -> Result<Option<InviteRow>, StoreError> {
        let row = sqlx::query(
            "SELECT id, secret_sha256, group_name, expires_at, uses_left FROM invites WHERE id = $1",
        )
        .bind(id.0.to_vec())
        .fetch_optional(&self.pool)
        .await
        .map_err(failed("read an invite"))?;
        row.map(|row| {
            Ok(InviteRow {
                id: InviteId(blob(&row, "id")?),
                secret_sha256: blob(&row, "secret_sha256")?,
                group: name(&row, "group_name")?,
                expires_at: time(&row, "expires_at")?,
                uses_left: number(&row, "uses_left")?,
            })
        })
        .transpose()
    }

    /// Takes one use of an invite and enrolls the node: both or neither.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn redeem_invite(
        &self,
        id: InviteId,
        node: &NewNode,
        now: Timestamp,
    ) -> Result<Redeemed, StoreError> {
        let mut write = self.begin().await?;
        let taken = sqlx::query(
            "UPDATE invites SET uses_left = uses_left - 1
             WHERE id = $1 AND uses_left > 0 AND expires_at > $2",
        )
        .bind(id.0.to_vec())
        .bind(signed(now.0))
        .execute(&mut *write.tx)
        .await
        .map_err(failed("take a use of an invite"))?;
        if taken.rows_affected() != 1 {
            return Ok(Redeemed::Spent);
        }
        insert_node(&mut write.tx, node, now).await?;
        write.commit().await?;
        Ok(Redeemed::Enrolled)
    }
}
