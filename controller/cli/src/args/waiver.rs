//! `waiver`: whom, from what, until when and why, as typed.

use clap::{Args as ClapArgs, Subcommand};
use croft_domain::id::{CheckName, GroupName, NodeId, WaiverId};
use croft_domain::time::Timestamp;

use super::duration;
use crate::clock;

/// `waiver`
#[derive(Debug, Subcommand)]
pub enum Waiver {
    /// Except a node or a group from a check until a time
    Grant(Grant),
    /// List waivers, with those that have ended
    List,
    /// Take a waiver back before its end
    Revoke {
        /// Waiver id, as `waiver list` shows it
        id: WaiverId,
    },
}

/// `waiver grant`
#[derive(Debug, ClapArgs)]
pub struct Grant {
    /// The node that is excepted
    #[arg(long, value_name = "ID", required_unless_present = "group", conflicts_with = "group")]
    pub node: Option<NodeId>,
    /// The group that is excepted
    #[arg(long)]
    pub group: Option<GroupName>,
    /// From which check
    #[arg(long)]
    pub check: CheckName,
    /// Until when: 2026-12-31T18:00:00Z, 2026-12-31, or from now on: 2h, 14d
    #[arg(long, value_name = "TIME", value_parser = until)]
    pub until: Until,
    /// Why; it is listed in reports
    #[arg(long)]
    pub reason: String,
}

/// An end, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// At this time.
    At(Timestamp),
    /// After this many seconds.
    After(u64),
}

fn until(text: &str) -> Result<Until, String> {
    let day = format!("{text}T00:00:00Z");
    match clock::parsed(text).or_else(|| clock::parsed(&day)) {
        Some(at) => Ok(Until::At(at)),
        None => duration(text).map(Until::After).map_err(|_| {
            "2026-12-31T18:00:00Z, 2026-12-31, or a number and s, m, h or d up to 30d".to_owned()
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_time_a_day_or_a_distance() {
        assert_eq!(until("2026-11-21T00:00:00Z"), Ok(Until::At(Timestamp(1_795_219_200))));
        assert_eq!(until("2026-11-21"), Ok(Until::At(Timestamp(1_795_219_200))));
        assert_eq!(until("2h"), Ok(Until::After(7200)));
        for bad in ["", "tomorrow", "2026-13-01", "never", "31d"] {
            assert!(until(bad).is_err(), "{bad}");
        }
    }
}
