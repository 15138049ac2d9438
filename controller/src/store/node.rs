//! Nodes: who they are (once, immutable), and how they stand now.

use croft_domain::digest::Sha256Digest;
use croft_domain::evidence::{Mode, Ownership};
use croft_domain::id::{GroupName, NodeId};
use croft_domain::time::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{Any, Transaction};

use super::audit::insert_audit;
use super::{AuditEntry, Store, StoreError, blob, bytes, failed, name, number, signed, text, time};

/// Whether a node belongs to the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    Active,
    /// It does not, and may come back.
    Evicted,
    /// It does not, and may not come back.
    Banned,
    /// Its owner left.
    Left,
}

impl Standing {
    /// As stored and as admins write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Evicted => "evicted",
            Self::Banned => "banned",
            Self::Left => "left",
        }
    }
}

impl std::str::FromStr for Standing {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Active, Self::Evicted, Self::Banned, Self::Left]
            .into_iter()
            .find(|standing| standing.as_str() == text)
            .ok_or(())
    }
}

const OWNERSHIPS: [(Ownership, &str); 2] =
    [(Ownership::Personal, "personal"), (Ownership::DevBudget, "dev-budget")];
const MODES: [(Mode, &str); 2] = [(Mode::System, "system"), (Mode::User, "user")];

fn word<T: Copy + PartialEq>(words: &[(T, &'static str)], value: T) -> &'static str {
    words.iter().find(|(v, _)| *v == value).map_or("", |(_, word)| word)
}

fn meaning<T: Copy>(words: &[(T, &'static str)], word: &str, what: &'static str) -> Result<T, StoreError> {
    words.iter().find(|(_, w)| *w == word).map(|(value, _)| *value).ok_or(StoreError::Corrupt { what })
}

/// A node at the moment of its enrollment.
#[derive(Clone, Debug)]
pub struct NewNode {
    /// Its new id.
    pub id: NodeId,
    /// Its group.
    pub group: GroupName,
    /// Uncompressed P-256 point of its key: the first seen, and for ever.
    pub key_point: [u8; 65],
    /// Whose machine.
    pub ownership: Ownership,
    /// How installed.
    pub mode: Mode,
    /// Operating system.
    pub os: String,
    /// Architecture.
    pub arch: String,
    /// Version of the daemon.
    pub agent_version: String,
    /// The machine's hash in this fleet; none where it has none.
    pub machine: Option<Sha256Digest>,
    /// What its TPM showed; none if its key is a file.
    pub hardware: Option<Hardware>,
}

/// What a node's TPM showed at its enrollment, and nothing that names the TPM outside of this fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hardware {
    /// Uncompressed P-256 point of its attestation key.
    pub attestation_point: [u8; 65],
    /// HMAC of its endorsement key under the controller's own secret.
    pub endorsement_hmac: [u8; 32],
    /// SHA-256 of the certificate of the authority that vouches for it; none if none of the baseline's list did.
    pub manufacturer: Option<[u8; 32]>,
}

/// A node as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRow {
    /// Which.
    pub id: NodeId,
    /// Its group.
    pub group: GroupName,
    /// Uncompressed P-256 point of its key.
    pub key_point: [u8; 65],
    /// Whose machine.
    pub ownership: Ownership,
    /// How installed.
    pub mode: Mode,
    /// Operating system.
    pub os: String,
    /// Version of the daemon.
    pub agent_version: String,
    /// Whether it belongs to the fleet.
    pub standing: Standing,
    /// Why not, if not.
    pub reason: String,
    /// When it was last heard; zero is never.
    pub last_seen: Timestamp,
    /// Until when it may serve; zero is not at all.
    pub lease_until: Timestamp,
    /// The highest evidence counter seen.
    pub counter: u64,
    /// Head of its verdict chain; none before the first.
    pub chain_head: Option<Sha256Digest>,
    /// Verdicts in its chain.
    pub chain_length: u64,
    /// The machine's hash in this fleet; none where it has none.
    pub machine: Option<Sha256Digest>,
    /// Hashes of its last boots, with spaces between, the newest last.
    pub boots: String,
    /// What was noticed of it, in one sentence; empty if nothing.
    pub notice: String,
    /// When; zero if nothing.
    pub notice_at: Timestamp,
    /// What its TPM showed; none if its key is a file.
    pub hardware: Option<Hardware>,
}

pub(super) async fn insert_node(
    tx: &mut Transaction<'static, Any>,
    node: &NewNode,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO nodes (id, group_name, key_point, ownership, mode, os, arch, agent_version, standing, reason,
            enrolled_at, last_seen, lease_until, counter, boot_id, chain_head, chain_length, machine, attestation_point,
            endorsement_hmac, manufacturer)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'active', '', $9, $10, 0, 0, '', $11, 0, $12, $13, $14, $15)",
    )
    .bind(node.id.0.to_vec())
    .bind(node.group.as_str())
    .bind(node.key_point.to_vec())
    .bind(word(&OWNERSHIPS, node.ownership))
    .bind(word(&MODES, node.mode))
    .bind(node.os.as_str())
    .bind(node.arch.as_str())
    .bind(node.agent_version.as_str())
    .bind(signed(now.0))
    .bind(signed(now.0))
    .bind(Vec::<u8>::new())
    .bind(node.machine.map_or_else(Vec::new, |machine| machine.0.to_vec()))
    .bind(node.hardware.as_ref().map(|h| h.attestation_point.to_vec()).unwrap_or_default())
    .bind(node.hardware.as_ref().map(|h| h.endorsement_hmac.to_vec()).unwrap_or_default())
    .bind(node.hardware.as_ref().and_then(|h| h.manufacturer).map(|m| m.to_vec()).unwrap_or_default())
    .execute(&mut **tx)
    .await
    .map(drop)
    .map_err(failed("enroll a node"))
}

macro_rules! node_columns {
    ($rest:literal) => {
        concat!(
            "SELECT id, group_name, key_point, ownership, mode, os, agent_version, standing, reason, last_seen, ",
            "lease_until, counter, chain_head, chain_length, machine, boots, notice, notice_at, attestation_point, ",
            "endorsement_hmac, manufacturer FROM nodes ",
            $rest
        )
    };
}

fn node_row(row: &AnyRow) -> Result<NodeRow, StoreError> {
    let head = bytes(row, "chain_head")?;
    Ok(NodeRow {
        id: NodeId(blob(row, "id")?),
        group: name(row, "group_name")?,
        key_point: blob(row, "key_point")?,
        ownership: meaning(&OWNERSHIPS, &text(row, "ownership")?, "ownership")?,
        mode: meaning(&MODES, &text(row, "mode")?, "mode")?,
        os: text(row, "os")?,
        agent_version: text(row, "agent_version")?,
        standing: name(row, "standing")?,
        reason: text(row, "reason")?,
        last_seen: time(row, "last_seen")?,
        lease_until: time(row, "lease_until")?,
        counter: number(row, "counter")?,
        chain_head: if head.is_empty() { None } else { Some(Sha256Digest(blob(row, "chain_head")?)) },
        chain_length: number(row, "chain_length")?,
        machine: bytes(row, "machine")?.try_into().ok().map(Sha256Digest),
        boots: text(row, "boots")?,
        notice: text(row, "notice")?,
        notice_at: time(row, "notice_at")?,
        hardware: hardware(row)?,
    })
}

fn hardware(row: &AnyRow) -> Result<Option<Hardware>, StoreError> {
    if bytes(row, "attestation_point")?.is_empty() {
        return Ok(None);
    }
    let is_known = !bytes(row, "manufacturer")?.is_empty();
    Ok(Some(Hardware {
        attestation_point: blob(row, "attestation_point")?,
        endorsement_hmac: blob(row, "endorsement_hmac")?,
        manufacturer: is_known.then(|| blob(row, "manufacturer")).transpose()?,
    }))
}

impl Store {
    /// A node by id.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn node(&self, id: NodeId) -> Result<Option<NodeRow>, StoreError> {
        let row = sqlx::query(node_columns!("WHERE id = $1"))
            .bind(id.0.to_vec())
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("read a node"))?;
        row.as_ref().map(node_row).transpose()
    }

    /// Whether a node with this TPM was banned.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn is_banned_hardware(&self, endorsement_hmac: &[u8; 32]) -> Result<bool, StoreError> {
        let found = sqlx::query(
            "SELECT 1 AS found FROM nodes WHERE endorsement_hmac = $1 AND standing = 'banned' LIMIT 1",
        )
        .bind(endorsement_hmac.to_vec())
        .fetch_optional(&self.pool)
        .await
        .map_err(failed("look for a banned machine"))?;
        Ok(found.is_some())
    }

    /// Every node, by id.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn nodes(&self) -> Result<Vec<NodeRow>, StoreError> {
        let rows = sqlx::query(node_columns!("ORDER BY id"))
            .fetch_all(&self.pool)
            .await
            .map_err(failed("list nodes"))?;
        rows.iter().map(node_row).collect()
    }

    /// Changes a node's standing. What ends a node's membership ends its lease in the books as well; a ban is only
    /// lifted by hand, and so is what was noticed: becoming active again takes it back. Returns false if there is no such node, or it left by itself.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn set_standing(
        &self,
        id: NodeId,
        standing: Standing,
        reason: &str,
    ) -> Result<bool, StoreError> {
        let mut write = self.begin().await?;
        let done = sqlx::query(
            "UPDATE nodes SET standing = $1, reason = $2, lease_until = 0 WHERE id = $3 AND standing <> 'left'",
        )
        .bind(standing.as_str())
        .bind(reason)
        .bind(id.0.to_vec())
        .execute(&mut *write.tx)
        .await
        .map_err(failed("change a node's standing"))?;
        if standing == Standing::Active {
            sqlx::query("UPDATE nodes SET notice = '', notice_at = 0 WHERE id = $1")
                .bind(id.0.to_vec())
                .execute(&mut *write.tx)
                .await
                .map_err(failed("take back a notice"))?;
        }
        write.commit().await?;
        Ok(done.rows_affected() == 1)
    }

    /// Keeps what was noticed of a node, and logs it; the first notice stays until it is taken back. Returns whether it was
    /// the first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn notice(
        &self,
        id: NodeId,
        audit_id: [u8; 16],
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let mut write = self.begin().await?;
        let done =
            sqlx::query("UPDATE nodes SET notice = $1, notice_at = $2 WHERE id = $3 AND notice_at = 0")
                .bind(entry.detail.as_str())
                .bind(signed(entry.at.0))
                .bind(id.0.to_vec())
                .execute(&mut *write.tx)
                .await
                .map_err(failed("keep a notice"))?;
        let is_first = done.rows_affected() == 1;
        if is_first {
            insert_audit(&mut write.tx, audit_id, entry).await?;
        }
        write.commit().await?;
        Ok(is_first)
    }

    /// The last verdicts of the other nodes that this machine was, newest first.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn verdicts_of_machine(
        &self,
        machine: &Sha256Digest,
        but: NodeId,
        limit: u32,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let rows = sqlx::query(
            "SELECT v.verdict AS verdict FROM verdicts v
             JOIN nodes n ON n.id = v.node AND n.chain_length = v.position
             WHERE n.machine = $1 AND n.id <> $2 ORDER BY v.at DESC LIMIT $3",
        )
        .bind(machine.0.to_vec())
        .bind(but.0.to_vec())
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(failed("read the verdicts of a machine"))?;
        let verdicts: Result<Vec<_>, _> = rows.iter().map(|row| bytes(row, "verdict")).collect();
        Ok(verdicts?.into_iter().filter(|verdict| !verdict.is_empty()).collect())
    }
}
