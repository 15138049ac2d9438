//! The schema and its versions. A version once released is never edited; the next one is appended.

use sqlx::{AssertSqlSafe, Row};

use super::{Engine, Store, StoreError, failed};

// Each version is a list of statements, written for SQLite. PostgreSQL calls BLOB BYTEA and writes
// X'' as ''; all else is shared.
const VERSIONS: &[&[&str]] = &[V1, V2, V3, V4, V5, V6, V7, V8];

// Which machine, so that grace survives enrolling again; and what shows that a node's state was restored or copied.
const V5: &[&str] = &[
    "ALTER TABLE nodes ADD COLUMN machine BLOB NOT NULL DEFAULT X''",
    "CREATE INDEX nodes_by_machine ON nodes (machine)",
    "ALTER TABLE nodes ADD COLUMN boots TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE nodes ADD COLUMN notice TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE nodes ADD COLUMN notice_at BIGINT NOT NULL DEFAULT 0",
];

// What a node's TPM showed at its enrollment. The endorsement key itself is in no column.
const V6: &[&str] = &[
    "ALTER TABLE nodes ADD COLUMN attestation_point BLOB NOT NULL DEFAULT X''",
    "ALTER TABLE nodes ADD COLUMN endorsement_hmac BLOB NOT NULL DEFAULT X''",
    "ALTER TABLE nodes ADD COLUMN manufacturer BLOB NOT NULL DEFAULT X''",
    "CREATE INDEX nodes_by_endorsement ON nodes (endorsement_hmac)",
];

// What nodes counted, day by day; and what became of people's requests.
const V7: &[&str] = &[
    "CREATE TABLE usage_counts (
        node BLOB NOT NULL REFERENCES nodes (id), day BIGINT NOT NULL, model TEXT NOT NULL, data_class TEXT NOT NULL,
        requests BIGINT NOT NULL, prompt_tokens BIGINT NOT NULL, completion_tokens BIGINT NOT NULL,
        redacted BIGINT NOT NULL, blocked BIGINT NOT NULL, PRIMARY KEY (node, day, model, data_class))",
    "CREATE INDEX usage_counts_by_day ON usage_counts (day)",
    "CREATE TABLE content_counts (
        node BLOB NOT NULL REFERENCES nodes (id), day BIGINT NOT NULL, kind TEXT NOT NULL,
        requests BIGINT NOT NULL, PRIMARY KEY (node, day, kind))",
    "ALTER TABLE model_requests ADD COLUMN outcome TEXT NOT NULL DEFAULT 'pending'",
    "ALTER TABLE model_requests ADD COLUMN note TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE model_requests ADD COLUMN closed_at BIGINT NOT NULL DEFAULT 0",
];

// What a TPM quoted with each evidence, so that an auditor can verify it again.
const V8: &[&str] = &["ALTER TABLE verdicts ADD COLUMN quote BLOB NOT NULL DEFAULT X''"];

// The node's signature over each evidence, so that an auditor can check which head the node countersigned.
const V2: &[&str] = &["ALTER TABLE verdicts ADD COLUMN evidence_signature BLOB NOT NULL DEFAULT X''"];

// Verdicts are committed to with a salt of their own, so that they can be erased too; and which rules they rest on.
const V3: &[&str] = &[
    "ALTER TABLE verdicts ADD COLUMN verdict_salt BLOB NOT NULL DEFAULT X''",
    "ALTER TABLE verdicts ADD COLUMN verdict_commitment BLOB NOT NULL DEFAULT X''",
    "ALTER TABLE verdicts ADD COLUMN rules BLOB NOT NULL DEFAULT X''",
];

// What people ask for. One node asks for one source once.
const V4: &[&str] = &["CREATE TABLE model_requests (
        id BLOB NOT NULL PRIMARY KEY, node BLOB NOT NULL REFERENCES nodes (id), source TEXT NOT NULL,
        reason TEXT NOT NULL, at BIGINT NOT NULL, UNIQUE (node, source))"];

const V1: &[&str] = &[
    "CREATE TABLE settings (name TEXT NOT NULL PRIMARY KEY, value BLOB NOT NULL)",
    "CREATE TABLE admins (name TEXT NOT NULL PRIMARY KEY, key_point BLOB NOT NULL, created_at BIGINT NOT NULL)",
    "CREATE TABLE invites (
        id BLOB NOT NULL PRIMARY KEY, secret_sha256 BLOB NOT NULL, group_name TEXT NOT NULL,
        expires_at BIGINT NOT NULL, uses_left BIGINT NOT NULL CHECK (uses_left >= 0),
        created_at BIGINT NOT NULL, created_by TEXT NOT NULL)",
    "CREATE TABLE nodes (
        id BLOB NOT NULL PRIMARY KEY, group_name TEXT NOT NULL, key_point BLOB NOT NULL,
        ownership TEXT NOT NULL, mode TEXT NOT NULL, os TEXT NOT NULL, arch TEXT NOT NULL,
        agent_version TEXT NOT NULL, standing TEXT NOT NULL, reason TEXT NOT NULL,
        enrolled_at BIGINT NOT NULL, last_seen BIGINT NOT NULL, lease_until BIGINT NOT NULL,
        counter BIGINT NOT NULL, boot_id TEXT NOT NULL, chain_head BLOB NOT NULL, chain_length BIGINT NOT NULL)",
    "CREATE INDEX nodes_by_group ON nodes (group_name)",
    "CREATE TABLE verdicts (
        node BLOB NOT NULL REFERENCES nodes (id), position BIGINT NOT NULL, id BLOB NOT NULL,
        at BIGINT NOT NULL, head BLOB NOT NULL, salt BLOB NOT NULL, evidence_commitment BLOB NOT NULL,
        evidence BLOB NOT NULL, verdict BLOB NOT NULL, lease BLOB NOT NULL,
        PRIMARY KEY (node, position))",
    "CREATE INDEX verdicts_by_time ON verdicts (at)",
    "CREATE TABLE receipts (
        node BLOB NOT NULL REFERENCES nodes (id), bundle TEXT NOT NULL, manifest_sha256 BLOB NOT NULL,
        state TEXT NOT NULL, code TEXT NOT NULL, at BIGINT NOT NULL, document BLOB NOT NULL,
        PRIMARY KEY (node, bundle))",
    "CREATE TABLE assignments (
        group_name TEXT NOT NULL, bundle TEXT NOT NULL, at BIGINT NOT NULL,
        PRIMARY KEY (group_name, bundle))",
    "CREATE TABLE recalls (
        id BLOB NOT NULL PRIMARY KEY, payload BLOB NOT NULL, signature BLOB NOT NULL, key_id BLOB NOT NULL,
        received_at BIGINT NOT NULL)",
    "CREATE TABLE reports (
        id BLOB NOT NULL PRIMARY KEY, as_of BIGINT NOT NULL, nodes BIGINT NOT NULL,
        html BLOB NOT NULL, json BLOB NOT NULL)",
    "CREATE INDEX reports_by_time ON reports (as_of)",
    "CREATE TABLE audit (
        id BLOB NOT NULL PRIMARY KEY, at BIGINT NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL,
        object TEXT NOT NULL, detail TEXT NOT NULL)",
    "CREATE INDEX audit_by_time ON audit (at)",
];

impl Store {
    pub(super) async fn migrate(&self) -> Result<(), StoreError> {
        let step = "migrate the schema";
        let mut write = self.begin().await?;
        if self.engine == Engine::Postgres {
            // Two replicas that start together must not both create the tables.
            sqlx::query("SELECT pg_advisory_xact_lock(4846209)")
                .execute(&mut *write.tx)
                .await
                .map_err(failed(step))?;
        }
        sqlx::query("CREATE TABLE IF NOT EXISTS schema_versions (version BIGINT NOT NULL PRIMARY KEY)")
            .execute(&mut *write.tx)
            .await
            .map_err(failed(step))?;
        let found: i64 = sqlx::query("SELECT COUNT(*) AS version FROM schema_versions")
            .fetch_one(&mut *write.tx)
            .await
            .and_then(|row| row.try_get("version"))
            .map_err(failed(step))?;
        let known = i64::try_from(VERSIONS.len()).unwrap_or(i64::MAX);
        if found > known {
            return Err(StoreError::Newer { found, known });
        }
        for (index, statements) in VERSIONS.iter().enumerate() {
            let version = i64::try_from(index).unwrap_or(i64::MAX).saturating_add(1);
            if version <= found {
                continue;
            }
            for statement in *statements {
                let text = match self.engine {
                    Engine::Sqlite => (*statement).to_owned(),
                    Engine::Postgres => statement.replace("BLOB", "BYTEA").replace("X''", "''"),
                };
                sqlx::query(AssertSqlSafe(text)).execute(&mut *write.tx).await.map_err(failed(step))?;
            }
            sqlx::query("INSERT INTO schema_versions (version) VALUES ($1)")
                .bind(version)
                .execute(&mut *write.tx)
                .await
                .map_err(failed(step))?;
        }
        write.commit().await
    }
}
