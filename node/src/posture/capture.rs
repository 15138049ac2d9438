//! `croft posture --capture`: a wrong verdict as a fixture. A tar of what the verdict rests on, which replays with
//! `--root` to the same answer.
//!
//! The tree is put together anew from what the rules read, and nothing else: no file is copied whole, and where hardware
//! sits in the machine is not in it. With `--redact` every name that people or installers gave is replaced, the same by
//! the same; numbers, types and shapes stay.

mod names;
mod tree;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::disk::record::{self, Recorded};
use super::disk::{self, DiskFinding};
pub use names::Names;
use tree::Tree;

/// One verdict as it was on the machine, so that a replay can be compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// The path or swap area, as it is called in the capture.
    pub path: String,
    /// How data was found to be kept.
    pub state: croft_domain::fact::DiskState,
    /// How far that could be believed.
    pub confidence: croft_domain::fact::Confidence,
}

/// Where a capture keeps what was concluded.
pub const EXPECTED: &str = "croft/expected.json";

/// Captures the machine below `/` for these paths and its swap areas.
///
/// # Errors
/// The file cannot be written.
pub fn write(file: File, paths: &[String], names: &mut Names) -> io::Result<Vec<DiskFinding>> {
    let root = Path::new("/");
    let mut recorded = Recorded::default();
    let mut findings = Vec::new();
    let examined = paths.iter().map(|path| disk::examine_recording(root, true, path));
    let swaps = disk::examine_swaps_recording(root, true).unwrap_or_default();
    for (finding, asked) in examined.chain(swaps) {
        recorded.paths.extend(asked.paths);
        recorded.devices.extend(asked.devices);
        recorded.outputs.extend(asked.outputs);
        findings.push(finding);
    }
    let expected: Vec<Expected> = findings
        .iter()
        .map(|finding| Expected {
            path: names.path(&finding.path),
            state: finding.state,
            confidence: finding.confidence,
        })
        .collect();
    let mut tree = Tree::default();
    tree.machine(root, names);
    tree.json(EXPECTED, &expected)?;
    tree.json(record::FILE, &renamed(recorded, names))?;
    tree.write(file)?;
    Ok(findings)
}

fn renamed(recorded: Recorded, names: &mut Names) -> Recorded {
    let Recorded { paths, devices, outputs } = recorded;
    let paths: BTreeMap<_, _> = paths.into_iter().map(|(path, answer)| (names.path(&path), answer)).collect();
    let devices = devices.into_iter().map(|(name, numbers)| (names.path(&name), numbers)).collect();
    let outputs = outputs.into_iter().map(|(key, text)| {
        let (tool, object) = key.split_once(' ').unwrap_or((&key, ""));
        (format!("{tool} {}", names.relative(object)), names.output(tool, &text))
    });
    Recorded { paths, devices, outputs: outputs.collect() }
}

#[cfg(test)]
mod tests;
