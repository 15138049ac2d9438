//! Whether what is written below a path ends up encrypted: from mount to block devices to everything they rest on.
//!
//! Reads `/proc` and `/sys` below a `root`, so that a captured tree gives the same answer as the machine it was taken
//! from. Nothing here needs privileges, and nothing is ever changed. What cannot be followed is *unknown*, never
//! encrypted. A path is as safe as the weakest device below it.

mod device;
mod filesystem;
mod mounts;
pub(super) mod record;
mod table;
#[cfg(test)]
mod tests;
mod zfs;

use std::path::{Path, PathBuf};

use croft_domain::fact::{Confidence, DiskState};
use croft_domain::limits::{TEXT_LEN_MAX, TRACE_LINES_MAX};
use serde::Serialize;

pub(super) use mounts::unescape;
use record::Recorded;

/// What was found below one path or swap area.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DiskFinding {
    /// The path or swap area, as it was asked for or as the kernel names it.
    pub path: String,
    /// How data is kept there.
    pub state: DiskState,
    /// How far that can be believed.
    pub confidence: Confidence,
    /// The steps that led there.
    pub trace: Vec<String>,
}

/// Examines `path` on the machine whose `/proc` and `/sys` lie below `root`.
///
/// With `live`, the root is this machine's own: mounts are then chosen as the kernel resolves the path (overmounts
/// included), and not by the longest prefix.
#[must_use]
pub fn examine(root: &Path, live: bool, path: &str) -> DiskFinding {
    examine_recording(root, live, path).0
}

/// The same, with everything that was asked besides files.
pub(super) fn examine_recording(root: &Path, live: bool, path: &str) -> (DiskFinding, Recorded) {
    let mut walk = Walk::new(root, live);
    let judgment = walk.path(path, 0);
    walk.finding(path, judgment)
}

/// Examines every swap area. Empty if there is none; none at all if the kernel's list cannot be read.
#[must_use]
pub fn examine_swaps(root: &Path, live: bool) -> Option<Vec<DiskFinding>> {
    let recorded = examine_swaps_recording(root, live)?;
    Some(recorded.into_iter().map(|(finding, _)| finding).collect())
}

/// The same, with everything that was asked besides files.
pub(super) fn examine_swaps_recording(root: &Path, live: bool) -> Option<Vec<(DiskFinding, Recorded)>> {
    let list = std::fs::read_to_string(root.join("proc/swaps")).ok()?;
    let areas = list.lines().skip(1).take(SWAPS_MAX).filter_map(|line| {
        let mut words = line.split_whitespace();
        Some((mounts::unescape(words.next()?), words.next()?.to_owned()))
    });
    let examined = areas.map(|(area, kind)| {
        let mut walk = Walk::new(root, live);
        walk.note(&format!("{}: swap {kind}", shown(&area)));
        let judgment = match kind.as_str() {
            "partition" => walk.named_device(&area, 0),
            "file" => walk.path(&area, 0),
            _ => Judgment::UNKNOWN,
        };
        walk.finding(&area, judgment)
    });
    Some(examined.collect())
}

/// What sort of thing a swap area is, in a word that names nothing else.
#[must_use]
pub fn kind_of_swap(area: &str) -> &'static str {
    match area.strip_prefix("/dev/") {
        None => "file",
        Some(device) if device.starts_with("zram") => "zram",
        Some(device) if device.starts_with("dm-") || device.contains('/') => "volume",
        Some(_) => "partition",
    }
}

/// Most swap areas that are examined; the kernel has at most 32.
const SWAPS_MAX: usize = 32;

/// Deepest stack of devices, files and mounts that is followed. Honest ones have at most six or seven.
const DEPTH_MAX: usize = 24;

/// Most devices and paths that are visited for one answer: a tangle of slaves must not take forever.
const VISITS_MAX: usize = 256;

/// State and confidence of one layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Judgment {
    state: DiskState,
    confidence: Confidence,
}

impl Judgment {
    const UNKNOWN: Self = Self { state: DiskState::Unknown, confidence: Confidence::None };

    const fn new(state: DiskState, confidence: Confidence) -> Self {
        Self { state, confidence }
    }

    /// Both are below: plain wins, then unknown, then encrypted. Two unknowns of different kinds stay unknown.
    fn and(self, other: Self) -> Self {
        const fn badness(state: DiskState) -> u8 {
            match state {
                DiskState::Plain => 3,
                DiskState::Unknown => 2,
                DiskState::Encrypted => 1,
                DiskState::Volatile => 0,
            }
        }
        let state = if badness(self.state) >= badness(other.state) { self.state } else { other.state };
        Self { state, confidence: self.confidence.min(other.confidence) }
    }
}

/// A path as traces show it: in one word, so that a path can be told from what is said of it.
fn shown(path: impl AsRef<Path>) -> String {
    let escaped = |c: char| match c.is_whitespace() || c.is_control() {
        true => format!("\\{:03o}", u32::from(c)),
        false => c.to_string(),
    };
    path.as_ref().display().to_string().chars().map(escaped).collect()
}

/// One question being followed through the layers.
struct Walk<'a> {
    root: &'a Path,
    live: bool,
    mounts: Option<Vec<mounts::Mount>>,
    visits: usize,
    /// What is being followed right now, so that a layer that rests on itself is noticed.
    below: Vec<PathBuf>,
    trace: Vec<String>,
    recorded: Recorded,
}

impl<'a> Walk<'a> {
    fn new(root: &'a Path, live: bool) -> Self {
        let mounts = mounts::read(root);
        let recorded = if live { Recorded::default() } else { Recorded::of_tree(root) };
        Self { root, live, mounts, visits: 0, below: Vec::new(), trace: Vec::new(), recorded }
    }

    fn note(&mut self, line: &str) {
        if self.trace.len() < TRACE_LINES_MAX {
            let mut line = line.replace('\0', "?");
            let end = (0..=line.len().min(TEXT_LEN_MAX)).rev().find(|at| line.is_char_boundary(*at));
            line.truncate(end.unwrap_or(0));
            self.trace.push(line);
        }
    }

    fn unknown(&mut self, line: &str) -> Judgment {
        self.note(line);
        Judgment::UNKNOWN
    }

    /// Follows one layer, within bounds and not twice inside itself.
    fn follow(&mut self, layer: &Path, depth: usize, next: impl FnOnce(&mut Self) -> Judgment) -> Judgment {
        self.visits += 1;
        if depth > DEPTH_MAX || self.visits > VISITS_MAX {
            return self.unknown(&format!("{}: too many layers to follow", shown(layer)));
        }
        if self.below.iter().any(|other| other == layer) {
            return self.unknown(&format!("{}: rests on itself", shown(layer)));
        }
        self.below.push(layer.to_owned());
        let judgment = next(self);
        self.below.pop();
        judgment
    }

    fn finding(mut self, path: &str, judgment: Judgment) -> (DiskFinding, Recorded) {
        let mut judgment = judgment;
        if judgment.state == DiskState::Plain && self.is_wsl() {
            judgment =
                self.unknown("WSL: the virtual disk lies in a file of Windows, whose disk is not seen");
        }
        let finding = DiskFinding {
            path: path.to_owned(),
            state: judgment.state,
            confidence: judgment.confidence,
            trace: self.trace,
        };
        (finding, self.recorded)
    }

    fn is_wsl(&self) -> bool {
        std::fs::read_to_string(self.root.join("proc/sys/kernel/osrelease"))
            .is_ok_and(|release| release.to_ascii_lowercase().contains("microsoft"))
    }
}
