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

/// Digits of a message's number in its name: enough for any machine's life.
const DIGITS: usize = 12;

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
        Ok(Self { next: next(&folder)?, folder })
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
        self.folder.join(format!("{number:0DIGITS$}.json"))
    }
}

/// The number of the next message.
fn next(folder: &std::path::Path) -> Result<u64, StateError> {
    Ok(numbers(folder)?.last().map_or(0, |last| last + 1))
}

fn numbers(folder: &std::path::Path) -> Result<Vec<u64>, StateError> {
    let entries = match std::fs::read_dir(folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|source| StateError::Read { path: folder.to_owned(), source })?,
    };
    let mut numbers: Vec<u64> =
        entries.filter_map(Result::ok).filter_map(|entry| number_of(entry.file_name().to_str()?)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// What is not named as this ring names its files is not part of it, whatever else it could be read as.
fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".json")?;
    let is_ours = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_ours.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p10_a_strange_file_in_the_ring_neither_ends_the_daemon_nor_the_list() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut ring = SentRing { folder: folder.path().to_owned(), next: 0 };
        let sent = |text: &str| Sent {
            at: Timestamp(1),
            kind: "Attest".to_owned(),
            reason: "test".to_owned(),
            content: text.as_bytes().to_vec(),
        };
        ring.record(&sent("first")).expect("recorded");
        for name in ["18446744073709551615.json", "-00000000001.json", "x.json", "000000000007.txt"] {
            std::fs::write(folder.path().join(name), "{").expect("a file");
        }
        ring.next = next(folder.path()).expect("a number");
        ring.record(&sent("second")).expect("recorded");
        let kept: Vec<_> = ring.all().expect("the ring").into_iter().map(|sent| sent.content).collect();
        assert_eq!(kept, [b"first".to_vec(), b"second".to_vec()]);
        // One that was changed is said to be damaged, and not left out.
        std::fs::write(folder.path().join("000000000001.json"), "{}").expect("a file");
        assert!(ring.all().is_err());
    }
}
