//! What the controller remembers: one database, reached by one portable set of queries.
//!
//! `SQLite` (write-ahead log) by default, PostgreSQL when the fleet outgrows it. Ids are bytes, times are seconds, every
//! rule that two requests could race for is one conditional `UPDATE`. Queries are checked when they run: the same tests
//! run them on both engines. There are no rules of the domain in here, and no wire types.

mod assignment;
mod audit;
mod chain;
mod erase;
mod invite;
mod migrate;
mod node;
mod recall;
mod receipt;
mod report;
mod request;
mod settings;
mod usage;
mod verdict;

use std::path::Path;

use croft_domain::code::Code;
use croft_domain::time::Timestamp;
use sqlx::any::{AnyPoolOptions, AnyRow};
use sqlx::{Any, AnyPool, Row, Transaction};
use tokio::sync::{Mutex, MutexGuard};

pub use assignment::Assignment;
pub use audit::AuditEntry;
pub use chain::ChainRow;
pub use erase::Erasure;
pub use invite::{InviteRow, Redeemed};
pub use node::{Hardware, NewNode, NodeRow, Standing};
pub use receipt::Receipt;
pub use report::{ReportRow, StoredReport};
pub use request::RequestRow;
pub use settings::AdminRow;
pub use verdict::{Appended, BundleNow, NewVerdict, VerdictRow};

use crate::limits;

/// Which database answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// A file of our own.
    Sqlite,
    /// A server.
    Postgres,
}

/// The database failed, or holds what it must not.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The address is not one of a database we know.
    #[error("--database {given}: expected sqlite:PATH or postgres://…")]
    Address {
        /// Its scheme; never the whole, which may hold a password.
        given: String,
    },
    /// It could not be opened.
    #[error("cannot open the database")]
    Open {
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// A query failed.
    #[error("database: cannot {operation}")]
    Query {
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        #[source]
        source: sqlx::Error,
    },
    /// It was written by a newer version of this program.
    #[error("the database has schema {found}, this program knows up to {known}")]
    Newer {
        /// Its schema.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// A stored value does not parse.
    #[error("database: {what} is damaged")]
    Corrupt {
        /// Which value.
        what: &'static str,
    },
}

impl StoreError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Address { .. } => Code::Input,
            Self::Open { .. } | Self::Query { .. } | Self::Newer { .. } => Code::Store,
            Self::Corrupt { .. } => Code::StateCorrupt,
        }
    }
}

fn failed(operation: &'static str) -> impl FnOnce(sqlx::Error) -> StoreError {
    move |source| StoreError::Query { operation, source }
}

/// The database.
#[derive(Debug)]
pub struct Store {
    pool: AnyPool,
    engine: Engine,
    // SQLite has one writer. Waiting here is fair and wakes at once; SQLite's own wait polls.
    writer: Mutex<()>,
}

/// A write in progress. Dropping it without [`Write::commit`] undoes it.
struct Write<'a> {
    tx: Transaction<'static, Any>,
    _turn: Option<MutexGuard<'a, ()>>,
}

impl Write<'_> {
    async fn commit(self) -> Result<(), StoreError> {
        self.tx.commit().await.map_err(failed("commit"))
    }
}

impl Store {
    /// The address of the default database in a state folder.
    #[must_use]
    pub fn default_address(state: &Path) -> String {
        format!("sqlite:{}", state.join("controller.db").display())
    }

    /// Opens the database at `address` (`sqlite:PATH` or `postgres://…`), and brings its schema up to date.
    ///
    /// # Errors
    /// If it cannot be opened, or is of a newer schema.
    pub async fn open(address: &str) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let scheme = address.split(':').next().unwrap_or_default();
        let (engine, url) = match scheme {
            "sqlite" => (Engine::Sqlite, sqlite_url(address)),
            "postgres" | "postgresql" => (Engine::Postgres, address.to_owned()),
            other => return Err(StoreError::Address { given: other.to_owned() }),
        };
        let mut options = AnyPoolOptions::new()
            .max_connections(limits::DATABASE_CONNECTIONS_MAX)
            .acquire_timeout(limits::DATABASE_ACQUIRE_TIMEOUT);
        if engine == Engine::Sqlite {
            options = options.after_connect(|connection, _| {
                Box::pin(async move {
                    for pragma in [
                        "PRAGMA busy_timeout = 5000",
                        "PRAGMA journal_mode = WAL",
                        // FULL: what was acknowledged survives a power cut, not only a crash of ours (P9).
                        "PRAGMA synchronous = FULL",
                        "PRAGMA foreign_keys = ON",
                    ] {
                        sqlx::query(pragma).execute(&mut *connection).await?;
                    }
                    Ok(())
                })
            });
        }
        let pool = options.connect(&url).await.map_err(|source| StoreError::Open { source })?;
        let store = Self { pool, engine, writer: Mutex::new(()) };
        store.migrate().await?;
        Ok(store)
    }

    /// Which database answers.
    #[must_use]
    pub const fn engine(&self) -> Engine {
        self.engine
    }

    /// Whether it answers.
    ///
    /// # Errors
    /// If it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.pool).await.map(drop).map_err(failed("ping"))
    }

    /// Ends all connections; what was acknowledged is on disk already.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    async fn begin(&self) -> Result<Write<'_>, StoreError> {
        let (turn, statement) = match self.engine {
            Engine::Sqlite => (Some(self.writer.lock().await), "BEGIN IMMEDIATE"),
            Engine::Postgres => (None, "BEGIN"),
        };
        let tx = self.pool.begin_with(statement).await.map_err(failed("begin"))?;
        Ok(Write { tx, _turn: turn })
    }
}

// sqlx wants a URL and creates nothing by itself.
fn sqlite_url(address: &str) -> String {
    let joint = if address.contains('?') { '&' } else { '?' };
    format!("{address}{joint}mode=rwc")
}

fn blob<const N: usize>(row: &AnyRow, column: &'static str) -> Result<[u8; N], StoreError> {
    bytes(row, column)?.try_into().map_err(|_| StoreError::Corrupt { what: column })
}

fn bytes(row: &AnyRow, column: &'static str) -> Result<Vec<u8>, StoreError> {
    row.try_get(column).map_err(failed("read a column of bytes"))
}

fn text(row: &AnyRow, column: &'static str) -> Result<String, StoreError> {
    row.try_get(column).map_err(failed("read a column of text"))
}

fn number(row: &AnyRow, column: &'static str) -> Result<u64, StoreError> {
    let value: i64 = row.try_get(column).map_err(failed("read a column of numbers"))?;
    u64::try_from(value).map_err(|_| StoreError::Corrupt { what: column })
}

fn time(row: &AnyRow, column: &'static str) -> Result<Timestamp, StoreError> {
    number(row, column).map(Timestamp)
}

fn name<T: std::str::FromStr>(row: &AnyRow, column: &'static str) -> Result<T, StoreError> {
    text(row, column)?.parse().map_err(|_| StoreError::Corrupt { what: column })
}

// Times beyond what a database can hold are the end of time.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
