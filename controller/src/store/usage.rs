//! What nodes counted, day by day: numbers by model, class of data and kind of content. Reports read them through
//! `croft_domain::tally`, which tells nothing about few; here a node's own numbers are kept apart, because only so can
//! be counted on how many they rest.

use croft_domain::data_class::DataClass;
use croft_domain::evidence::{ContentCount, UsageCount};
use croft_domain::id::NodeId;
use croft_domain::tally::Amount;
use croft_domain::time::Timestamp;
use croft_domain::usage::Sensitivity;
use sqlx::any::AnyRow;
use sqlx::{Any, Transaction};

use super::verdict::NewVerdict;
use super::{Store, StoreError, blob, failed, name, number, signed, text};

const DAY_S: u64 = 86_400;

/// Nothing here is about a time of day.
const fn day(at: Timestamp) -> u64 {
    at.0 / DAY_S
}

/// Adds what came with evidence to what its node counted that day.
pub(super) async fn add(tx: &mut Transaction<'static, Any>, new: &NewVerdict) -> Result<(), StoreError> {
    let step = "keep counters of use";
    for count in &new.usage {
        let Amount { requests, prompt_tokens, completion_tokens, redacted, blocked } = count.amount();
        sqlx::query(
            "INSERT INTO usage_counts (node, day, model, data_class, requests, prompt_tokens, completion_tokens,
                 redacted, blocked) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             ON CONFLICT (node, day, model, data_class) DO UPDATE SET
                 requests = usage_counts.requests + $5, prompt_tokens = usage_counts.prompt_tokens + $6,
                 completion_tokens = usage_counts.completion_tokens + $7,
                 redacted = usage_counts.redacted + $8, blocked = usage_counts.blocked + $9",
        )
        .bind(new.node.0.to_vec())
        .bind(signed(day(new.at)))
        .bind(count.model.to_string())
        .bind(count.data_class.map_or("", Sensitivity::as_str))
        .bind(signed(requests))
        .bind(signed(prompt_tokens))
        .bind(signed(completion_tokens))
        .bind(signed(redacted))
        .bind(signed(blocked))
        .execute(&mut **tx)
        .await
        .map_err(failed(step))?;
    }
    for ContentCount { kind, requests } in &new.content {
        sqlx::query(
            "INSERT INTO content_counts (node, day, kind, requests) VALUES ($1, $2, $3, $4)
             ON CONFLICT (node, day, kind) DO UPDATE SET requests = content_counts.requests + $4",
        )
        .bind(new.node.0.to_vec())
        .bind(signed(day(new.at)))
        .bind(kind.as_str())
        .bind(signed(*requests))
        .execute(&mut **tx)
        .await
        .map_err(failed(step))?;
    }
    Ok(())
}

fn usage(row: &AnyRow) -> Result<(NodeId, UsageCount), StoreError> {
    let amount = Amount {
        requests: number(row, "requests")?,
        prompt_tokens: number(row, "prompt_tokens")?,
        completion_tokens: number(row, "completion_tokens")?,
        redacted: number(row, "redacted")?,
        blocked: number(row, "blocked")?,
    };
    let model = name(row, "model")?;
    let class = Sensitivity::named(&text(row, "data_class")?);
    Ok((NodeId(blob(row, "node")?), UsageCount::of(model, class, &amount)))
}

impl Store {
    /// What each node counted on days since that of `since`.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn usage_since(&self, since: Timestamp) -> Result<Vec<(NodeId, UsageCount)>, StoreError> {
        // PostgreSQL sums BIGINT to NUMERIC, which is not portable.
        let rows = sqlx::query(
            "SELECT node, model, data_class, requests, prompt_tokens, completion_tokens, redacted, blocked
             FROM usage_counts WHERE day >= $1",
        )
        .bind(signed(day(since)))
        .fetch_all(&self.pool)
        .await
        .map_err(failed("read counters of use"))?;
        rows.iter().map(usage).collect()
    }

    /// What the guard of each node found on days since that of `since`.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn content_since(&self, since: Timestamp) -> Result<Vec<(NodeId, ContentCount)>, StoreError> {
        let rows = sqlx::query("SELECT node, kind, requests FROM content_counts WHERE day >= $1")
            .bind(signed(day(since)))
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read counters of content"))?;
        let content = |row: &AnyRow| {
            let kind = DataClass::named(&text(row, "kind")?).ok_or(StoreError::Corrupt { what: "kind" })?;
            let count = ContentCount { kind, requests: number(row, "requests")? };
            Ok((NodeId(blob(row, "node")?), count))
        };
        rows.iter().map(content).collect()
    }

    /// Forgets what was counted on days before that of `before`, and all of `node`'s if one is named.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn forget_usage(&self, before: Timestamp, node: Option<NodeId>) -> Result<(), StoreError> {
        let mut write = self.begin().await?;
        for statement in [
            "DELETE FROM usage_counts WHERE day < $1 OR node = $2",
            "DELETE FROM content_counts WHERE day < $1 OR node = $2",
        ] {
            sqlx::query(statement)
                .bind(signed(day(before)))
                .bind(node.map_or_else(Vec::new, |node| node.0.to_vec()))
                .execute(&mut *write.tx)
                .await
                .map_err(failed("forget counters of use"))?;
        }
        write.commit().await
    }
}
