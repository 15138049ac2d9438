//! The node's own first-fail clock, and the last verdict of the controller. Both are for the local user's eyes and for
//! the node's own appraisal, which can only be stricter than the controller's.

use croft_domain::appraise::{History, Remembered};
use croft_domain::digest::Sha256Digest;
use croft_domain::id::CheckName;
use croft_domain::verdict::Verdict;
use serde::{Deserialize, Serialize};

use super::files::{StateError, read_json, write_json};
use super::paths::Paths;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    check: CheckName,
    subject: String,
    remembered: Remembered,
}

/// Reads the history; empty before the first appraisal.
///
/// # Errors
/// [`StateError`].
pub fn load(paths: &Paths) -> Result<History, StateError> {
    let entries: Vec<Entry> = read_json(&paths.state_file("history.json"))?.unwrap_or_default();
    Ok(entries.into_iter().map(|e| ((e.check, e.subject), e.remembered)).collect())
}

/// Replaces the history.
///
/// # Errors
/// [`StateError`].
pub fn save(paths: &Paths, history: &History) -> Result<(), StateError> {
    let entries: Vec<Entry> = history
        .iter()
        .map(|((check, subject), remembered)| Entry {
            check: check.clone(),
            subject: subject.clone(),
            remembered: *remembered,
        })
        .collect();
    write_json(&paths.state_file("history.json"), &entries)
}

/// The last verdict, with the head of the chain it is in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastVerdict {
    /// The stricter of the controller's and the node's own.
    pub verdict: Verdict,
    /// Head of this node's chain at the controller.
    pub chain_head: Option<Sha256Digest>,
}

/// Reads the last verdict; none before the first.
///
/// # Errors
/// [`StateError`].
pub fn load_verdict(paths: &Paths) -> Result<Option<LastVerdict>, StateError> {
    read_json(&paths.state_file("verdict.json"))
}

/// Replaces the last verdict.
///
/// # Errors
/// [`StateError`].
pub fn save_verdict(paths: &Paths, verdict: &LastVerdict) -> Result<(), StateError> {
    write_json(&paths.state_file("verdict.json"), verdict)
}
