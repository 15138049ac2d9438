//! Everything that was sent to the controller, byte for byte, for `croft privacy`. Bounded: the oldest go first.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use croft_domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::files::{StateError, read_json, write_json};
use super::paths::Paths;
use crate::limits::{SENT_CONTENT_LEN_MAX, SENT_COUNT_MAX};

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// When.
    pub at: Timestamp,
    /// Which call, for example `Attest`.
    pub kind: String,
    /// Why.
    pub reason: String,
    /// What, with secrets masked.
    pub content: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    at: Timestamp,
    kind: String,
    reason: String,
    content: String,
}

/// The ring on disk.
#[derive(Debug)]
pub struct SentRing {
    folder: PathBuf,
    next: u64,
}

impl SentRing {
    /// Opens the ring.
    ///
    /// # Errors
    /// [`StateError`] if the folder cannot be read.
    pub fn open(paths: &Paths) -> Result<Self, StateError> {
        let folder = paths.sent();
        let next = numbers(&folder)?.last().map_or(0, |last| last + 1);
        Ok(Self { folder, next })
    }

    /// Records a message, before it is sent: what cannot be shown to the user is not sent.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn record(&mut self, message: &Sent) -> Result<(), StateError> {
        let content = &message.content[..message.content.len().min(SENT_CONTENT_LEN_MAX)];
        let stored = Stored {
            at: message.at,
            kind: message.kind.clone(),
            reason: message.reason.clone(),
            content: STANDARD.encode(content),
        };
        write_json(&self.path(self.next), &stored)?;
        self.next += 1;
        let numbers = numbers(&self.folder)?;
        for old in numbers.iter().take(numbers.len().saturating_sub(SENT_COUNT_MAX)) {
            let _ = std::fs::remove_file(self.path(*old));
        }
        Ok(())
    }

    /// Every message that is kept, oldest first.
    ///
    /// # Errors
    /// [`StateError`] if one is damaged.
    pub fn all(&self) -> Result<Vec<Sent>, StateError> {
        let mut messages = Vec::new();
        for number in numbers(&self.folder)? {
            let path = self.path(number);
            let Some(stored) = read_json::<Stored>(&path)? else { continue };
            let content = STANDARD.decode(&stored.content).map_err(|e| StateError::corrupt(&path, e))?;
            messages.push(Sent { at: stored.at, kind: stored.kind, reason: stored.reason, content });
        }
        Ok(messages)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:012}.json"))
    }
}

fn numbers(folder: &std::path::Path) -> Result<Vec<u64>, StateError> {
    let entries = match std::fs::read_dir(folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|source| StateError::Read { path: folder.to_owned(), source })?,
    };
    let mut numbers: Vec<u64> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".json")?.parse().ok())
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}
