//! What a system says of its disks and defenses, behind one small trait. Linux is read from files; macOS and Windows
//! from what their own commands print.
//!
//! macOS and Windows are a preview: Croft does not run there yet. Their readers are tested on documented output, through
//! the same way that facts take here: a captured tree can hold such output in place of `/proc` and `/sys`. What a reader
//! does not know word by word, in another language too, is unknown and never a pass.

mod linux;
mod macos;
mod outputs;
mod windows;

use std::collections::BTreeMap;
use std::path::Path;

use croft_domain::fact::{Confidence, DiskState};
use serde::Serialize;

pub use linux::Linux;
pub use macos::MacOs;
pub use outputs::{Outputs, System};
pub use windows::Windows;

use super::disk::DiskFinding;
use super::endpoint::Defense;

/// A system, as far as the checks ask.
pub trait Platform {
    /// How it finds out about disks, for example `statx+sysfs`.
    fn disk_method(&self) -> &'static str;

    /// How what is written below `path` is kept.
    fn disk(&self, path: &str) -> DiskFinding;

    /// The same of every swap area. Empty if there is none; none at all if that cannot be found out.
    fn swaps(&self) -> Option<Vec<DiskFinding>>;

    /// The machine's own defenses, always the same five. `home` is whose screen is meant.
    fn defenses(&self, home: &Path) -> Vec<Defense>;

    /// Which system this is, as baselines name it.
    fn release(&self) -> Option<Release>;

    /// Versions of those of the `wanted` packages that are installed; none if no list can be read.
    fn packages(&self, wanted: &[&str]) -> Option<BTreeMap<String, String>>;
}

/// Which system this is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Release {
    /// For example `debian 12`, `macos 14` or `windows 22631`.
    pub system: String,
    /// The running kernel's release; of macOS the product version, of Windows the build with its revision.
    pub kernel: Option<String>,
}

/// An answer, or why there is none.
pub type Answer<T> = Result<T, &'static str>;

/// The system whose tree lies below `root`: this machine's own for `/`, else the one that a capture is of.
#[must_use]
pub fn of(root: &Path) -> Box<dyn Platform> {
    let is_live = root == Path::new("/");
    let system = if cfg!(target_os = "macos") {
        System::MacOs
    } else if cfg!(target_os = "windows") {
        System::Windows
    } else {
        System::Linux
    };
    let outputs = match (is_live, system) {
        (false, _) => Outputs::of_tree(root),
        (true, System::Linux) => None,
        (true, System::MacOs) => Some(Outputs::ask(system, macos::COMMANDS)),
        (true, System::Windows) => Some(Outputs::ask(system, windows::COMMANDS)),
    };
    match outputs {
        Some(outputs) if outputs.system == System::MacOs => Box::new(MacOs(outputs)),
        Some(outputs) if outputs.system == System::Windows => Box::new(Windows(outputs)),
        _ => Box::new(Linux(root.to_owned())),
    }
}

/// A finding from what a system's own command says: its word is root's word.
fn told(path: &str, state: Answer<DiskState>) -> DiskFinding {
    let (state, confidence, line) = match state {
        Ok(DiskState::Encrypted) => (DiskState::Encrypted, Confidence::Uuid, "the system says it encrypts"),
        Ok(state) => (state, Confidence::Uuid, "the system says it does not encrypt"),
        Err(why) => (DiskState::Unknown, Confidence::None, why),
    };
    DiskFinding { path: path.to_owned(), state, confidence, trace: vec![line.to_owned()] }
}

/// A defense from what a system's own command says.
fn said(subject: &'static str, method: &'static str, stands: Answer<bool>) -> Defense {
    match stands {
        Ok(stands) => Defense::known(subject, stands, method, Confidence::Heuristic),
        Err(why) => Defense::unknown(subject, why),
    }
}

#[cfg(test)]
mod tests;
