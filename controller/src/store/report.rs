//! Reports, as rendered: what was shown once is shown again byte for byte.

use croft_domain::id::ReportId;
use croft_domain::time::Timestamp;
use sqlx::any::AnyRow;

use super::{Store, StoreError, blob, bytes, failed, number, signed, time};

/// A report in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportRow {
    /// Which.
    pub id: ReportId,
    /// The state at this time.
    pub as_of: Timestamp,
    /// Nodes in it.
    pub nodes: u64,
}

/// A report with its contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredReport {
    /// Its line in the list.
    pub row: ReportRow,
    /// Self-contained HTML.
    pub html: Vec<u8>,
    /// JSON of the domain's report.
    pub json: Vec<u8>,
}

fn report_row(row: &AnyRow) -> Result<ReportRow, StoreError> {
    Ok(ReportRow { id: ReportId(blob(row, "id")?), as_of: time(row, "as_of")?, nodes: number(row, "nodes")? })
}

impl Store {
    /// Keeps a report, and lets go of the oldest beyond `kept`.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn add_report(&self, report: &StoredReport, kept: i64) -> Result<(), StoreError> {
        let step = "keep a report";
        let mut write = self.begin().await?;
        sqlx::query("INSERT INTO reports (id, as_of, nodes, html, json) VALUES ($1, $2, $3, $4, $5)")
            .bind(report.row.id.0.to_vec())
            .bind(signed(report.row.as_of.0))
            .bind(signed(report.row.nodes))
            .bind(report.html.clone())
            .bind(report.json.clone())
            .execute(&mut *write.tx)
            .await
            .map_err(failed(step))?;
        sqlx::query(
            "DELETE FROM reports WHERE id NOT IN (SELECT id FROM reports ORDER BY as_of DESC, id LIMIT $1)",
        )
        .bind(kept)
        .execute(&mut *write.tx)
        .await
        .map_err(failed(step))?;
        write.commit().await
    }

    /// Every report, newest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn reports(&self) -> Result<Vec<ReportRow>, StoreError> {
        let rows = sqlx::query("SELECT id, as_of, nodes FROM reports ORDER BY as_of DESC, id")
            .fetch_all(&self.pool)
            .await
            .map_err(failed("list reports"))?;
        rows.iter().map(report_row).collect()
    }

    /// One report, or the newest.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn report(&self, id: Option<ReportId>) -> Result<Option<StoredReport>, StoreError> {
        let query = if let Some(id) = id {
            sqlx::query("SELECT id, as_of, nodes, html, json FROM reports WHERE id = $1").bind(id.0.to_vec())
        } else {
            sqlx::query("SELECT id, as_of, nodes, html, json FROM reports ORDER BY as_of DESC, id LIMIT 1")
        };
        let row = query.fetch_optional(&self.pool).await.map_err(failed("read a report"))?;
        row.map(|row| {
            Ok(StoredReport {
                row: report_row(&row)?,
                html: bytes(&row, "html")?,
                json: bytes(&row, "json")?,
            })
        })
        .transpose()
    }
}
