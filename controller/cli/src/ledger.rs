//! The desk's ledger of leases that were given across air gaps: one file an entry, chained like the controller's history
//! (P7), so that a grace runs from the first failure and no evidence is judged twice.

use std::path::PathBuf;

use croft_domain::airgap::LastSeen;
use croft_domain::appraise::{History, history_of};
use croft_domain::digest::Sha256Digest;
use croft_domain::evidence::Evidence;
use croft_domain::id::{GroupName, NodeId};
use croft_domain::time::Timestamp;
use croft_domain::verdict::Verdict;
use croft_trust::carried::Carried;
use croft_trust::chain::{Link, commitment, next_head};
use serde::{Deserialize, Serialize};

use crate::error::CtlError;
use crate::fleet_dir::{FleetDir, create_private, read, write};
use crate::limits::DOCUMENT_LEN_MAX;

/// One judgment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// In which group the node was judged.
    pub group: GroupName,
    /// When.
    pub at: Timestamp,
    /// Salt of the commitments to evidence and verdict, hexadecimal: at a desk both are kept.
    pub salt: String,
    /// The evidence, as its node signed it.
    pub evidence: Carried,
    /// The verdict, the exact text that the head commits to.
    pub verdict: String,
    /// The lease that followed; none if the verdict blocks.
    pub lease: Option<Carried>,
    /// Head of this ledger after it.
    pub head: Sha256Digest,
}

impl Entry {
    /// The verdict.
    ///
    /// # Errors
    /// It is none.
    pub fn judged(&self) -> Result<Verdict, serde_json::Error> {
        serde_json::from_str(&self.verdict)
    }
}

/// All judgments of one node at this desk.
#[derive(Debug)]
pub struct Ledger {
    folder: PathBuf,
    /// Oldest first.
    pub entries: Vec<Entry>,
}

impl Ledger {
    /// Opens a node's ledger, and recomputes it.
    ///
    /// # Errors
    /// A file cannot be read, or was edited, dropped or reordered.
    pub fn open(dir: &FleetDir, node: NodeId) -> Result<Self, CtlError> {
        let folder = dir.leases().join(node.to_string());
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let path = folder.join(format!("{:06}.json", entries.len() + 1));
            if !path.exists() {
                break;
            }
            let damaged = |source: crate::error::Cause| CtlError::FileParse { path: path.clone(), source };
            let entry: Entry =
                serde_json::from_slice(&read(&path, DOCUMENT_LEN_MAX)?).map_err(|e| damaged(Box::new(e)))?;
            let before = entries.last().map(|entry| entry.head);
            if head(before, &entry) != Some(entry.head) {
                return Err(damaged("it does not continue the entry before it".into()));
            }
            entries.push(entry);
        }
        let files = std::fs::read_dir(&folder).map_or(0, |files| files.filter_map(Result::ok).count());
        if files != entries.len() {
            let source = "an entry is missing from it".into();
            return Err(CtlError::FileParse { path: folder, source });
        }
        Ok(Self { folder, entries })
    }

    /// The nodes that have a ledger here.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn nodes(dir: &FleetDir) -> Result<Vec<NodeId>, CtlError> {
        let entries = match std::fs::read_dir(dir.leases()) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|source| CtlError::FileRead { path: dir.leases(), source })?,
        };
        let names = entries.filter_map(Result::ok).filter_map(|entry| entry.file_name().into_string().ok());
        let mut nodes: Vec<NodeId> = names.filter_map(|name| name.parse().ok()).collect();
        nodes.sort_unstable();
        Ok(nodes)
    }

    /// What evidence must come after.
    ///
    /// # Errors
    /// The last evidence is none.
    pub fn last_seen(&self) -> Result<Option<LastSeen>, CtlError> {
        let Some(last) = self.entries.last() else { return Ok(None) };
        let evidence: Evidence = serde_json::from_str(&last.evidence.payload)
            .map_err(|e| CtlError::FileParse { path: self.folder.clone(), source: Box::new(e) })?;
        Ok(Some(LastSeen { counter: evidence.counter, taken_at: evidence.taken_at }))
    }

    /// Since when each check has its answer.
    ///
    /// # Errors
    /// The last verdict is none.
    pub fn history(&self) -> Result<History, CtlError> {
        let verdict = self.entries.last().map(Entry::judged).transpose();
        let verdict =
            verdict.map_err(|e| CtlError::FileParse { path: self.folder.clone(), source: Box::new(e) })?;
        Ok(verdict.as_ref().map(history_of).unwrap_or_default())
    }

    /// Adds a judgment; it is on disk when this returns. Its head is computed here.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn append(&mut self, mut entry: Entry) -> Result<(), CtlError> {
        let before = self.entries.last().map(|entry| entry.head);
        entry.head = head(before, &entry).unwrap_or(entry.head);
        let bytes =
            serde_json::to_vec_pretty(&entry).map_err(|e| CtlError::AnswerWrite { source: Box::new(e) })?;
        create_private(&self.folder)?;
        write(&self.folder.join(format!("{:06}.json", self.entries.len() + 1)), &bytes, 0o600)?;
        self.entries.push(entry);
        Ok(())
    }
}

fn head(before: Option<Sha256Digest>, entry: &Entry) -> Option<Sha256Digest> {
    let salt = hex::decode(&entry.salt).ok()?;
    let link = Link {
        commitment: commitment(&salt, entry.evidence.payload.as_bytes()),
        verdict: commitment(&salt, entry.verdict.as_bytes()),
        // The desk holds the signed documents themselves; its ledger never leaves it.
        rules: Sha256Digest([0; 32]),
        at: entry.at,
    };
    Some(next_head(before, &link))
}
