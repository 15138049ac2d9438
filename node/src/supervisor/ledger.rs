//! What each account has used today, kept across restarts: numbers by account, and nothing else. Written behind the
//! answers: a daemon that is killed forgets what was used in the last seconds.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use croft_proto::frames::Spent;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::limits::{SPENT_KEPT_MAX, SPENT_WRITE_EVERY};
use crate::state::files;

/// The ledger.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    spent: BTreeMap<Option<u32>, Spent>,
    /// When it is to be written; none while the file says the same.
    due: Option<Instant>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// Since 1970.
    day: u64,
    /// None for holders of the API key.
    uid: Option<u32>,
    tokens: u64,
}

impl Ledger {
    /// Reads what an earlier daemon kept. What cannot be read counts as nothing used: it is today's use at most, and no
    /// reason not to serve.
    #[must_use]
    pub fn open(path: PathBuf) -> Self {
        let kept = files::read_json::<Vec<Entry>>(&path).unwrap_or_else(|e| {
            tracing::warn!(code = %e.code(), "today's use cannot be read; counting begins anew");
            None
        });
        let spent = kept.into_iter().flatten().take(SPENT_KEPT_MAX);
        let spent = spent.map(|Entry { day, uid, tokens }| (uid, Spent { day, uid, tokens }));
        Self { path, spent: spent.collect(), due: None }
    }

    /// What a gateway that is started must know.
    pub fn all(&self) -> impl Iterator<Item = Spent> + use<'_> {
        self.spent.values().copied()
    }

    /// Takes a day's sum of an account.
    pub fn note(&mut self, spent: Spent) {
        let days_before = |kept: &Spent| kept.day < spent.day;
        self.spent.retain(|_, kept| !days_before(kept));
        if self.spent.len() < SPENT_KEPT_MAX || self.spent.contains_key(&spent.uid) {
            self.spent.insert(spent.uid, spent);
        }
        self.due.get_or_insert_with(|| Instant::now() + SPENT_WRITE_EVERY);
    }

    /// Waits until there is something to be written. Safe to drop and call again.
    pub async fn due(&self) {
        match self.due {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// Writes what is not written yet.
    pub fn write(&mut self) {
        if self.due.take().is_none() {
            return;
        }
        let entry = |Spent { day, uid, tokens }: Spent| Entry { day, uid, tokens };
        let entries: Vec<Entry> = self.all().map(entry).collect();
        if let Err(e) = files::write_json(&self.path, &entries) {
            tracing::warn!(code = %e.code(), "today's use cannot be kept");
            // A disk that is full now may have room later.
            self.due = Some(Instant::now() + SPENT_WRITE_EVERY.max(Duration::from_secs(60)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANNA: Option<u32> = Some(1000);

    #[test]
    fn what_was_used_survives_a_restart_and_ends_with_its_day() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("spent.json");
        let mut ledger = Ledger::open(path.clone());
        ledger.note(Spent { day: 9, uid: ANNA, tokens: 40 });
        ledger.note(Spent { day: 9, uid: None, tokens: 7 });
        ledger.note(Spent { day: 9, uid: ANNA, tokens: 50 });
        ledger.write();
        let again: Vec<Spent> = Ledger::open(path.clone()).all().collect();
        assert_eq!(again, [Spent { day: 9, uid: None, tokens: 7 }, Spent { day: 9, uid: ANNA, tokens: 50 }]);
        let mut ledger = Ledger::open(path.clone());
        ledger.note(Spent { day: 10, uid: ANNA, tokens: 1 });
        ledger.write();
        assert_eq!(Ledger::open(path).all().collect::<Vec<_>>(), [Spent { day: 10, uid: ANNA, tokens: 1 }]);
    }

    #[test]
    fn a_damaged_file_counts_from_nothing_and_many_accounts_are_bounded() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("spent.json");
        std::fs::write(&path, "[{\"day\":1,\"prompt\":\"x\"}]").expect("written");
        let mut ledger = Ledger::open(path);
        assert_eq!(ledger.all().count(), 0);
        (0..2_000).for_each(|uid| ledger.note(Spent { day: 1, uid: Some(uid), tokens: 1 }));
        assert_eq!(ledger.all().count(), SPENT_KEPT_MAX);
    }
}
