//! `audit`: what may be asked about the past.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};
use croft_domain::id::VerdictId;
use croft_domain::time::Timestamp;

use super::duration;
use crate::clock;

/// `audit`
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Recompute every node's verdict chain and compare it with the nodes' signatures and the checkpoints
    Verify {
        /// Only this node: its id, or enough of its beginning to be the only one
        #[arg(long, value_name = "ID")]
        node: Option<String>,
        /// A checkpoint from elsewhere; repeat for more. Those in the config folder are always used
        #[arg(long = "checkpoint", value_name = "FILE")]
        checkpoints: Vec<PathBuf>,
    },
    /// Verify all chains, then sign their heads with the freshness key
    Checkpoint {
        /// Also write it there, for an auditor
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Erase what was said and judged, never that it was: the salted hashes stay and the chain holds
    Erase(Erase),
    /// Show what admins did, newest first
    Log {
        /// How many actions
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
}

/// `audit erase`. All that is given must hold.
#[derive(Debug, ClapArgs)]
#[command(group = clap::ArgGroup::new("which").required(true).multiple(true).args(["node", "before", "verdict"]))]
pub struct Erase {
    /// Of this node: its id, or enough of its beginning to be the only one
    #[arg(long, value_name = "ID")]
    pub node: Option<String>,
    /// Judged before then: 2026-12-31T18:00:00Z, 2026-12-31, or so long ago: 90d
    #[arg(long, value_name = "TIME", value_parser = age)]
    pub before: Option<Age>,
    /// This verdict only
    #[arg(long, value_name = "ID")]
    pub verdict: Option<VerdictId>,
    /// Why; it goes into the audit log
    #[arg(long)]
    pub reason: String,
}

/// A time in the past, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// This time.
    At(Timestamp),
    /// So many seconds ago.
    Ago(u64),
}

impl Age {
    /// The time that is meant, at `now`.
    pub const fn before(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(seconds) => now.minus(seconds),
        }
    }
}

fn age(text: &str) -> Result<Age, String> {
    let day = format!("{text}T00:00:00Z");
    if let Some(at) = clock::parsed(text).or_else(|| clock::parsed(&day)) {
        return Ok(Age::At(at));
    }
    // Longer than other durations: what is erased is old.
    let days =
        text.strip_suffix('d').and_then(|days| days.parse::<u64>().ok()).filter(|days| *days <= 36_525);
    let seconds = days.map(|days| days * 86_400).or_else(|| duration(text).ok());
    seconds.map(Age::Ago).ok_or_else(|| "2026-12-31T18:00:00Z, 2026-12-31, or an age such as 90d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_a_time_a_day_or_a_distance() {
        assert_eq!(age("2026-11-21"), Ok(Age::At(Timestamp(1_795_219_200))));
        assert_eq!(age("2192d"), Ok(Age::Ago(2192 * 86_400)));
        assert_eq!(age("2h"), Ok(Age::Ago(7200)));
        for bad in ["", "d", "always", "36526d", "-1d"] {
            assert!(age(bad).is_err(), "{bad}");
        }
    }
}
