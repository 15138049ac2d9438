//! When each blob in the store was last read and verified whole, and what was found wrong last. Survives restarts, so
//! that a machine that is seldom on is not spared.

use std::collections::BTreeMap;

use croft_domain::digest::Sha256Digest;
use croft_domain::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::files::{StateError, read_json, write_json};
use super::paths::Paths;
use crate::limits::RECHECK_EVERY_S;

const FILE: &str = "recheck.json";

/// Bytes that changed on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Damage {
    /// When it was found.
    pub at: Timestamp,
    /// In which blob.
    pub blob: Sha256Digest,
    /// For a person.
    pub message: String,
}

/// What is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Checked {
    /// Since when each blob counts as verified.
    pub verified: BTreeMap<Sha256Digest, Timestamp>,
    /// The last damage.
    pub damage: Option<Damage>,
}

impl Checked {
    /// Reads it; a damaged record only means that everything is verified again.
    #[must_use]
    pub fn load(paths: &Paths) -> Self {
        read_json(&paths.state_file(FILE)).ok().flatten().unwrap_or_default()
    }

    /// Keeps it.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn save(&self, paths: &Paths) -> Result<(), StateError> {
        write_json(&paths.state_file(FILE), self)
    }

    /// Forgets blobs that are gone, and begins to count for new ones: what gets into the store was just verified.
    pub fn follow(&mut self, stored: &[Sha256Digest], now: Timestamp) {
        self.verified.retain(|digest, _| stored.contains(digest));
        for digest in stored {
            self.verified.entry(*digest).or_insert(now);
        }
    }

    /// The blob whose turn it is at `now`: the one verified longest ago, if that is a week. A time in the future is none:
    /// the clock was set back since.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Option<Sha256Digest> {
        let is_due = |at: Timestamp| at > now || now.since(at) >= RECHECK_EVERY_S;
        let due = self.verified.iter().filter(|(_, at)| is_due(**at));
        due.min_by_key(|(_, at)| **at).map(|(digest, _)| *digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_blob_has_its_turn_once_a_week() {
        let [a, b] = [Sha256Digest([1; 32]), Sha256Digest([2; 32])];
        let mut checked = Checked::default();
        let begin = Timestamp(1_000_000_000);
        checked.follow(&[a, b], begin);
        checked.verified.insert(b, begin.plus(60));
        assert_eq!(checked.due(begin.plus(RECHECK_EVERY_S - 1)), None);
        let now = begin.plus(RECHECK_EVERY_S);
        assert_eq!(checked.due(now), Some(a));
        checked.verified.insert(a, now);
        assert_eq!(checked.due(now), None);
        assert_eq!(checked.due(now.plus(60)), Some(b));
        // A clock that was set back spares nobody.
        assert_eq!(checked.due(Timestamp(5)), Some(b));
        checked.follow(&[a], now);
        assert_eq!(checked.verified.keys().copied().collect::<Vec<_>>(), [a]);
    }

    #[test]
    fn p9_the_schedule_survives_a_restart_and_damage_to_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path().to_owned();
        let paths = Paths {
            mode: croft_domain::evidence::Mode::User,
            run: state.join("run"),
            config: state.join("node.toml"),
            state,
        };
        let mut checked = Checked::default();
        checked.follow(&[Sha256Digest([1; 32])], Timestamp(7));
        checked.save(&paths).expect("kept");
        assert_eq!(Checked::load(&paths), checked);
        std::fs::write(paths.state_file(FILE), b"{").expect("written");
        assert_eq!(Checked::load(&paths), Checked::default());
    }
}
