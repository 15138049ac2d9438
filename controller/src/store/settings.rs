//! Named values, the one-time bootstrap token among them, and the admins it led to.

use croft_domain::time::Timestamp;

use super::{Store, StoreError, blob, bytes, failed, signed, time};

/// An admin and the key that was first seen for the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminRow {
    /// Uncompressed P-256 point.
    pub key_point: [u8; 65],
    /// Since when.
    pub created_at: Timestamp,
}

const BOOTSTRAP: &str = "bootstrap-token-sha256";

impl Store {
    /// Sets a value if none is set yet, and says what is set now.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn setting_once(&self, name: &'static str, value: &[u8]) -> Result<Vec<u8>, StoreError> {
        let step = "keep a setting";
        let mut write = self.begin().await?;
        sqlx::query("INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
            .bind(name)
            .bind(value.to_vec())
            .execute(&mut *write.tx)
            .await
            .map_err(failed(step))?;
        let row = sqlx::query("SELECT value FROM settings WHERE name = $1")
            .bind(name)
            .fetch_one(&mut *write.tx)
            .await
            .map_err(failed(step))?;
        write.commit().await?;
        bytes(&row, "value")
    }

    /// Offers the bootstrap token's hash. It takes effect only on a database that never had one.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn offer_bootstrap(&self, token_sha256: &[u8; 32]) -> Result<(), StoreError> {
        self.setting_once(BOOTSTRAP, token_sha256).await.map(drop)
    }

    /// Spends the bootstrap token and admits the first admin, both or neither.
    ///
    /// Returns false if the token is not the one, or was spent.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn spend_bootstrap(
        &self,
        token_sha256: &[u8; 32],
        admin: &str,
        key_point: &[u8; 65],
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let step = "spend the bootstrap token";
        let mut write = self.begin().await?;
        let spent = sqlx::query("UPDATE settings SET value = $1 WHERE name = $2 AND value = $3")
            .bind(Vec::<u8>::new())
            .bind(BOOTSTRAP)
            .bind(token_sha256.to_vec())
            .execute(&mut *write.tx)
            .await
            .map_err(failed(step))?;
        if spent.rows_affected() != 1 {
            return Ok(false);
        }
        sqlx::query("INSERT INTO admins (name, key_point, created_at) VALUES ($1, $2, $3)")
            .bind(admin.to_owned())
            .bind(key_point.to_vec())
            .bind(signed(now.0))
            .execute(&mut *write.tx)
            .await
            .map_err(failed(step))?;
        write.commit().await?;
        Ok(true)
    }

    /// An admin by name.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn admin(&self, name: &str) -> Result<Option<AdminRow>, StoreError> {
        let row = sqlx::query("SELECT key_point, created_at FROM admins WHERE name = $1")
            .bind(name.to_owned())
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("read an admin"))?;
        row.map(|row| {
            Ok(AdminRow { key_point: blob(&row, "key_point")?, created_at: time(&row, "created_at")? })
        })
        .transpose()
    }
}
